"""Nearest neighbours in a memory bank as one graph: what `patchcore_core.neighbours` computes with search "torch"."""

import torch
from torch import Tensor, nn

from patchcore_core.neighbours import LOST_TO_ROUNDING

PART_VALUES = 2**18  # products of one image with a part of the bank, which a runtime holds a few times over
GROUP = 64  # rows: a part has whole groups

State = tuple[Tensor, Tensor, Tensor]  # queries, the lowest value of each so far, and its row


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
        self.rows = min(len(bank), max(GROUP, PART_VALUES // positions // GROUP * GROUP))
        absent = -len(bank) % self.rows  # copies of the last row fill up the last part: of equals the first is nearest
        self.register_buffer("bank", torch.cat([bank, bank[-1:].expand(absent, -1)]))
        self.register_buffer("centre", bank.float().mean(dim=0))

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
    """The row of the bank (l, d) nearest to each query (m, d), by products in parts of so many rows, which divide l."""
    parts = bank.unflatten(0, (-1, part_rows))
    halves = parts.square().sum(dim=2) / 2
    low, nearest = torch.full_like(queries[:, 0], torch.inf), torch.zeros_like(queries[:, 0], dtype=torch.long)

    def step(found: State, part: tuple[Tensor, Tensor, Tensor]) -> tuple[State, tuple[()]]:
        (queries, low, nearest), (rows, half, first) = found, part
        lowest, row = (half - queries @ rows.T).min(dim=1)  # |x - c|^2/2 without |x|^2/2
        nearest = torch.where(lowest < low, row + first, nearest)
        return (queries.clone(), torch.minimum(low, lowest), nearest), ()

    # OpenVINO's loops see nothing but what is handed on, so that queries are.
    found, steps = (queries, low, nearest), (parts, halves, torch.arange(0, len(bank), part_rows))
    if torch.compiler.is_exporting():  # as a loop: a runtime would hold the products of all parts of an unrolled one
        from torch._higher_order_ops.scan import scan

        return scan(step, found, steps)[0][2]
    for part in zip(*steps, strict=True):
        found, _ = step(found, part)
    return found[2]
