"""Few nominal images: every method with 1 to 16 of them, as they are and turned, on real images.

    python -m benchmarks.few_shot --mvtec FOLDER --mtd FOLDER [--train-list lists/mtd_train_filenames.txt]

`grids/few_shot.yaml` says what is run. Raw results lie in the cell store of the project and their metrics in
.cache/few_shot, so that a run that was ended goes on where it was. The page with all tables is docs/few_shot.md; it is
written anew after each dataset.
"""

import argparse
import json
from collections.abc import Callable
from contextlib import chdir
from functools import partial
from itertools import groupby
from pathlib import Path
from typing import Self

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from benchmarks.few_shot_page import page
from patchcore_core import metrics
from patchcore_core.common.errors import InputError, exit_on_input_error
from patchcore_core.common.files import write_json, write_text
from patchcore_core.common.progress import progress_bar
from patchcore_suite.datasets.preprocessing import Preprocessing
from patchcore_suite.preflight.grid import read_base, read_grid, write
from patchcore_suite.run.cells import Cell, Plan
from patchcore_suite.run.prepare import prepare
from patchcore_suite.run.raw_results import RawResult
from patchcore_suite.run.result_metrics import ground_truth, maps_of
from patchcore_suite.run.score import score_dataset
from patchcore_suite.settings.params import PARAMS_FILE, find_params
from patchcore_suite.settings.project import ProjectDataset, load_project

GRID, WORK, PAGE = Path("grids/few_shot.yaml"), Path(".cache/few_shot"), Path("docs/few_shot.md")
KEPT = "metrics.json"
IMAGES_ONLY = ("mtd",)  # of which the papers print no pixel metrics


def settings(given: argparse.Namespace) -> list[str]:
    """What the command line sets in the grid.

    Raises:
        InputError: no folder is given, or there is no such file of training images.
    """
    mvtec = [f"datasets.{name}.source={given.mvtec}" for name in ("mvtec", "mvtec_blocks") if given.mvtec]
    mtd = [f"datasets.mtd.source={given.mtd}"] if given.mtd else []
    names = [f"datasets.mtd.train_list={given.train_list}"] if given.mtd and given.train_list else []
    if not mvtec and not mtd:
        raise InputError("no images to measure on", remedy="give --mvtec or --mtd, or both")
    if names and not given.train_list.is_file():
        raise InputError(f"there is no file {given.train_list}", remedy="copy the list there, see lists/README.md")
    return [*mvtec, *mtd, *names]


def measured(dataset: ProjectDataset) -> tuple[Plan, pd.DataFrame]:
    """Check the images of a dataset; then see `scored`."""
    prepare(dataset.name, dataset.spec, "data", preprocessing=dataset.preprocessing())
    return scored(dataset)


def scored(dataset: ProjectDataset) -> tuple[Plan, pd.DataFrame]:
    """Compute what is missing, and the metrics of every result, in percent: category, variant, shots, seed, ..."""
    work = score_dataset(dataset)
    rows = []
    with Kept(dataset.project.root / KEPT) as kept, progress_bar(len(work.cells), f"{dataset.name}: metrics") as bar:
        for category, of_category in groupby(work.cells, key=lambda cell: cell.category):
            truth = Truth(work, category)
            for cell in of_category:
                about = {"category": category, "variant": cell.variant, "shots": cell.shots, "seed": cell.seed}
                rows.append(about | kept.values(cell.key, partial(truth.metrics, cell)))
                bar.update(1)
    return work, pd.DataFrame(rows)


class Kept:
    """Metrics of results by key, which are written to a file when the block is left, in whatever way."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._values: dict[str, dict[str, float]] = json.loads(path.read_text()) if path.is_file() else {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        write_json(self._path, self._values)

    def values(self, key: str, measure: Callable[[], dict[str, float]]) -> dict[str, float]:
        """What is kept under a key, or else what is measured now."""
        if key not in self._values:
            self._values[key] = measure()
        return self._values[key]


class Truth:
    """What results of a category are measured against."""

    def __init__(self, work: Plan, category: str) -> None:
        self._work, self._records = work, work.manifest.records(category, "test")
        self._labels = np.array([record.label for record in self._records])
        self._masks: dict[Preprocessing, NDArray[np.bool_] | None] = {}

    def metrics(self, cell: Cell) -> dict[str, float]:
        """In percent; of the images alone where papers print no more, or there are no maps."""
        result = RawResult.read(self._work.path(cell))
        found = {"image AUROC": 100 * metrics.image_auroc(self._labels, result.scores)}
        if self._work.dataset.name in IMAGES_ONLY or result.distances is None:
            return found
        if cell.preprocessing not in self._masks:
            self._masks[cell.preprocessing] = ground_truth(self._records, cell.preprocessing)
        masks = self._masks[cell.preprocessing]
        return found | {"PRO": 100 * metrics.pro(masks, maps_of(result, masks.shape[1:]))}


def main() -> None:
    """Measure, and write the page."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.few_shot", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--mvtec", type=Path, help="the folder that holds `bottle` of MVTec AD")
    parser.add_argument("--mtd", type=Path, help="the folder of the Magnetic Tile Defects")
    parser.add_argument("--train-list", type=Path, help="a file that names MTD's training images")
    given = parser.parse_args()
    root = find_params().resolve().parent
    base, original = read_base(root)
    merged = read_grid(root / GRID, base, settings(given))
    target = root / WORK / PARAMS_FILE
    target.parent.mkdir(parents=True, exist_ok=True)
    write(merged, GRID, root, target, original)
    project = load_project(target)
    found = []
    with chdir(target.parent):
        for dataset in project.datasets.values():
            found.append(measured(dataset))
            write_text(root / PAGE, page(found))
    print(f"written: {root / PAGE}")


if __name__ == "__main__":
    with exit_on_input_error():
        main()
