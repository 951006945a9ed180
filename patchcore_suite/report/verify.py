"""Every file that carries a checksum, checked again: images, reports, and both stores.

    python -m patchcore_suite.report.verify

Nothing is changed. A file that is not what was written under its name is an offender; all of them are named.
"""

import os
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from patchcore_core.common.errors import InputError, exit_on_input_error
from patchcore_core.common.files import sha256_file
from patchcore_core.common.progress import progress_bar
from patchcore_suite.results.section import Section
from patchcore_suite.run.evaluated import changed_metrics
from patchcore_suite.run.feature_files import damage as damage_of_maps
from patchcore_suite.run.raw_results import INDEX_FILE, RawResult, ScoreIndex, key_of
from patchcore_suite.run.sealed import read_json, read_sealed, unsealed
from patchcore_suite.settings.project import Project, ProjectDataset, load_project

GROUPS = ("images", "raw results", "times", "metrics", "sections", "cell store", "feature store")
REMEDY = (
    "delete what is named in the stores: it is computed again when it is needed. For the rest, run "
    "`dvc repro -f -s STAGE` on the stage that writes it: data@NAME for images, score@NAME for raw results and times, "
    "evaluate@NAME for metrics, and the notebook's for sections, tables and figures"
)


@dataclass(frozen=True)
class Check:
    """Something to check.

    Attributes:
        group: one of `GROUPS`.
        files: how many files are looked at.
        offenders: looks at them; a line for each that is not as it was written.
    """

    group: str
    files: int
    offenders: Callable[[], Sequence[str]]


@dataclass(frozen=True)
class Found:
    """What a check of everything found: the number of files by group, and a line for each offender."""

    files: Mapping[str, int]
    offenders: tuple[str, ...]


def verify(project: Project, *, show_progress: bool = True) -> Found:
    """Check every file of a project that carries a checksum."""
    checks = [
        *_places(project),
        *_images(project),
        *_scores(project),
        *_metrics(project),
        *_sections(project),
        *_stores(project),
    ]
    files, offenders = Counter(dict.fromkeys(GROUPS, 0)), []
    with progress_bar(sum(check.files for check in checks), "verify", unit="file", show=show_progress) as bar:
        for check in checks:
            files[check.group] += check.files
            offenders += [f"{check.group}: {line}" for line in check.offenders()]
            bar.update(check.files)
    return Found(files, tuple(offenders))


def _places(project: Project) -> Iterator[Check]:
    """What stands where a folder of the suite should be."""
    for folder, group in (
        (project.reports, "raw results"),
        (project.scores, "raw results"),
        (project.timings, "times"),
        (project.path("reports/metrics"), "metrics"),
        (project.sections, "sections"),
        (project.cells, "cell store"),
        (project.features, "feature store"),
    ):
        if os.path.lexists(folder) and not folder.is_dir():
            yield _known(group, f"{folder}: it is no folder")


def _images(project: Project) -> Iterator[Check]:
    for dataset in project.datasets.values():
        if not dataset.manifest_file.exists():
            continue
        try:
            manifest = dataset.manifest()
        except InputError as error:
            yield _known("images", error.problem)
            continue
        yield Check("images", 1, list)  # the manifest, which is as it was written
        for category in manifest.categories:
            files = sum(1 + bool(record.mask) for record in manifest.records(category))
            yield Check("images", files, lambda check=manifest.check_unchanged, of=category: _raised(check, of))


def _scores(project: Project) -> Iterator[Check]:
    for folder in sorted(path for path in project.scores.glob("[!.]*") if path.is_dir()):
        try:
            index = ScoreIndex.read(folder)
        except InputError as error:
            yield _known("raw results", error.problem)
            continue
        yield Check("raw results", 1, list)  # the index
        for cell in index.cells:
            yield _check("raw results", folder / cell["file"], lambda path, key=cell["key"]: _of_result(path, key))
        indexed = {folder / cell["file"] for cell in index.cells}
        for path in sorted(set(folder.rglob("*.safetensors")) - indexed):
            yield _known("raw results", f"{path}: it is not in {INDEX_FILE}")
        times = project.timings / f"{folder.name}.json"
        if times.exists():
            yield _check("times", times, lambda path, index=index: _of_times(path, index))


def _metrics(project: Project) -> Iterator[Check]:
    for dataset in project.datasets.values():
        if dataset.evaluated.exists():
            yield Check("metrics", 4, lambda dataset=dataset: _of_metrics(dataset))


def _sections(project: Project) -> Iterator[Check]:
    for path in sorted(project.sections.glob("[!.]*.json")):
        try:
            section = Section.read(path)
        except InputError as error:
            yield _known("sections", error.problem)
            continue
        yield Check("sections", 1 + len(section.files), lambda section=section: _of_section(section, project.reports))


def _stores(project: Project) -> Iterator[Check]:
    for path in sorted(project.cells.glob("[!.]*.safetensors")):
        yield _check("cell store", path, lambda path: _of_result(path, path.stem))
    for path in sorted(project.cells.glob("[!.]*.json")):
        yield _check("cell store", path, _of_timing)
    for path in sorted(project.features.glob("[!.]*.npy")):
        yield _check("feature store", path, damage_of_maps)


def _known(group: str, line: str) -> Check:
    return Check(group, 1, lambda: [line])


def _check(group: str, path: Path, problem: Callable[[Path], str]) -> Check:
    """A check of one file by a function that says what is wrong with it, or nothing."""

    def offenders() -> list[str]:
        try:
            found = problem(path)
        except (OSError, ValueError) as error:
            found = str(error)
        return [f"{path}: {found}"] if found else []

    return Check(group, 1, offenders)


def _raised(check: Callable[[str], None], category: str) -> Sequence[str]:
    try:
        check(category)
    except InputError as error:
        return error.offenders
    return ()


def _of_result(path: Path, key: str) -> str:
    if problem := RawResult.damage(path, key):
        return problem
    return "" if key_of(RawResult.read(path).stamp) == key else "its stamp is not what its key stands for"


def _of_times(path: Path, index: ScoreIndex) -> str:
    times, keys = read_json(path), {cell["file"]: cell["key"] for cell in index.cells}
    if not isinstance(times, dict):
        return "it holds no times"
    others = [file for file, entry in times.items() if unsealed(entry)["key"] != keys.get(file)]
    return f"times of other results: {', '.join(others)}" if others else ""


def _of_timing(path: Path) -> str:
    return "" if read_sealed(path)["key"] == path.stem else "it is of something else"


def _of_metrics(dataset: ProjectDataset) -> list[str]:
    changed = [f"{path}: its content is not what was computed" for path in changed_metrics(dataset)]
    try:
        evaluated = read_sealed(dataset.evaluated)
        if evaluated["dataset"] != dataset.name:
            raise ValueError("it is of another dataset")
    except (OSError, ValueError) as error:
        return [*changed, f"{dataset.evaluated}: {error}"]
    index = dataset.scores / INDEX_FILE
    if index.is_file() and sha256_file(index) != evaluated["raw_results"]:
        changed.append(f"{dataset.metrics}: it is of other raw results than there are")
    return changed


def _of_section(section: Section, reports: Path) -> list[str]:
    missing = [f"{reports / path}: it is missing" for path in section.files if not (reports / path).is_file()]
    changed = [f"{reports / path}: its content is not what was written" for path in section.changed_files(reports)]
    return missing + changed


def main() -> None:
    """Check everything, and print how much there was; an error if anything is not as it was written."""
    found = verify(load_project())
    for group, count in found.files.items():
        print(f"{group}: {count:,} files checked")
    if found.offenders:
        raise InputError(
            f"{len(found.offenders):,} of them are not what was written", offenders=found.offenders, remedy=REMEDY
        )
    print("everything is as it was written")


if __name__ == "__main__":
    with exit_on_input_error():
        main()
