"""The report: one page that shows every table and figure and says what made them."""

import json
from base64 import b64encode
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from jinja2 import Environment, PackageLoader, StrictUndefined, select_autoescape

from patchcore_core.errors import InputError, exit_on_input_error
from patchcore_core.files import write_text
from patchcore_core.params import Params, load_params
from patchcore_core.results import RawResult, ScoreIndex
from patchcore_core.stamp import commit, machine, versions
from patchcore_core.tables import Table

TEMPLATE = "report.html"

# Tables and figures of the paper, by the notebook that makes them.
PAPER_SECTIONS = (
    ("t1_image_auroc", "Table 1", ("t1_image_auroc", "s1_image_auroc"), ("t1_image_auroc",)),
    ("t6_other_datasets", "Table 6", ("t6_other_datasets",), ()),
    ("f3_coreset_vs_random", "Figure 3", ("f3_covering_radius",), ("f3_coreset_vs_random", "f3_covering_radius")),
)

# What a figure shows, for readers who cannot see it.
ALTERNATIVE_TEXTS = {
    "t1_image_auroc": "Bars: image AUROC of each variant by category, with its spread over seeds",
    "f3_coreset_vs_random": "Points in the plane with the picks of the greedy coreset above and random picks below",
    "f3_covering_radius": "Curves: covering radius against the number of points kept, greedy below random",
    "anomaly_maps": "Test images with the outline of their ground truth, and their anomaly maps",
    "score_histograms": "Histograms: image scores of nominal and anomalous test images by category",
}


@dataclass(frozen=True)
class Figure:
    """A picture inside the page."""

    name: str
    alternative_text: str
    data: str  # base64 of the PNG


@dataclass(frozen=True)
class Section:
    """What one notebook made."""

    key: str
    heading: str
    notebook: str  # relative to reports/
    tables: tuple[tuple[str, Table], ...]
    figures: tuple[Figure, ...]

    @property
    def synthetic(self) -> bool:
        return any(table.synthetic for _, table in self.tables)


def build_report(params: Params) -> str:
    """The page as HTML, from what lies in reports/.

    Raises:
        InputError: a table, a figure or a result that it shows has not been made.
    """
    reports = params.path("reports")
    environment = Environment(
        loader=PackageLoader("patchcore_core"),
        autoescape=select_autoescape(),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    sections = [
        _section(reports, key, heading, f"executed/{key}.html", tables, figures)
        for key, heading, tables, figures in PAPER_SECTIONS
    ]
    sections += [
        _section(
            reports,
            f"results_{name}",
            f"Dataset {name}",
            f"executed/dataset_results@{name}.html",
            (f"results_{name}",),
            (f"score_histograms_{name}", f"anomaly_maps_{name}"),
        )
        for name in params.datasets
    ]
    return environment.get_template(TEMPLATE).render(
        sections=sections,
        synthetic=[section.heading for section in sections if section.synthetic],
        datasets=[_dataset(name, params) for name in params.datasets],
        stamp=_stamp(params),
    )


def _section(
    reports: Path, key: str, heading: str, notebook: str, tables: tuple[str, ...], figures: tuple[str, ...]
) -> Section:
    return Section(
        key=key,
        heading=heading,
        notebook=notebook,
        tables=tuple((name, Table.read(reports / "tables", name)) for name in tables),
        figures=tuple(_figure(reports / f"figures/{name}.png") for name in figures),
    )


def _figure(path: Path) -> Figure:
    described = next(text for name, text in ALTERNATIVE_TEXTS.items() if path.stem.startswith(name))
    if not path.is_file():
        raise InputError(f"there is no figure {path}", remedy="run `dvc repro`")
    return Figure(path.stem, described, b64encode(path.read_bytes()).decode())


def _dataset(name: str, params: Params) -> Mapping[str, object]:
    """What a dataset's results were made from, and how long they took."""
    folder = params.path(f"reports/scores/{name}")
    index = ScoreIndex.read(folder)
    stamps = [RawResult.read(folder / cell["file"]).stamp for cell in index.cells]
    timings_file = params.path(f"reports/timings/{name}.json")
    timings = json.loads(timings_file.read_text(encoding="utf-8")) if timings_file.is_file() else {}
    return {
        "name": name,
        "source": index.source,
        "images": {stamp["category"]: stamp["images_sha256"] for stamp in stamps},
        "preprocessing": index.preprocessing,
        "weights": {stamp["weights"]["backbone"]: stamp["weights"] for stamp in stamps},
        "weights_missing": index.weights_missing,
        "results": len(index.cells),
        "coreset_s": sum(timing["coreset_s"] for timing in timings.values()),
        "scoring_s": sum(timing["scoring_s"] for timing in timings.values()),
        "peak_memory_gb": max((timing["peak_memory_bytes"] for timing in timings.values()), default=0) / 2**30,
    }


def _stamp(params: Params) -> Mapping[str, object]:
    return {"commit": commit(params.root), "versions": versions(), "machine": machine()}


def main() -> None:
    """Write reports/index.html."""
    params = load_params()
    write_text(params.path("reports/index.html"), build_report(params))
    print(f"report: {params.path('reports/index.html')}")


if __name__ == "__main__":
    with exit_on_input_error():
        main()
