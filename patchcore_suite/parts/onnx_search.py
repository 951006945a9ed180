"""Nearest neighbours in a memory bank as one graph: what `patchcore_core.neighbours` computes with search "torch"."""

import torch
from torch import Tensor, nn

from patchcore_core.neighbours import LOST_TO_ROUNDING

PART_VALUES = 2**20  # products of one image with a part of the bank; a runtime may hold several parts at once
GROUP = 64  # columns whose smallest value is looked for together


class Search(nn.Module):
    """The memory bank (l, d), searched for the nearest neighbour of each patch feature (m, d).

    Products about the centre of the bank rank, part by part, so that no more than `PART_VALUES` products an image are
    held; distances are then computed from differences, and what single precision cannot rank is ranked in double.

    Args:
        bank: (l, d).
        positions: patches of an image.
    """

    bank: Tensor
    centre: Tensor

    def __init__(self, bank: Tensor, positions: int) -> None:
        super().__init__()
        self.register_buffer("bank", bank)
        self.register_buffer("centre", bank.float().mean(dim=0))
        self.rows = max(GROUP, PART_VALUES // positions // GROUP * GROUP)

    def forward(self, queries: Tensor) -> tuple[Tensor, Tensor]:
        """Distances (m,) and rows of the bank (m,)."""
        bank = self.bank.float()
        near, near_bank = queries - self.centre, bank - self.centre
        rows = nearest_rows(near, near_bank, self.rows)
        distances = (bank[rows] - queries).norm(dim=1)

        norms = near.square().sum(dim=1) + near_bank.square().sum(dim=1)[rows]
        lost = (distances.square() < LOST_TO_ROUNDING * norms).nonzero()[:, 0]
        precise, precise_bank = queries[lost].double() - self.centre, bank.double() - self.centre
        found = nearest_rows(precise, precise_bank, self.rows)
        again = (precise_bank[found] - precise).norm(dim=1)
        return distances.index_put((lost,), again.float()), rows.index_put((lost,), found)


def nearest_rows(queries: Tensor, bank: Tensor, part_rows: int) -> Tensor:
    """The row of the bank (l, d) nearest to each query (m, d), by products in parts of so many rows."""
    low = nearest = None
    for number, part in enumerate(torch.split(bank, part_rows)):
        halves = part.square().sum(dim=1) / 2 - queries @ part.T  # |x - c|^2/2 without |x|^2/2
        lowest, row = halves.min(dim=1)
        row = row + number * part_rows
        if low is None:
            low, nearest = lowest, row
            continue
        nearest = torch.where(lowest < low, row, nearest)
        low = torch.minimum(low, lowest)
    return nearest
