"""Tiles as one graph: what `tiles.tiled_maps` computes, all tiles of all images at once."""

import torch
import torch.nn.functional as F
from torch import Tensor

from patchcore_suite.parts.tiles import Tiles, ramp

Size = tuple[int, int]


def corners(tiles: Tiles, size: Size) -> list[tuple[int, int]]:
    """Where tiles of images of `size` (H, W) begin, row by row: (top, left) each."""
    return [(top, left) for top in tiles.places(size[0]) for left in tiles.places(size[1])]


def cut(images: Tensor, tiles: Tiles, size: Size) -> Tensor:
    """Images (n, 3, H, W) as t tiles each, (t n, 3, side, side): the first tile of all, then the second."""
    side = tiles.size
    return torch.cat([images[..., top : top + side, left : left + side] for top, left in corners(tiles, size)])


def joined(fmap: Tensor, tiles: Tiles, size: Size) -> Tensor:
    """The feature map (n, c, h, w) of whole images, from that of their tiles (t n, c, side, side)."""
    side, starts = fmap.shape[-1], corners(tiles, size)
    cell = tiles.size // side
    height, width = (length // cell for length in size)
    slope = ramp(side, tiles.overlap // cell).float()
    weight = slope[:, None] * slope
    whole, total = 0, torch.zeros(height, width)
    for (top, left), of_tile in zip(starts, fmap.unflatten(0, (len(starts), -1)).unbind(), strict=True):
        row, column = top // cell, left // cell
        around = (column, width - column - side, row, height - row - side)
        whole = whole + F.pad(weight * of_tile, around)
        total = total + F.pad(weight, around)
    return whole / total
