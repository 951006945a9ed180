"""Which rows a new pick may come nearer to, found for a fraction of what their distances cost."""

from typing import cast

import torch
from torch import Tensor

from patchcore_core.fast.products import WORTH_WHILE, Product, bfloat16_pays, block_rows, in_blocks
from patchcore_core.patches import Rows

SAMPLED = 8192  # rows that the basis is taken from; any orthonormal basis would do, only slower
KEPT = 0.97  # share of the variance that the leading components hold
LONGER = 6  # columns beside the components
ALIGNED = 16  # columns that a processor takes at a time
DEAREST = 0.75  # times the cost of the distances: above that a screening does not pay
MOST_TO_PASS = 0.6  # share of the rows, above which their distances are computed at once
LOST = 2.0**-16  # of a squared norm, at most, to rounding when a row is split into components and rest
CUT = 2.0**-14  # by which a squared norm is made smaller before it is rounded
INTEGERS = {torch.bfloat16: torch.int16, torch.float32: torch.int32}


class Screen:
    """Lower bounds of squared distances, from few leading principal components and in few bits.

    With x = (x1, x2), leading components and the rest, x c <= x1 c1 + |x2| |c2| by Cauchy-Schwarz, so that

        |x - c|^2 / 2  >=  |x|^2 / 2 + |c|^2 / 2 - x1 c1 - |x2| |c2|,

    a product of vectors of few columns. In bfloat16, where the processor is much faster at it, rounding x1 and c1 moves
    x1 c1 by at most (2 u + u^2) |x1| |c1|, which another column subtracts. All that is stored is rounded to the side on
    which the bound holds.

    Args:
        features: (n, d), in any floating-point type; not kept.
        centre: (d,) what is subtracted from them first.
        kind: of number that the bounds are computed in; None takes bfloat16 where it is faster, else float32.
        dearest: what a screening may cost, in times the cost of the distances; above that it does not pay (`pays`).
        most_to_pass: share of the rows, above which nothing is chosen.
    """

    def __init__(
        self,
        features: Rows,
        centre: Tensor,
        *,
        kind: torch.dtype | None = None,
        dearest: float = DEAREST,
        most_to_pass: float = MOST_TO_PASS,
    ) -> None:
        n, d = features.shape
        self._type = kind or (torch.bfloat16 if bfloat16_pays(features.device) else torch.float32)
        self._most_to_pass = most_to_pass
        self._unit = torch.finfo(self._type).eps / 2  # largest relative error of rounding
        self._centre = centre
        self._basis = _leading_components(features[:: -(-n // SAMPLED)].to(centre) - centre)
        columns = self._basis.shape[1] + LONGER
        self.pays = columns <= dearest * d * (WORTH_WHILE if self._type == torch.bfloat16 else 1)
        if not self.pays:
            return
        self._rows, size = torch.empty(n, columns, dtype=self._type), block_rows(d, features.device)
        in_blocks(n, size, lambda block: self._fill(self._rows[block], features[block]), features)

    def _fill(self, rows: Tensor, features: Tensor) -> None:
        """Rows are (x1, |x1|, |x2|, two digits of |x|^2/2, 1, 1)."""
        x = features.to(self._centre) - self._centre
        leading, squared = x @ self._basis, x.square().sum(dim=1)
        of_leading = leading.square().sum(dim=1)
        rest = ((squared - of_leading).clamp_min(0) + LOST * squared).sqrt() * (1 + 1.02 * self._unit)
        half = squared * ((1 - CUT) / 2)
        upper = half.to(self._type).to(half)
        k = leading.shape[1]
        rows[:, :k], rows[:, -2:] = leading, 1
        rows[:, k:-2] = torch.stack([of_leading.sqrt(), rest, upper, half - upper], dim=1).to(self._type)

    def _factors(self, picks: Tensor) -> Tensor:
        """Columns of the product are (-c1, -margin |c1|, -|c2|, 1, 1, two digits of |c|^2/2)."""
        stored = self._rows.new_empty(len(picks), self._rows.shape[1])
        self._fill(stored, picks)
        rows = stored.float()
        leading, norm, rest, digits, ones = torch.split(rows, [rows.shape[1] - LONGER, 1, 1, 2, 2], dim=1)
        return torch.cat([-leading, -2.1 * self._unit * norm, -rest, ones, digits], dim=1).to(self._type).T

    def passing(self, picks: Tensor, squared: Tensor, rounding: float) -> Tensor | None:
        """Rows (m,) that a pick (b, d) may come nearer to than their squared gaps (n,); None if most may.

        A squared distance may lose `rounding` when it is computed in full.
        """
        n, factors, product = len(squared), self._factors(picks), Product()
        size = block_rows(len(picks), squared.device)

        def passes(block: slice) -> Tensor:
            low = product(self._rows[block], factors)
            # Numbers that are not negative are in the order of their bits, and integers are compared much faster; a
            # negative bound is as good as any other.
            low = low.view(INTEGERS[self._type]).amin(dim=1).view(self._type).to(squared)
            return 2 * (low - 1.01 * self._unit * low.abs()) - rounding < squared[block]

        if float(passes(slice(None, None, -(-n // size))).float().mean()) > self._most_to_pass:
            return None
        found: dict[int, Tensor] = {}
        in_blocks(n, size, lambda block: found.update({block.start: passes(block).nonzero()[:, 0]}), self._rows)
        return torch.cat([found[start] + start for start in sorted(found)])


def _leading_components(sample: Tensor) -> Tensor:
    """An orthonormal basis (d, k) of the principal components that hold most variance of (m, d) centred rows."""
    values, vectors = cast("tuple[Tensor, Tensor]", torch.linalg.eigh((sample.T @ sample).double()))
    held = values.flip(0).clamp_min(0).cumsum(0)
    k = int((held < KEPT * held[-1]).sum()) + 1
    k = min(len(held), -(-(k + LONGER) // ALIGNED) * ALIGNED - LONGER)
    return vectors.flip(1)[:, :k].to(sample).contiguous()
