"""Which raw results the metrics of a dataset are of, and what their files held when they were written."""

from pathlib import Path

from patchcore_core.common.errors import InputError
from patchcore_core.common.files import sha256_file
from patchcore_suite.run.raw_results import INDEX_FILE
from patchcore_suite.run.sealed import read_sealed, write_sealed
from patchcore_suite.settings.project import ProjectDataset


def note_evaluated(dataset: ProjectDataset) -> None:
    """Write down what the files of metrics that are there now hold, and of which raw results they are."""
    files = {path.name: sha256_file(path) for path in _files(dataset)}
    raw_results = sha256_file(dataset.scores / INDEX_FILE)
    write_sealed(dataset.evaluated, {"dataset": dataset.name, "raw_results": raw_results, "files": files})


def changed_metrics(dataset: ProjectDataset) -> list[Path]:
    """The files of metrics that hold something else than was computed here.

    Nothing was computed in a fresh copy of the project: its metrics came with it.
    """
    try:
        evaluated = read_sealed(dataset.evaluated)
    except (OSError, ValueError):
        return []
    known = evaluated["files"] if evaluated.get("dataset") == dataset.name else {}
    return [path for path in _files(dataset) if path.name in known and sha256_file(path) != known[path.name]]


def check_metrics(dataset: ProjectDataset) -> None:
    """Refuse metrics that hold something else than was computed here.

    Raises:
        InputError: some do; all are listed.
    """
    if changed := changed_metrics(dataset):
        raise InputError(
            f"metrics of {dataset.name} were changed since they were computed",
            offenders=changed,
            remedy=f"run `dvc repro evaluate@{dataset.name}`",
        )


def _files(dataset: ProjectDataset) -> list[Path]:
    return [path for path in (dataset.metrics, dataset.intervals, dataset.summary) if path.is_file()]
