"""What the report counts and colours: how many numbers of the paper came to which verdict."""

from collections import Counter
from collections.abc import Sequence

import pandas as pd

from patchcore_core import paper

NO_NUMBER = "no published number"  # the reason that `paper.verdict` gives
VERDICT_KINDS = {
    paper.REPRODUCED: "reproduced",
    paper.NEAR: "near",
    paper.NOT_REPRODUCED: "missed",
    paper.NO_VERDICT: "none",
}


def count_verdicts(frames: Sequence[pd.DataFrame]) -> tuple[Counter, int]:
    """How many comparisons with a number of the paper came to which verdict, and how many rest on synthetic images.

    A row may compare several metrics; each counts. Rows without a published number do not.
    """
    counts: Counter = Counter()
    synthetic = 0
    for frame in frames:
        if "verdict" not in frame:
            continue
        several = [name.removesuffix(": paper") for name in frame if name.endswith(": paper")]
        for row in frame.to_dict("records"):
            for metric in [""] if "paper" in frame else several:
                (verdict,) = _said(row["verdict"], metric, several) or [""]
                reasons = _said(row.get("reason", ""), metric, several)
                if verdict in VERDICT_KINDS and NO_NUMBER not in reasons:
                    counts[verdict] += 1
                    synthetic += paper.SYNTHETIC in reasons
    return counts, synthetic


def badges(cell: str) -> list[tuple[str, str]]:
    """A verdict's parts with their kinds, which colour them: ("PRO: near", "near")."""
    parts = [(part, VERDICT_KINDS.get(part.rpartition(": ")[2], "")) for part in cell.split("; ")]
    return [(part, kind) for part, kind in parts if kind]


def _said(cell: str, metric: str, metrics: Sequence[str]) -> list[str]:
    """What a cell says of one metric: "PRO: near; image AUROC, pixel AUROC: reproduced", or the same of all of them."""
    found = []
    for part in cell.split("; "):
        heads, separator, text = part.partition(": ")
        named = heads.split(", ")
        if not separator or not set(named) <= set(metrics):
            found.append(part)
        elif metric in named:
            found.append(text)
    return found
