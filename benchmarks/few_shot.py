"""Few nominal images: every method with 1 to 16 of them, as they are and turned, on real images.

    python -m benchmarks.few_shot --mvtec FOLDER --mtd FOLDER [--train-list lists/mtd_train_filenames.txt]

`grids/few_shot.yaml` says what is run. Raw results lie in the cell store of the project, so that a run that was ended
goes on where it was. The page with all tables is docs/few_shot.md.
"""

import argparse
from collections.abc import Iterator
from contextlib import chdir
from pathlib import Path

import numpy as np
import pandas as pd

from benchmarks.few_shot_page import page
from patchcore_core import metrics
from patchcore_core.common.errors import InputError, exit_on_input_error
from patchcore_core.common.files import write_text
from patchcore_core.common.progress import progress_bar
from patchcore_suite.datasets.preprocessing import Preprocessing
from patchcore_suite.preflight.grid import read_base, read_grid, write
from patchcore_suite.run.cells import Plan
from patchcore_suite.run.prepare import prepare
from patchcore_suite.run.raw_results import RawResult
from patchcore_suite.run.result_metrics import ground_truth, maps_of
from patchcore_suite.run.score import score_dataset
from patchcore_suite.settings.params import PARAMS_FILE, find_params
from patchcore_suite.settings.project import ProjectDataset, load_project

GRID, WORK, PAGE = Path("grids/few_shot.yaml"), Path(".cache/few_shot"), Path("docs/few_shot.md")
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
    with progress_bar(len(work.cells), f"{dataset.name}: metrics", unit="cell") as bar:
        rows = []
        for row in _rows(work):
            rows.append(row)
            bar.update(1)
    return work, pd.DataFrame(rows)


def _rows(work: Plan) -> Iterator[dict[str, object]]:
    masks: dict[tuple[str, Preprocessing], np.ndarray | None] = {}
    for cell in work.cells:
        records = work.manifest.records(cell.category, "test")
        labels = np.array([record.label for record in records])
        result = RawResult.read(work.path(cell))
        row = {"category": cell.category, "variant": cell.variant, "shots": cell.shots, "seed": cell.seed}
        row["image AUROC"] = 100 * metrics.image_auroc(labels, result.scores)
        if work.dataset.name not in IMAGES_ONLY:
            of = cell.category, cell.preprocessing
            if of not in masks:
                masks[of] = ground_truth(records, cell.preprocessing)
            maps = maps_of(result, masks[of].shape[1:])
            row["pixel AUROC"] = 100 * metrics.pixel_auroc(masks[of], maps)
            row["PRO"] = 100 * metrics.pro(masks[of], maps)
        yield row


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
    with chdir(target.parent):
        found = [measured(dataset) for dataset in project.datasets.values()]
    write_text(root / PAGE, page(found))
    print(f"written: {root / PAGE}")


if __name__ == "__main__":
    with exit_on_input_error():
        main()
