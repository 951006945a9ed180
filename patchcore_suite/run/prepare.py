"""From a line in params.yaml to a checked dataset with a manifest."""

import argparse
import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import chdir, contextmanager
from pathlib import Path

from patchcore_core.common.errors import InputError, exit_on_input_error
from patchcore_core.common.files import write_json, writing
from patchcore_suite.datasets import synthetic
from patchcore_suite.datasets.download import download, is_original
from patchcore_suite.datasets.inspection import build_manifest
from patchcore_suite.datasets.listing import content_checksum
from patchcore_suite.datasets.manifest import Manifest
from patchcore_suite.datasets.preprocessing import Preprocessing
from patchcore_suite.datasets.records import NOMINAL
from patchcore_suite.datasets.spec import DatasetSpec
from patchcore_suite.run.asked_metrics import check_asked
from patchcore_suite.run.leftovers import locked, remove_leftovers
from patchcore_suite.run.sealed import read_json
from patchcore_suite.settings.project import load_project

LEFTOVERS = (".synthetic-*", ".synthetic.*", ".download-*", ".download.*", ".manifest.*")  # in the folder of a dataset
JUNK = (".DS_Store", "Thumbs.db", "desktop.ini")  # what systems put into folders that one looks at


def prepare(
    name: str, spec: DatasetSpec, data_dir: str | Path, *, preprocessing: Preprocessing | None = None
) -> Manifest:
    """Get a dataset ready, check all of it, and write `data_dir`/`name`/manifest.json.

    A folder is used where it is; what was drawn or downloaded before, and is still whole, is used again.

    Args:
        preprocessing: how its images will be brought to size, for a remark where this keeps little of them.

    Raises:
        InputError: the dataset cannot be had or used; a manifest from before stays as it was.
    """
    home = Path(data_dir) / name
    remove_leftovers(home, *LEFTOVERS)
    match spec.source:
        case "synthetic":
            root = home / "synthetic"
            _draw(spec, root)
        case "download":
            root = home / "download"
            if not is_original(spec.layout, root):
                with _replaced(root) as folder:
                    download(spec.layout, folder)
                write_json(root.with_suffix(".json"), {"layout": spec.layout})
        case _:
            root = Path(spec.source)
    manifest = build_manifest(name, root, spec, preprocessing=preprocessing)
    _refuse_other(home / "manifest.json")
    manifest.write(home / "manifest.json")
    print(summary(manifest))
    return manifest


def summary(manifest: Manifest) -> str:
    """The numbers of images of each category, as a table for the terminal."""
    rows = [("category", "train", "test nominal", "test anomalous", "defects")]
    for category in manifest.categories:
        counts = manifest.counts(category)
        anomalous = {defect: count for defect, count in counts["test"].items() if defect != NOMINAL}
        nominal = counts["test"].get(NOMINAL, 0)
        numbers = (sum(counts["train"].values()), nominal, sum(anomalous.values()), len(anomalous))
        rows.append((category, *map(str, numbers)))
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    table = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    kind = "SYNTHETIC images" if manifest.synthetic else "images"
    return "\n".join(
        [f"{manifest.name}: {kind} in {manifest.root}", *table, *(f"note: {w}" for w in manifest.warnings)]
    )


def _draw(spec: DatasetSpec, root: Path) -> None:
    """Draw the synthetic images, unless those in `root` were drawn by the same code from the same seed."""
    marker = root.with_suffix(".json")
    code = content_checksum(Path(synthetic.__file__).parent, "*.py")

    def state() -> dict[str, object]:
        images = content_checksum(root, "**/*")
        return {"layout": spec.layout, "seed": spec.seed, "code_sha256": code, "images_sha256": images}

    drawn, now = _read_marker(marker), state()
    if drawn == now:
        return
    if marker.exists():
        print(f"the images in {root} are drawn again: they are not those that {marker} is of", file=sys.stderr)
    with _replaced(root, untouched=drawn.get("images_sha256") == now["images_sha256"]) as folder:
        synthetic.generate(spec.layout, folder, seed=spec.seed)
    write_json(marker, state())


def _read_marker(marker: Path) -> dict[str, object]:
    """What was drawn, and from what; nothing where that is not known."""
    try:
        value = read_json(marker)
    except (OSError, ValueError):
        return {}
    return value if isinstance(value, dict) else {}


def _refuse_other(path: Path) -> None:
    """Refuse to write a manifest over a file that is none; a damaged one is no reason to."""
    try:
        value = read_json(path)
    except (OSError, ValueError):
        return
    if not (isinstance(value, dict) and {"schema", "division", "categories"} <= value.keys()):
        raise InputError(
            f"{path} is no manifest, but lies where one is written",
            remedy="move it, or give the dataset another name in params.yaml",
        )


@contextmanager
def _replaced(folder: Path, *, untouched: bool = False) -> Iterator[Path]:
    """Give an empty folder, which takes the place of `folder` only when the block succeeds.

    Args:
        untouched: whether `folder` is known to hold nothing but what was put there in this way.

    Raises:
        InputError: `folder` holds files that the new one does not: they may be somebody's own.
    """
    with writing(folder):
        folder.parent.mkdir(parents=True, exist_ok=True)
        with (
            tempfile.TemporaryDirectory(dir=folder.parent, prefix=f".{folder.name}-") as temporary,
            locked(Path(temporary)),
        ):
            fresh = Path(temporary, folder.name)
            fresh.mkdir()
            yield fresh
            if (not untouched or folder.is_symlink()) and (unknown := sorted(_files(folder) - _files(fresh))):
                raise InputError(
                    f"{folder} is to be made anew, and holds files that are not of the suite",
                    offenders=[folder / path for path in unknown],
                    remedy="move them to a folder of their own, and name it as the source of a dataset",
                )
            if folder.exists():
                shutil.rmtree(folder)
            fresh.rename(folder)


def _files(folder: Path) -> set[Path]:
    """What a folder holds, without folders, by path within it; a link is itself all that is there."""
    if folder.is_symlink():
        return {Path()}
    found = (path for path in folder.rglob("*") if path.name not in JUNK)
    return {path.relative_to(folder) for path in found if path.is_symlink() or not path.is_dir()}


def main() -> None:
    """Prepare a dataset of params.yaml."""
    parser = argparse.ArgumentParser(prog="python -m patchcore_suite.run.prepare", description=__doc__)
    parser.add_argument("dataset", help="its name in params.yaml")
    name = parser.parse_args().dataset
    project = load_project()
    with chdir(project.root):  # paths in params.yaml, and in the manifest, are relative to the project
        dataset = project.dataset(name)
        check_asked(dataset, prepare(name, dataset.spec, "data", preprocessing=dataset.preprocessing()))


if __name__ == "__main__":
    with exit_on_input_error():
        main()
