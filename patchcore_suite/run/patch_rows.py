"""Patch features that are made from feature maps on disk when they are asked for, and never all held."""

from collections.abc import Callable, Sequence
from functools import cached_property

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from patchcore_suite.run.feature_files import read_maps


class PatchRows:
    """Patch features (n * h * w, d) of some images: `Rows` of the core.

    Those of an image do not depend on which others are described with it: numbers are those of a tensor of all.

    Args:
        maps: of each hierarchy (m, c, h, w), memory-mapped.
        images: rows of the maps, n of them.
        describe: from feature maps (k, c, h, w) to patch features (k, h, w, d).
        step: images that are described at once.
        device: where that is done.
    """

    def __init__(
        self,
        maps: Sequence[NDArray[np.float32]],
        images: Sequence[int],
        describe: Callable[[Sequence[Tensor]], Tensor],
        step: int,
        device: torch.device,
    ) -> None:
        self._maps, self._images, self._make, self._step = maps, np.asarray(images), describe, step
        self.device = device
        # The part that was asked for last: the next rows begin in it.
        self._last: tuple[int, Tensor | None] = -1, None

    @cached_property
    def _first(self) -> Tensor:
        """Patch features (1, h, w, d) of one image."""
        return self._described(self._images[:1])

    @property
    def grid(self) -> tuple[int, int, int]:
        """(n, h, w)."""
        return len(self._images), *self._first.shape[1:3]

    @property
    def shape(self) -> torch.Size:
        """(n * h * w, d)."""
        n, h, w = self.grid
        return torch.Size([n * h * w, self._first.shape[3]])

    @property
    def dtype(self) -> torch.dtype:
        """In which they are kept."""
        return self._first.dtype

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, rows: slice | Tensor, /) -> Tensor:
        return self._neighbouring(rows) if isinstance(rows, slice) else self._scattered(rows)

    def _described(self, images: NDArray[np.integer]) -> Tensor:
        return self._make([torch.from_numpy(part).to(self.device) for part in read_maps(self._maps, images)])

    def _part(self, number: int) -> Tensor:
        """The rows of `step` images."""
        if self._last[0] != number:
            self._last = -1, None  # room is given back before more is asked for
            images = self._images[number * self._step : (number + 1) * self._step]
            self._last = number, self._described(images).flatten(0, 2)
        assert self._last[1] is not None
        return self._last[1]

    def _neighbouring(self, rows: slice) -> Tensor:
        start, stop, _ = rows.indices(len(self))
        found = torch.empty(max(0, stop - start), self.shape[1], dtype=self.dtype, device=self.device)
        _, h, w = self.grid
        size = self._step * h * w
        for number in range(start // size, -(-stop // size)):
            first, last = max(start, number * size), min(stop, (number + 1) * size)
            found[first - start : last - start] = self._part(number)[first - number * size : last - number * size]
        return found

    def _scattered(self, rows: Tensor) -> Tensor:
        """Rows (k,) in any order; only images that have one of them are described."""
        found = torch.empty(len(rows), self.shape[1], dtype=self.dtype, device=self.device)
        _, h, w = self.grid
        ordered, places = rows.sort()
        images, first, counts = np.unique((ordered // (h * w)).cpu().numpy(), return_index=True, return_counts=True)
        for start in range(0, len(images), self._step):
            some = images[start : start + self._step]
            of = slice(first[start], first[start] + counts[start : start + self._step].sum())
            order_in_part = torch.from_numpy(np.repeat(np.arange(len(some)), counts[start : start + self._step]))
            inside = order_in_part.to(rows.device) * (h * w) + ordered[of] % (h * w)
            found[places[of]] = self._described(self._images[some]).flatten(0, 2)[inside]
        return found
