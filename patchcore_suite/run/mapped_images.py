"""Which images feature maps are of: all of a category or dataset, or turned nominal ones and those for test."""

from collections.abc import Sequence

from patchcore_suite.datasets.manifest import Manifest
from patchcore_suite.datasets.records import Record
from patchcore_suite.run.cells import Cell
from patchcore_suite.run.feature_cache import MapsOf
from patchcore_suite.run.few_shot import rotated, rotated_rows


class MapsOfCells:
    """The feature maps that each member of a cell's method describes, of the cells of a scope.

    Those that turn nominal images alike share maps of the images that any of them learns from.
    """

    def __init__(self, cells: Sequence[Cell], manifest: Manifest, scope: str | None) -> None:
        self._images_sha256 = manifest.digest(scope)
        nominal = len(manifest.records(scope, "train"))
        self._rows = rotated_rows(((cell.rotations, cell.drawn) for cell in cells), nominal)

    def __call__(self, cell: Cell) -> tuple[MapsOf, ...]:
        return tuple(
            MapsOf(
                images_sha256=self._images_sha256,
                preprocessing=cell.preprocessing,
                backbone=member.backbone,
                weights_sha256=weights["sha256"],
                rotations=cell.rotations,
                rows=self._rows.get(cell.rotations, ()),
            )
            for member, weights in zip(cell.config.members, cell.stamp["weights"], strict=True)
        )


def mapped_images(manifest: Manifest, scope: str | None, of: MapsOf) -> list[Record]:
    """The images that there are feature maps of, in their order: turned ones of training first, then those for test.

    Args:
        scope: a category, or None for all.
    """
    if not of.rotations:
        return manifest.records(scope)
    nominal = manifest.records(scope, "train")
    return rotated([nominal[row] for row in of.rows], of.rotations) + manifest.records(scope, "test")
