"""Which dataset of the paper the images of a dataset are: what params.yaml says of it, checked against what is known.

A folder's layout does not tell: your own parts may lie as MVTec AD's do. Only a dataset that says which one it is, and
fits, bears a name of the paper's, stands beside the paper's numbers and gets a verdict.
"""

from collections.abc import Iterable, Iterator

from patchcore_core.common.errors import InputError
from patchcore_suite.datasets.manifest import Manifest
from patchcore_suite.datasets.paper_counts import MSTC_EVERY, MSTC_SCENES, PAPER_COUNTS, Counts, counts_of
from patchcore_suite.datasets.spec import PAPER_NAMES

COMPLETE, REDUCED = "complete", "reduced"  # all images of the paper's dataset; some of them
SYNTHETIC, OWN = "synthetic", "own"  # drawn here; none of the paper's


def check_identity(manifest: Manifest) -> None:
    """Compare a dataset with the one of the paper that it says it is; synthetic images only stand in for that.

    Raises:
        InputError: a category that the paper's dataset does not have, or more images than it has; all are listed.
    """
    if manifest.paper is None or manifest.synthetic:
        return
    problems = list(_problems(manifest))
    if problems:
        raise InputError(
            f"the images of {manifest.name} are not those of {PAPER_NAMES[manifest.paper]}, which its `paper` names",
            offenders=problems,
            remedy=f"set datasets.{manifest.name}.paper to null: its results are then compared with none of the "
            "paper's; or correct source or categories",
        )


def paper_categories(paper: str) -> tuple[str, ...]:
    """All categories of a dataset of the paper, by its key in `PAPER_NAMES`."""
    return tuple(PAPER_COUNTS[paper]) if paper in PAPER_COUNTS else MSTC_SCENES


def completeness(manifest: Manifest) -> dict[str, str]:
    """For each category, whether all images of the paper's dataset are there or only some.

    Returns:
        `COMPLETE` or `REDUCED` by category; nothing for a dataset that is none of the paper's.
    """
    if manifest.paper is None:
        return {}
    return {category: COMPLETE if _is_complete(manifest, category) else REDUCED for category in manifest.categories}


def extent(manifest: Manifest, categories: Iterable[str] | None = None) -> str:
    """What a dataset is beside the paper's: `SYNTHETIC`, `OWN`, `COMPLETE` with all its categories, or `REDUCED`.

    Args:
        categories: ask of these alone: they are `COMPLETE` where no image of any is left out.
    """
    if manifest.synthetic:
        return SYNTHETIC
    if manifest.paper is None:
        return OWN
    found = completeness(manifest)
    wanted = {*found, *paper_categories(manifest.paper)} if categories is None else categories
    return COMPLETE if all(found.get(category) == COMPLETE for category in wanted) else REDUCED


def _is_complete(manifest: Manifest, category: str) -> bool:
    if category not in paper_categories(manifest.paper):
        return False
    if manifest.paper not in PAPER_COUNTS:  # mSTC, whose numbers of frames are not published
        return manifest.division.get("every") == MSTC_EVERY
    return _found(manifest, category) == _wanted(manifest, category)


def _problems(manifest: Manifest) -> Iterator[str]:
    name, known = PAPER_NAMES[manifest.paper], paper_categories(manifest.paper)
    for category in manifest.categories:
        if category not in known:
            yield f"{category}: {name} has no such category, but {', '.join(known)}"
        elif manifest.paper in PAPER_COUNTS:
            wanted = _wanted(manifest, category)
            for kind, count in _found(manifest, category).items():
                if count > wanted[kind]:
                    yield f"{category}: {count} {kind} images, but {name} has {wanted[kind]}"


def _found(manifest: Manifest, category: str) -> Counts:
    return _as_divided(manifest, counts_of(manifest.records(category)))


def _wanted(manifest: Manifest, category: str) -> Counts:
    train, nominal, anomalous, _ = PAPER_COUNTS[manifest.paper][category]
    return _as_divided(manifest, {"training": train, "nominal test": nominal, "anomalous test": anomalous})


def _as_divided(manifest: Manifest, counts: Counts) -> Counts:
    """Counts as they must agree: MTD's defect-free images are divided here, so that only their sum is the paper's."""
    if manifest.paper != "mtd":
        return counts
    return {"nominal": counts["training"] + counts["nominal test"], "anomalous": counts["anomalous test"]}
