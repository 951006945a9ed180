"""What made the report: results by variant, images, weights, versions and times; and where each number leads."""

import os
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from urllib.parse import quote

from patchcore_suite.datasets.names import shown
from patchcore_suite.run.environment import versions
from patchcore_suite.run.raw_results import ScoreIndex, read_timings
from patchcore_suite.settings.project import Project, ProjectDataset


@dataclass(frozen=True)
class VariantResults:
    """The raw results of one variant on one dataset."""

    variant: str
    anchor: str
    seeds: str  # "0, 1, 2"
    shots: str  # "all", "1, 5, all"
    folders: Mapping[str, str]  # by category, as tables show it; as links from reports/


class Links:
    """Where the cells of a table lead: a variant to its row among the raw results, a number to its files."""

    def __init__(self, project: Project) -> None:
        indices = {name: ScoreIndex.read(dataset.scores) for name, dataset in project.datasets.items()}
        self.results = {name: list(_by_variant(index)) for name, index in indices.items()}
        self._known = {(name, row.variant): row for name, rows in self.results.items() for row in rows}
        self._missing = {(name, entry["variant"]) for name, index in indices.items() for entry in index.weights_missing}

    def variant(self, dataset: str | None, variant: str) -> str:
        """The row of a variant among the raw results, or what to do for its weights; empty where it has neither."""
        found = self._known.get((dataset, variant))
        if found:
            return f"#{found.anchor}"
        return f"#missing-{dataset}-{variant}" if (dataset, variant) in self._missing else ""

    def files(self, dataset: str | None, variant: str, category: str) -> str:
        """A link to the folder of a variant's raw results on a category; empty where there is none."""
        found = self._known.get((dataset, variant))
        return found.folders.get(category, "") if found else ""


_known: dict[Path, tuple[object, Mapping[str, Mapping[str, object]]]] = {}  # what was read, and in which state


def timings_of(dataset: ProjectDataset, index: ScoreIndex) -> Mapping[str, Mapping[str, object]]:
    """How long each raw result took; read once for all pages, so that what is damaged is told once."""
    path = dataset.timings
    state = path.stat().st_mtime_ns if path.is_file() else 0, [(cell["file"], cell["key"]) for cell in index.cells]
    if _known.get(path, (None, {}))[0] != state:
        _known[path] = state, read_timings(path, index)
    return _known[path][1]


def describe_dataset(dataset: ProjectDataset) -> Mapping[str, object]:
    """What a dataset's results were made from, and how long they took."""
    folder = dataset.scores
    index = ScoreIndex.read(folder)
    stamps = [result.stamp for _, result in index.results(folder)]
    timings = timings_of(dataset, index)
    shots = sorted({stamp["shots"] for stamp in stamps} - {None})
    return {
        "name": dataset.name,
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
        "other_versions": other_versions(stamps),
    }


def other_versions(stamps: Sequence[Mapping[str, object]]) -> list[str]:
    """The libraries of which results were made with another version than is installed: "torch 2.5.0, here 2.6.0"."""
    here = versions()
    used = {(library, version) for stamp in stamps for library, version in stamp["versions"].items()}
    return [
        f"{library} {version}, here {here.get(library, 'not installed')}"
        for library, version in sorted(used)
        if here.get(library) != version
    ]


def _by_variant(index: ScoreIndex) -> Iterator[VariantResults]:
    """The cells of an index, variant by variant, in its order."""
    for variant in dict.fromkeys(cell["variant"] for cell in index.cells):
        cells = [cell for cell in index.cells if cell["variant"] == variant]
        shots = sorted({cell["shots"] for cell in cells} - {None})
        whole = ["all"] if any(cell["shots"] is None for cell in cells) else []
        yield VariantResults(
            variant,
            anchor=f"raw-{index.dataset}-{variant}",
            seeds=", ".join(map(str, sorted({cell["seed"] for cell in cells}))),
            shots=", ".join([*map(str, shots), *whole]),
            folders={shown(cell["category"]): _folder(index.dataset, cell["file"]) for cell in cells},
        )


def address(path: str | PurePosixPath) -> str:
    """A path below reports/ as a link: `#`, `?` and `%` in a name of the user's would end or change it."""
    return quote(os.fsencode(path), safe="/@+,=~")


def _folder(dataset: str, file: str) -> str:
    """The folder CATEGORY/VARIANT of a result, which holds those of all shots and seeds."""
    return address(PurePosixPath("scores", dataset, *PurePosixPath(file).parts[:2]))


def _preparation(preprocessing: Mapping[str, object]) -> str:
    """How images were prepared: "resize 256, crop 224"."""
    masks = "" if preprocessing["masks"] == "nearest" else f", masks {preprocessing['masks']}"
    return f"resize {preprocessing['resize']}, crop {preprocessing['crop'] or 'none'}{masks}"
