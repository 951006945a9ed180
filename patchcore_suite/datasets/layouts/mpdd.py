"""The layout of MPDD, which is that of MVTec AD with metal parts of its own."""

from dataclasses import replace
from pathlib import Path

from patchcore_suite.datasets.layouts import mvtec
from patchcore_suite.datasets.spec import DatasetSpec

PARTS = ("bracket_black", "bracket_brown", "bracket_white", "connector", "metal_plate", "tubes")


def categories(root: Path, spec: DatasetSpec) -> list[str]:
    """The parts in `root`; none where something else lies there too, which is then no MPDD."""
    found = mvtec.categories(root, spec)
    return found if set(found) <= set(PARTS) else []


LAYOUT = replace(
    mvtec.LAYOUT,
    pattern=f"PART/train/good/*, PART/test/{{good,DEFECT}}/*, PART/ground_truth/DEFECT/STEM_mask.*; {', '.join(PARTS)}",
    holds="its 6 parts",
    categories=categories,
    homepage="https://github.com/stepanje/MPDD",
    general=False,
)
