"""One model for all categories beside one a category: what it costs, in points, on real images.

    python -m benchmarks.one_model --mvtec FOLDER

`grids/one_model.yaml` says what is run. Raw results lie in the cell store of the project, so that a run that was ended
goes on where it was. What is found is written to docs/one_model.md.
"""

import argparse
import math
from collections.abc import Iterator
from contextlib import chdir
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from benchmarks.few_shot_page import mean_and_spread, table
from patchcore_core.common.errors import exit_on_input_error
from patchcore_core.common.files import write_text
from patchcore_suite.preflight.grid import read_base, read_grid, write
from patchcore_suite.results.formats import HEADINGS, NOTHING
from patchcore_suite.results.leads import Lead, ahead
from patchcore_suite.results.quantities import difference
from patchcore_suite.results.sources import index_of
from patchcore_suite.results.study_metrics import read_rows
from patchcore_suite.run.controls import CEILING
from patchcore_suite.run.evaluate import write_metrics
from patchcore_suite.run.prepare import prepare
from patchcore_suite.run.resamples import CellName, Replicates, cell_replicates
from patchcore_suite.run.score import collect, score_dataset
from patchcore_suite.settings.params import PARAMS_FILE, find_params
from patchcore_suite.settings.project import ProjectDataset, load_project

GRID, WORK, PAGE = Path("grids/one_model.yaml"), Path(".cache/one_model"), Path("docs/one_model.md")
OWN, TOGETHER = "mvtec", "mvtec_together"  # datasets of the grid, of the same images
METRICS = ("image_auroc", "pro", "aupimo")
HEAD = """# One model for all categories

Measured by this suite on real images, and written by the command that measures, not by hand:

```sh
python -m benchmarks.one_model --mvtec FOLDER
```

`together: true` of a dataset lets one model learn all its categories, and each is tested with it. Here these are
{categories}, with `tf_efficientnet_lite0`: a bank that keeps 1 or 10 % of the
patches of all beside banks of each category that keep the same share of its own; both take as many rows, but for
rounding. "Images" are nominal ones of each category, the same ones for both. Values are percent, mean ± standard
deviation over {seeds} seeds.

What one model costs is the difference in points, own less shared: positive where the own model is better. It has two
intervals (95 %): of Student's t over seeds, on these test images; and a bootstrap interval over test images, with
these seeds (1000 resamples, nominal and anomalous images apart, both models on the same ones). Decided is what both
leave no doubt of. A reduced category of two nominal test images says little, whatever its intervals.
Two categories are the fewest that can share a model: of what more of them cost, nothing is said here.
All settings: `grids/one_model.yaml`.

## What it costs

"""


class Measured(NamedTuple):
    """What a dataset's raw results are worth: values in rows, and on resampled test images.

    Attributes:
        shares: where all categories learn together, of each variant and number of shots (None: all) the share of the
            patches and of the bank's rows that is the first category's, mean over seeds.
    """

    rows: pd.DataFrame
    replicates: dict[CellName, Replicates]
    shares: dict[tuple[str, int | None], tuple[float, float]]


class BySeed(NamedTuple):
    """Values, and those on resampled test images, of one model by seed."""

    values: pd.Series
    drawn: dict[int, NDArray[np.float64]]


class Row(NamedTuple):
    """Own models beside a shared one: values of each seed, as fractions, and what the own ones are ahead by."""

    category: str
    metric: str
    variant: str
    shots: int | None
    own: pd.Series
    together: pd.Series
    lead: Lead

    @property
    def images(self) -> str:
        """How many nominal images of each category the models learn from."""
        return "all" if self.shots is None else str(self.shots)


def measured(dataset: ProjectDataset) -> Measured:
    """Compute what is missing, then all metrics."""
    prepare(dataset.name, dataset.spec, "data", preprocessing=dataset.preprocessing())
    collect(score_dataset(dataset))
    write_metrics(dataset)
    replicates = cell_replicates(dataset, METRICS, wanted=lambda cell: True)
    return Measured(read_rows(dataset), replicates, shares(dataset) if dataset.settings.protocol.together else {})


def shares(dataset: ProjectDataset) -> dict[tuple[str, int | None], tuple[float, float]]:
    """See `Measured`."""
    manifest, found = dataset.manifest(), {}
    counts = [len(manifest.records(category, "train")) for category in manifest.categories]
    for cell, result in index_of(dataset).results(dataset.scores, category=manifest.categories[0]):
        of_patches = counts[0] / sum(counts) if cell["shots"] is None else 1 / len(counts)
        patches = result.stamp["nominal_images"] * math.prod(result.distances.shape[1:])
        of_rows = float((result.coreset_indices < of_patches * patches).mean())
        found.setdefault((cell["variant"], cell["shots"]), []).append((of_patches, of_rows))
    return {name: tuple(np.mean(of_seeds, axis=0)) for name, of_seeds in found.items()}


def compared(own: Measured, together: Measured) -> Iterator[Row]:
    """Every variant with every number of nominal images, by category and metric."""
    rows = own.rows[own.rows["metric"].isin(METRICS) & (own.rows["variant"] != CEILING)]
    cells = rows[["category", "metric", "variant", "shots"]].drop_duplicates()
    cells = cells.sort_values("shots", na_position="last", kind="stable")
    cells = cells.sort_values("variant", key=lambda of: of.map(list(dict.fromkeys(of)).index), kind="stable")
    for category in rows["category"].unique():
        for metric in METRICS:
            chosen = cells[(cells["category"] == category) & (cells["metric"] == metric)]
            for variant, given in chosen[["variant", "shots"]].itertuples(index=False):
                shots = None if pd.isna(given) else int(given)
                first, second = (_of(one, category, metric, variant, shots) for one in (own, together))
                lead = ahead(first.values, second.values, (first.drawn, second.drawn))
                if lead is not None:
                    yield Row(category, metric, variant, shots, first.values, second.values, lead)


def _of(found: Measured, category: str, metric: str, variant: str, shots: int | None) -> BySeed:
    rows = found.rows
    rows = rows[(rows["category"] == category) & (rows["metric"] == metric) & (rows["variant"] == variant)]
    rows = rows[rows["shots"].isna() if shots is None else rows["shots"] == shots]
    drawn = {
        cell.seed: of[metric]
        for cell, of in found.replicates.items()
        if cell[:3] == (category, variant, shots) and metric in of
    }
    return BySeed(rows.set_index("seed")["value"], drawn)


def page(rows: list[Row], shared: Measured) -> str:
    """The whole page."""
    categories = list(dict.fromkeys(row.category for row in rows))
    seeds = max(len(row.own) for row in rows)
    parts = [HEAD.format(categories=" and ".join(f"`{name}`" for name in categories), seeds=seeds)]
    parts.append("\n".join(claims(rows)) + "\n")
    head = ["variant", "images", "of the patches", "of the rows"]
    lines = [
        [row.variant, row.images, *(f"{100 * share:.1f}" for share in shared.shares[row.variant, row.shots])]
        for row in rows
        if row[:2] == rows[0][:2]
    ]
    parts.append(
        f"\nHow greedy selection shares out one bank; what is of `{categories[0]}`, in %:\n\n" + table(head, lines)
    )
    for category in categories:
        parts.append(f"\n## `{category}`\n")
        for metric in METRICS:
            of = [row for row in rows if (row.category, row.metric) == (category, metric)]
            head = ["variant", "images", "own model", "one for all", "it costs", "over seeds", "over test images"]
            parts.append(f"\n**{HEADINGS[metric]}**\n\n" + table(head, [_cells(row) for row in of], texts=1))
    return "".join(parts)


def claims(rows: list[Row]) -> list[str]:
    """What it costs with all images, and where else it is decided: a sentence each, by category and metric."""
    said = []
    for category, metric in dict.fromkeys((row.category, row.metric) for row in rows):
        found = [row for row in rows if (row.category, row.metric) == (category, metric)]
        every = ", ".join(f"{_cost(row)} with {row.variant}" for row in found if row.shots is None)
        few = [row for row in found if row.shots is not None]
        sure = [f"{_cost(row)} with {row.variant} of {_images(row)}" for row in few if row.lead.decided]
        of_few = f"decided are {len(sure)} of {len(few)}" + (f": {'; '.join(sure)}" if sure else "")
        said.append(f"- `{category}`, {HEADINGS[metric]}: of all images {every}. Of few images {of_few}.")
    return said


def _images(row: Row) -> str:
    return f"{row.images} image{'' if row.shots == 1 else 's'}"


def _cost(row: Row) -> str:
    over = [str(one) for one in (row.lead.interval, row.lead.images) if one is not None]
    return f"{difference(row.lead.mean)} ({'; '.join(over)})"


def _cells(row: Row) -> list[str]:
    values = [mean_and_spread(100 * one.dropna()) for one in (row.own, row.together)]
    over = [NOTHING if one is None else str(one) for one in (row.lead.interval, row.lead.images)]
    return [row.variant, row.images, *values, str(difference(row.lead.mean)), *over]


def main() -> None:
    """Measure, and write the page."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.one_model", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--mvtec", type=Path, required=True, help="the folder that holds the categories of MVTec AD")
    given = parser.parse_args()
    root = find_params().resolve().parent
    base, original = read_base(root)
    sources = [f"datasets.{name}.source={given.mvtec.resolve()}" for name in (OWN, TOGETHER)]
    merged = read_grid(root / GRID, base, sources)
    target = root / WORK / PARAMS_FILE
    target.parent.mkdir(parents=True, exist_ok=True)
    write(merged, GRID, root, target, original)
    project = load_project(target)
    with chdir(target.parent):
        found = [measured(project.dataset(name)) for name in (OWN, TOGETHER)]
    write_text(root / PAGE, page(list(compared(*found)), found[1]))
    print(f"written: {root / PAGE}")


if __name__ == "__main__":
    with exit_on_input_error():
        main()
