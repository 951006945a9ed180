"""What the suite measured on real images, beside the paper's numbers: measured/ as data, docs/results.md for readers.

    python -m patchcore_suite.report.results_page [--run | --finished] [--to FILE] [--data FOLDER]

The data of a dataset are made from reports/metrics, reports/scores and reports/timings of the nearest params.yaml;
`--run` computes these first: each dataset is prepared, scored and evaluated by what the stages of the pipeline call,
and its data written before the next one is begun. A run that was ended goes on where it was; `--finished` takes the
results that are there, and names the others. The page shows earlier runs too. Synthetic images are refused.
"""

import argparse
import sys
from collections.abc import Iterator, Sequence
from contextlib import chdir
from dataclasses import replace
from math import isnan
from pathlib import Path

import pandas as pd
from jinja2 import Environment, PackageLoader, StrictUndefined

from patchcore_core.common.errors import InputError, exit_on_input_error
from patchcore_core.common.files import write_text
from patchcore_suite.datasets.identity import COMPLETE
from patchcore_suite.datasets.manifest import Manifest
from patchcore_suite.paper.beside import Printed, beside_paper
from patchcore_suite.report.earlier import CELL, earlier_values, with_earlier
from patchcore_suite.report.measured import FOLDER, NOTE, Block, Measured, read_all, stamp_of
from patchcore_suite.report.method_costs import method_costs
from patchcore_suite.report.study_blocks import describe_seeds, metrics_frame, study_blocks
from patchcore_suite.results import study_metrics
from patchcore_suite.results.formats import HEADINGS
from patchcore_suite.results.publish import published_of
from patchcore_suite.results.sources import dataset_title, images_of, index_of
from patchcore_suite.run.cells import Plan, plan, wanted_cells
from patchcore_suite.run.evaluate import write_metrics
from patchcore_suite.run.prepare import prepare
from patchcore_suite.run.raw_results import ScoreIndex
from patchcore_suite.run.score import collect, score_dataset
from patchcore_suite.settings.project import Project, ProjectDataset, load_project

TEMPLATE = "results.md"
VALUES = (  # of the table that `make publish` writes
    "dataset", "category", "variant", "method", "shots", "seed", "metric", "value", "low", "high",
    "key", "config_sha256",
)  # fmt: skip
# Tables of the paper by its dataset: number, that of its categories, metric.
PAPER_TABLES = {
    "mvtec-ad": (("T1", "S1", "image_auroc"), ("T2", "S2", "pixel_auroc"), ("T3", "S3", "pro")),
    "mtd": (("T6", None, "image_auroc"),),
    "mstc": (("T6", None, "pixel_auroc"),),
}


def run(project: Project, data: Path, *, finished: bool = False) -> None:
    """Prepare, score and evaluate every dataset, and write its data; what was computed before is used again.

    Args:
        finished: score nothing; of a dataset without any result the data stay as they are, and of the others what an
            earlier run has and this one has not.

    Raises:
        InputError: an image or a study cannot be used, or the metrics were refused.
    """
    data = data.absolute()
    with chdir(project.root):
        for name, dataset in project.datasets.items():
            _require_real(name, dataset.spec.source == "synthetic")
        for name, dataset in project.datasets.items():
            prepare(name, dataset.spec, "data", preprocessing=dataset.preprocessing())
            work = _finished(dataset) if finished else score_dataset(dataset)
            if not work.cells:
                print(f"note: nothing of {name} has been computed yet; its data stay as they are", file=sys.stderr)
                continue
            collect(work)
            write_metrics(dataset)
            write(dataset, data, keep=finished)
            print(f"measured: {name}, in {data}")


def write(dataset: ProjectDataset, data: Path, *, keep: bool = False) -> None:
    """Write the data of a dataset.

    Args:
        keep: what an earlier run measured and this one did not (see `earlier`).

    Raises:
        InputError: results or metrics are missing, or images are synthetic.
    """
    found, values = measure(dataset, data if keep else None), published_of(dataset)[list(VALUES)]
    if keep:
        found, values = with_earlier(found, values, data)
    found.write(data, values)


def measure(dataset: ProjectDataset, earlier: Path | None = None) -> Measured:
    """What was measured on a dataset; errors as of `write`.

    Args:
        earlier: the folder of data whose values count as measured, too.
    """
    index, stamp = index_of(dataset), stamp_of(dataset)
    _require_real(dataset.name, index.synthetic)
    before = earlier and earlier_values(earlier, dataset.name, stamp["images"])
    return Measured(
        name=dataset.name,
        order=list(dataset.project.datasets).index(dataset.name),
        title=dataset_title(dataset),
        counts=tuple(_counts(dataset.manifest())),
        missing=tuple(entry["variant"] for entry in index.weights_missing),
        pending=tuple(_pending(dataset, index, before)),
        blocks=(*_main_blocks(dataset), *study_blocks(dataset)),
        stamp=stamp,
        costs=_costs(dataset),
    )


def page(found: Sequence[Measured]) -> str:
    """The page as Markdown."""
    environment = Environment(
        loader=PackageLoader("patchcore_suite.report"), undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters["table"] = markdown_table
    return environment.get_template(TEMPLATE).render(datasets=found)


def markdown_table(frame: pd.DataFrame) -> str:
    """A table in Markdown, its first column aligned left and the others right."""
    rows = [list(map(str, frame.columns)), *([str(value) for value in row] for row in frame.itertuples(index=False))]
    cells = [[text.replace("|", "\\|") for text in row] for row in rows]
    rule = ["---"] + ["---:"] * (len(frame.columns) - 1)
    return "\n".join(f"| {' | '.join(row)} |" for row in [cells[0], rule, *cells[1:]])


def _require_real(name: str, synthetic: bool) -> None:
    if synthetic:
        raise InputError(
            f"the images of {name} are synthetic, and docs/results.md reports real ones only",
            remedy=f"set datasets.{name}.source to a folder of real images, or take the dataset out",
        )


def _finished(dataset: ProjectDataset) -> Plan:
    """What there is to compute, without what nobody has computed yet."""
    work = plan(dataset)
    pending = {cell.key for cell in work.pending()}
    return replace(work, cells=tuple(cell for cell in work.cells if cell.key not in pending))


def _pending(dataset: ProjectDataset, index: ScoreIndex, before: pd.DataFrame | None) -> Iterator[str]:
    """The variants of the studies without a result, by what they lack: "seeds 1, 2: padim, spade"."""
    without_weights = {entry["variant"] for entry in index.weights_missing}
    planned = {variant for study in dataset.studies.values() for variant in study.variants} - without_weights
    found = {tuple(cell[name] for name in CELL) for cell in index.cells}
    if before is not None:
        rows = before.loc[before["seed"].notna(), CELL].astype(object)
        found |= set(rows.where(rows.notna(), None).itertuples(index=False, name=None))
    lacking: dict[tuple[str, int | None], dict[int, None]] = {}
    for cell in wanted_cells(dataset, dataset.manifest(), available=dict.fromkeys(planned)):
        if cell not in found:
            _, variant, shots, seed = cell
            lacking.setdefault((variant, shots), {})[seed] = None
    variants: dict[str, list[str]] = {}
    for (variant, shots), seeds in lacking.items():
        images = "" if shots is None else f"{shots} nominal image{'s' if shots > 1 else ''}, "
        of = f"{images}seed{'s' if len(seeds) > 1 else ''} {', '.join(map(str, seeds))}"
        variants.setdefault(of, []).append(variant)
    yield from (f"{of}: {', '.join(names)}" for of, names in variants.items())


def _main_blocks(dataset: ProjectDataset) -> Iterator[Block]:
    """The main study: each table of the paper, then all metrics."""
    rows = study_metrics.read_metrics(dataset)
    categories = list(rows["category"].unique())
    complete = [category for category in categories if images_of(dataset, [category]) == COMPLETE]
    for whole, by_category, metric in PAPER_TABLES.get(dataset.manifest().paper, ()):
        means = ["mean"] if images_of(dataset) == COMPLETE else []
        for category in complete if by_category and not means else means:
            table = by_category if category != "mean" else whole
            frame = beside_paper(Printed(table), metric, dataset, category=category)
            note = "Differences in percentage points; a verdict compares unlike networks where the reason says so."
            of = "" if category == "mean" else f", {category}"
            yield Block(f"{_number(whole, by_category, category)}: {HEADINGS[metric]}{of}", note, frame)
    yield Block("All metrics of these variants", describe_seeds(dataset, rows), metrics_frame(rows))


def _costs(dataset: ProjectDataset) -> dict[str, list[float | None]]:
    """What the methods of the main study cost, to three digits: a busy machine has other times."""
    found = method_costs(dataset, study_metrics.read_metrics(dataset))
    kept = found[found.index.isin(dataset.variants)]
    return {name: [None if isnan(v) else float(f"{v:.3g}") for v in row] for name, row in kept.iterrows()}


def _counts(manifest: Manifest) -> list[str]:
    said = []
    for category in manifest.categories:
        counts = manifest.counts(category)
        tests = ", ".join(f"{count} {defect}" for defect, count in sorted(counts["test"].items()))
        said.append(f"`{category}`: {sum(counts['train'].values())} training images; test {tests}")
    if manifest.division:
        said.append("division: " + ", ".join(f"{name} {value}" for name, value in manifest.division.items()))
    return said + [f"{NOTE}{warning}" for warning in manifest.warnings]


def _number(whole: str, by_category: str | None, category: str) -> str:
    """A table's number in words: "Table 1 (Table S1)"."""
    first = f"Table {whole.removeprefix('T')}"
    return first if category == "mean" or by_category is None else f"{first} (Table {by_category})"


def main() -> None:
    """Write the data, and docs/results.md."""
    parser = argparse.ArgumentParser(prog="python -m patchcore_suite.report.results_page", description=__doc__)
    first = parser.add_mutually_exclusive_group()
    first.add_argument("--run", action="store_true", help="prepare, score and evaluate first")
    first.add_argument("--finished", action="store_true", help="of results that a run has left, evaluate those")
    parser.add_argument("--to", type=Path, help="where the page goes; by default docs/results.md of the project")
    parser.add_argument("--data", type=Path, help=f"where the data go; by default {FOLDER}/ of the project")
    arguments = parser.parse_args()
    project = load_project()
    data = arguments.data or project.path(FOLDER)
    if arguments.run or arguments.finished:
        run(project, data, finished=arguments.finished)
    else:
        for dataset in project.datasets.values():
            write(dataset, data)
    target = arguments.to or project.path("docs/results.md")
    write_text(target, page(read_all(data)))
    print(f"results: {target}, from {data}")


if __name__ == "__main__":
    with exit_on_input_error():
        main()
