"""The report: one page that shows every table and figure, says what they are worth and what made them."""

import json
from base64 import b64encode
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
from jinja2 import Environment, PackageLoader, StrictUndefined, select_autoescape

from patchcore_core import paper
from patchcore_core.contents import ALTERNATIVE_TEXTS, CONTENTS, PAPER_SECTIONS, TIMED
from patchcore_core.errors import InputError, exit_on_input_error
from patchcore_core.files import write_text
from patchcore_core.params import Params, load_params
from patchcore_core.results import RawResult, ScoreIndex
from patchcore_core.stamp import commit, machine, versions
from patchcore_core.tables import Table

TEMPLATE = "report.html"

NO_NUMBER = "no published number"  # the reason that `paper.verdict` gives
VERDICT_KINDS = {
    paper.REPRODUCED: "reproduced",
    paper.NEAR: "near",
    paper.NOT_REPRODUCED: "missed",
    paper.NO_VERDICT: "none",
}
NUMBER = r"[+<~-]? ?\d[\d.]*(?:[ %]|$)"  # "97.3 ± 0.4", "< 30.0"; not "1-nn"
LONG_TEXT = 40  # characters from which a column is read as prose


@dataclass(frozen=True)
class Column:
    """How a column of a table is set: numbers to the right, words to the left, prose in lines of its own."""

    name: str
    kind: str  # "number", "word" or "prose"


@dataclass(frozen=True)
class Shown:
    """A table inside the page."""

    folder: str  # in reports/
    name: str
    table: Table

    @property
    def columns(self) -> list[Column]:
        return [Column(name, _kind(self.table.frame[name])) for name in self.table.frame]

    @property
    def rows(self) -> list[list[tuple[Column, str, list[tuple[str, str]]]]]:
        """The cells of each row: column, text, and for a verdict its parts with their kinds."""
        columns = self.columns
        return [
            [
                (column, text, _badges(text) if column.name == "verdict" else [])
                for column, text in zip(columns, row, strict=True)
            ]
            for row in self.table.frame.itertuples(index=False, name=None)
        ]


@dataclass(frozen=True)
class Figure:
    """A picture inside the page."""

    folder: str  # in reports/
    name: str
    alternative_text: str
    data: str  # base64 of the PNG


@dataclass(frozen=True)
class Section:
    """What one notebook made."""

    key: str
    heading: str
    notebook: str  # relative to reports/
    tables: tuple[Shown, ...]
    figures: tuple[Figure, ...]
    note: str = ""

    @property
    def short(self) -> str:
        """The heading up to its colon."""
        return self.heading.partition(":")[0]

    @property
    def synthetic(self) -> bool:
        return any(shown.table.synthetic for shown in self.tables)


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
    sections = [_section(reports, key, heading, key, names, figures) for key, heading, names, figures in PAPER_SECTIONS]
    sections += [
        _section(
            reports,
            f"results_{name}",
            f"Dataset {name}",
            f"dataset_results@{name}",
            (f"results_{name}",),
            (f"score_histograms_{name}", f"anomaly_maps_{name}"),
        )
        for name in params.datasets
    ]
    shown = {item.name: item.table for section in sections for item in section.tables}
    counts, synthetic = count_verdicts([table.frame for table in shown.values()])
    return environment.get_template(TEMPLATE).render(
        sections=sections,
        contents=list(_contents(sections, shown)),
        verdicts=[(name, kind, counts[name]) for name, kind in VERDICT_KINDS.items()],
        synthetic_verdicts=synthetic,
        other_verdicts=counts[paper.NO_VERDICT] - synthetic,
        synthetic=[section.short for section in sections if section.synthetic],
        real=[section.short for section in sections if not section.synthetic],
        datasets=[_dataset(name, params) for name in params.datasets],
        stamp={"commit": commit(params.root), "versions": versions(), "machine": machine()},
    )


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


def _badges(cell: str) -> list[tuple[str, str]]:
    """A verdict's parts with their kinds, which colour them: ("PRO: near", "near")."""
    parts = [(part, VERDICT_KINDS.get(part.rpartition(": ")[2], "")) for part in cell.split("; ")]
    return [(part, kind) for part, kind in parts if kind]


def _kind(values: pd.Series) -> str:
    if values.str.len().max() >= LONG_TEXT and values.name != "verdict":
        return "prose"
    return "number" if values.str.match(NUMBER).any() else "word"


def _contents(sections: Sequence[Section], shown: Mapping[str, Table]) -> Iterator[Mapping[str, object]]:
    """One row a table or figure of the paper, then one a section that belongs to none of them."""
    listed: set[str] = set()
    for number, subject, names in CONTENTS:
        section = next(s for s in sections if names[0] in [item.name for item in s.tables])
        listed.add(section.key)
        counts, _ = count_verdicts([shown[name].frame for name in names])
        yield {
            "number": number,
            "subject": subject,
            "anchor": f"table-{names[0]}",
            "verdicts": [(name, kind, counts[name]) for name, kind in VERDICT_KINDS.items() if counts[name]],
            "synthetic": any(shown[name].synthetic for name in names),
        }
    for section in sections:
        if section.key not in listed:
            _, _, subject = section.heading.partition(": ")
            yield {
                "number": section.short,
                "subject": subject or "all metrics, scores, anomaly maps",
                "anchor": section.key,
                "verdicts": [],
                "synthetic": section.synthetic,
            }


def _section(
    reports: Path, key: str, heading: str, executed: str, tables: tuple[str, ...], figures: tuple[str, ...]
) -> Section:
    timed = TIMED.get(key)
    measured = bool(timed) and all((reports / f"timings/{timed}.{kind}").is_file() for kind in ("csv", "json", "png"))
    names = [*(("timings", timed),) * measured, *(("tables", name) for name in tables)]
    pictures = [*(("timings", timed),) * measured, *(("figures", name) for name in figures)]
    return Section(
        key=key,
        heading=heading,
        notebook=f"executed/{executed}.html",
        tables=tuple(Shown(folder, name, Table.read(reports / folder, name)) for folder, name in names),
        figures=tuple(_figure(reports, folder, name) for folder, name in pictures),
        note=f"The times were not measured here: run notebooks/{key}.ipynb." if timed and not measured else "",
    )


def _figure(reports: Path, folder: str, name: str) -> Figure:
    path = reports / folder / f"{name}.png"
    described = max((prefix for prefix in ALTERNATIVE_TEXTS if name.startswith(prefix)), key=len)
    if not path.is_file():
        raise InputError(f"there is no figure {path}", remedy="run `dvc repro`")
    return Figure(folder, name, ALTERNATIVE_TEXTS[described], b64encode(path.read_bytes()).decode())


def _dataset(name: str, params: Params) -> Mapping[str, object]:
    """What a dataset's results were made from, and how long they took."""
    folder = params.path(f"reports/scores/{name}")
    index = ScoreIndex.read(folder)
    stamps = [RawResult.read(folder / cell["file"]).stamp for cell in index.cells]
    timings_file = params.path(f"reports/timings/{name}.json")
    timings = json.loads(timings_file.read_text(encoding="utf-8")) if timings_file.is_file() else {}
    shots = sorted({stamp["shots"] for stamp in stamps} - {None})
    return {
        "name": name,
        "source": index.source,
        "images": {stamp["category"]: stamp["images_sha256"] for stamp in stamps},
        "preprocessing": Counter(_preparation(stamp["preprocessing"]) for stamp in stamps),
        "weights": {used["backbone"]: used["sha256"] for stamp in stamps for used in stamp["weights"]},
        "weights_missing": index.weights_missing,
        "results": len(index.cells),
        "methods": Counter(stamp["method"].replace("_", " ") for stamp in stamps),
        "shots": ", ".join(map(str, shots)),
        "timed": bool(timings),
        "coreset_s": sum(timing["coreset_s"] for timing in timings.values()),
        "scoring_s": sum(timing["scoring_s"] for timing in timings.values()),
        "peak_memory_gb": max((timing["peak_memory_bytes"] for timing in timings.values()), default=0) / 2**30,
    }


def _preparation(preprocessing: Mapping[str, object]) -> str:
    """How images were prepared: "resize 256, crop 224"."""
    masks = "" if preprocessing["masks"] == "nearest" else f", masks {preprocessing['masks']}"
    return f"resize {preprocessing['resize']}, crop {preprocessing['crop'] or 'none'}{masks}"


def main() -> None:
    """Write reports/index.html."""
    params = load_params()
    write_text(params.path("reports/index.html"), build_report(params))
    print(f"report: {params.path('reports/index.html')}")


if __name__ == "__main__":
    with exit_on_input_error():
        main()
