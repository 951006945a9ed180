"""Large images in tiles: a network sees one tile at a time, and what it says of them is joined without seams."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from patchcore_core.backbones import feature_maps
from patchcore_core.common.errors import InputError

SMALLEST = 32  # pixels of a tile


@dataclass(frozen=True)
class Tiles:
    """Squares of `size` pixels that overlap their neighbours by at least `overlap`.

    Raises:
        InputError: a tile of fewer than `SMALLEST` pixels, or an overlap that is none, negative, or leaves no step.
    """

    size: int
    overlap: int

    def __post_init__(self) -> None:
        whole = all(isinstance(value, int) and not isinstance(value, bool) for value in (self.size, self.overlap))
        if not whole or self.size < SMALLEST or not 0 <= self.overlap < self.size:
            raise InputError(
                f"tiles of {self.size} pixels that overlap by {self.overlap} cannot be laid",
                remedy=f"give a size of {SMALLEST} or more, and an overlap of 0 or more that is smaller",
            )

    def places(self, length: int) -> list[int]:
        """Where tiles begin along an axis of `length` pixels; the last one ends where the axis ends."""
        return [*range(0, length - self.size, self.size - self.overlap), length - self.size]

    def check(self, size: Sequence[int], cell: int) -> None:
        """Refuse images of `size` (H, W) that cannot be covered by tiles on cells of so many pixels.

        Raises:
            InputError: a tile is larger than the images, or tiles do not begin and end between cells.
        """
        height, width = size
        if self.size > min(size):
            raise InputError(
                f"tiles of {self.size} pixels are larger than images of {height} x {width}",
                remedy="choose smaller tiles, larger images, or none",
            )
        if any(value % cell for value in (self.size, self.overlap, height, width)):
            raise InputError(
                f"tiles of {self.size} pixels that overlap by {self.overlap} do not meet on images of {height} x "
                f"{width}",
                remedy=f"make all four multiples of {cell}, what one place of the coarsest feature map covers: "
                f"images of {_nearest(height, cell)} x {_nearest(width, cell)} (--size), for example",
            )


def tiled_maps(network: Callable[[Tensor], Sequence[Tensor]], images: Tensor, tiles: Tiles) -> list[Tensor]:
    """The feature maps of whole images, from those of tiles.

    Where tiles overlap, a place of a map is the weighted mean of what they say of it; the weight of a tile falls
    linearly towards its edge, where its network knows least of what lies around.

    Args:
        images: (n, 3, H, W).

    Returns:
        (n, c_j, H / cell_j, W / cell_j), finest first, where a place of map j covers cell_j x cell_j pixels.

    Raises:
        InputError: the tiles do not suit the images; see `Tiles.check`.
    """
    height, width = images.shape[-2:]
    if tiles.size > min(height, width):
        tiles.check((height, width), 1)
    whole: list[Tensor] = []
    for top in tiles.places(height):
        for left in tiles.places(width):
            maps = feature_maps(network, images[..., top : top + tiles.size, left : left + tiles.size])
            if not whole:
                tiles.check((height, width), _cell(tiles, maps))
                whole = [_empty(fmap, tiles, height, width) for fmap in maps]
                weights = [fmap[:1, :1].clone() for fmap in whole]
            for joined, total, fmap in zip(whole, weights, maps, strict=True):
                side = fmap.shape[-1]
                cell = tiles.size // side
                slope = ramp(side, tiles.overlap // cell).to(fmap)
                weight = slope[:, None] * slope
                rows, columns = (slice(start // cell, start // cell + side) for start in (top, left))
                joined[..., rows, columns] += weight * fmap
                total[..., rows, columns] += weight
    return [joined / total for joined, total in zip(whole, weights, strict=True)]


def ramp(side: int, overlap: int) -> Tensor:
    """(side,) weight of a tile along an axis, in places of a map: 1, but less within the overlap at both ends."""
    place = torch.arange(side, dtype=torch.float64)
    return torch.minimum(torch.minimum(place + 1, side - place) / (overlap + 1), torch.ones(()).double())


def _cell(tiles: Tiles, maps: Sequence[Tensor]) -> int:
    """Pixels that a place of the coarsest map covers.

    Raises:
        InputError: not a power of two, as strides of all named networks are: the network has rounded.
    """
    for fmap in maps:
        height, width = fmap.shape[-2:]
        cell = tiles.size // height
        if height != width or tiles.size % height or cell & (cell - 1):
            raise InputError(
                f"tiles of {tiles.size} pixels end between the places of feature maps of {height} x {width}",
                remedy="choose another size of tiles: multiples of 32 suit all networks",
            )
    return max(tiles.size // fmap.shape[-1] for fmap in maps)


def _empty(fmap: Tensor, tiles: Tiles, height: int, width: int) -> Tensor:
    cell = tiles.size // fmap.shape[-1]
    return fmap.new_zeros(*fmap.shape[:2], height // cell, width // cell)


def _nearest(length: int, cell: int) -> int:
    return max(cell, round(length / cell) * cell)
