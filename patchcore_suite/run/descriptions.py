"""What methods keep of the images of a category: held for all cells of a group, or made when a cell needs it."""

import math
from collections.abc import Iterator, Sequence
from functools import cached_property
from typing import NamedTuple

import torch
from numpy.typing import NDArray
from torch import Tensor

from patchcore_core.detector import Detector, put_together
from patchcore_suite.baselines.work import described_shape, lies_on_disk, makes_anew
from patchcore_suite.run.cells import Cell
from patchcore_suite.run.feature_files import read_maps
from patchcore_suite.run.patch_rows import PatchRows

Given = Sequence[Tensor] | PatchRows  # what a method is fitted to, or predicts


class Splits(NamedTuple):
    """Rows of the images in the feature maps, by split."""

    train: list[int]
    test: list[int]


class Descriptions:
    """Descriptions of the images of a category, for cells that describe them alike.

    Args:
        models: the members of their method, not fitted.
        maps: of each member, feature maps (n, c, h, w), memory-mapped.
        splits: which images they are of.
        step: images that are described at once.
        where: the images are, for a message.
        budget: bytes that a process may take.
    """

    def __init__(
        self,
        models: Sequence[Detector],
        maps: Sequence[Sequence[NDArray]],
        splits: Splits,
        *,
        step: int,
        where: str,
        budget: float = math.inf,
    ) -> None:
        self._models, self._maps, self._splits, self._step, self._where = models, maps, splits, step, where
        self._budget = budget
        self._shapes = [
            described_shape(model.config, [part.shape[1:] for part in of])
            for model, of in zip(models, maps, strict=True)
        ]

    def makes_anew(self, cell: Cell) -> bool:
        """Whether a cell is given what is made when it is asked for, see `work.makes_anew` and `lies_on_disk`."""
        train, test = map(len, self._splits)
        counts = {"described": train + test, "nominal": cell.learned_of(train)}
        return makes_anew(cell.config, self._shapes, **counts) or self.lies_on_disk(cell)

    def lies_on_disk(self, cell: Cell) -> bool:
        """Whether patch features of a cell lie on disk, for want of memory."""
        train, test = map(len, self._splits)
        counts = {"described": train + test, "nominal": cell.learned_of(train), "test": test}
        return lies_on_disk(cell.config, self._shapes, budget=self._budget, **counts)

    def nominal(self, cell: Cell, chosen: Sequence[int]) -> Given:
        """Of the nominal images that a cell learns from, those `chosen` of all."""
        if self.makes_anew(cell):
            return self._rows([self._splits.train[place] for place in chosen])
        return _chosen(self.held[0], chosen)

    def test(self, cell: Cell, chosen: Sequence[int]) -> Given:
        """Of the test images that a cell scores, those `chosen` of all."""
        if self.makes_anew(cell):
            return self._rows([self._splits.test[place] for place in chosen])
        return _chosen(self.held[1], chosen)

    @cached_property
    def held(self) -> tuple[list[Tensor], list[Tensor]]:
        """Of all images, nominal and test: for each member of the method, tensors (n, ...).

        Raises:
            InputError: they do not fit into memory.
        """
        nominal, test = (
            [
                part
                for maps, model in zip(self._maps, self._models, strict=True)
                for part in put_together(
                    _described(maps, rows, model, self._step), count=len(rows), device=model.device, where=self._where
                )
            ]
            for rows in self._splits
        )
        return nominal, test

    def _rows(self, images: Sequence[int]) -> PatchRows:
        (maps,), (model,) = self._maps, self._models
        return PatchRows(maps, images, lambda some: model.describe(some)[0], self._step, model.device)


def _chosen(held: list[Tensor], chosen: Sequence[int]) -> list[Tensor]:
    """Rows of tensors (n, ...), which ascend; all of them without a copy."""
    return held if len(chosen) == len(held[0]) else [part[torch.tensor(chosen)] for part in held]


def _described(maps: Sequence[NDArray], rows: Sequence[int], model: Detector, step: int) -> Iterator[list[Tensor]]:
    """What a method keeps of some images, (n, ...) each, in batches of `step` images."""
    for start in range(0, len(rows), step):
        some = read_maps(maps, rows[start : start + step])
        yield model.describe([torch.from_numpy(part).to(model.device) for part in some])
