"""Tiles as one graph: what `tiles.tiled_maps` computes, one tile of the images after the other."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from patchcore_suite.parts.tiles import Tiles, ramp

Size = tuple[int, int]


def tiled(network: Callable[[Tensor], Sequence[Tensor]], images: Tensor, tiles: Tiles, size: Size) -> list[Tensor]:
    """The feature maps (n, c_j, h_j, w_j) of whole images (n, 3, H, W) of `size`, from those of their tiles."""
    maps = _of_each(network, _cut(images, tiles, size))
    return [joined(fmap, tiles, size) for fmap in maps]


def joined(fmap: Tensor, tiles: Tiles, size: Size) -> Tensor:
    """The feature map (n, c, h, w) of whole images, from that of their tiles (t, n, c, side, side), row by row."""
    side = fmap.shape[-1]
    down, across = (_placing(tiles, length, side) for length in size)
    rows = fmap.unflatten(0, (-1, len(tiles.places(size[1])))).movedim(1, 4)  # (r, n, c, side, q, side)
    joined_rows = rows.flatten(4) @ across.T  # (r, n, c, side, w)
    return down @ joined_rows.movedim(0, 2).flatten(2, 3)


def _cut(images: Tensor, tiles: Tiles, size: Size) -> Tensor:
    """Images (n, 3, H, W) as t tiles each, (t, n, 3, side, side), row by row."""
    side = tiles.size
    corners = [(top, left) for top in tiles.places(size[0]) for left in tiles.places(size[1])]
    return torch.stack([images[..., top : top + side, left : left + side] for top, left in corners])


def _of_each(network: Callable[[Tensor], Sequence[Tensor]], cut: Tensor) -> list[Tensor]:
    """The feature maps (t, n, c_j, side_j, side_j) of tiles (t, n, 3, side, side), which the network sees in turn."""

    def step(seen: Tensor, tile: Tensor) -> tuple[Tensor, tuple[Tensor, ...]]:
        torch._check(tile.shape[0] > 0)
        return seen + 1, tuple(fmap.float() for fmap in network(tile))

    if torch.compiler.is_exporting():  # as a loop: a runtime would hold what the network makes of all tiles at once
        from torch._higher_order_ops.scan import scan

        return list(scan(step, torch.zeros(()), cut)[1])
    return [torch.stack(maps) for maps in zip(*(step(cut[0, 0, 0, 0, 0], tile)[1] for tile in cut), strict=True)]


def _placing(tiles: Tiles, length: int, side: int) -> Tensor:
    """(places, t side) weights with which places of t tiles along an axis of so many pixels become those of a whole."""
    cell = tiles.size // side
    first = torch.tensor([start // cell for start in tiles.places(length)])
    within = torch.arange(length // cell)[:, None] - first  # the place of each tile that each of the whole is
    placed = (within[..., None] == torch.arange(side)) * ramp(side, tiles.overlap // cell)
    return (placed / placed.sum(dim=(1, 2), keepdim=True)).flatten(1).float()
