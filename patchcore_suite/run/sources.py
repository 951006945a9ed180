"""What would stop DVC in words that help nobody, said before it starts: params.yaml, and the folders that it names."""

import argparse
from collections.abc import Iterator
from pathlib import Path

from patchcore_core.common.errors import InputError, exit_on_input_error
from patchcore_suite.datasets.listing import unusable, walk
from patchcore_suite.datasets.spec import DOWNLOAD, SYNTHETIC
from patchcore_suite.run.leftovers import free_dvc
from patchcore_suite.settings.project import Project, ProjectDataset, load_project

DVC_IGNORES = ".dvcignore"  # DVC reads none but the project's, and refuses a folder with another


def check_sources(project: Project) -> None:
    """Look for what DVC cannot watch among the images and weights that a project names.

    Raises:
        InputError: one is missing, or holds links that lead nowhere, names that are not UTF-8 or files of DVC.
    """
    problems = [problem for dataset in project.datasets.values() for problem in _problems(dataset)]
    if weights := project.execution.own_weights:
        problems += _problems_of("execution.weights", project.path(weights))
    if (networks := project.execution.own_networks) and not project.path(networks).is_file():
        problems.append(f"execution.networks: no such file: {project.path(networks)}")
    if problems:
        raise InputError(
            "what params.yaml names cannot be used as it is",
            offenders=problems,
            remedy="correct the path, or repair, rename or remove these; data/README.md says where datasets are had",
        )


def _problems(dataset: ProjectDataset) -> Iterator[str]:
    source = dataset.spec.source
    if source in (SYNTHETIC, DOWNLOAD):
        return
    where, root = f"datasets.{dataset.name}.source", dataset.project.path(source)
    if not root.is_dir():
        yield f"{where}: no such folder: {root}"
        return
    yield from _problems_of(where, root)


def _problems_of(where: str, path: Path) -> Iterator[str]:
    if not path.exists():
        yield f"{where}: no such file or folder: {path}"
    elif path.is_dir():
        yield from (f"{where}: {problem}" for problem in unusable(path))
        yield from (f"{where}: a file of DVC: {found}" for found in walk(path) if found.name == DVC_IGNORES)


def main() -> None:
    """Check params.yaml and the folders that it names."""
    argparse.ArgumentParser(prog="python -m patchcore_suite.run.sources", description=__doc__).parse_args()
    project = load_project()
    check_sources(project)
    free_dvc(project.root)


if __name__ == "__main__":
    with exit_on_input_error():
        main()
