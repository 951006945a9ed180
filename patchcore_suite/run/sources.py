"""What would stop DVC in words that help nobody, said before it starts: params.yaml, and the folders that it names."""

import argparse
from collections.abc import Iterator

from patchcore_core.common.errors import InputError, exit_on_input_error
from patchcore_suite.datasets.layouts import LAYOUTS
from patchcore_suite.datasets.listing import unusable, walk
from patchcore_suite.datasets.spec import DOWNLOAD, SYNTHETIC
from patchcore_suite.settings.project import Project, ProjectDataset, load_project

DVC_IGNORES = ".dvcignore"  # DVC reads none but the project's, and refuses a folder with another


def check_sources(project: Project) -> None:
    """Look for what DVC cannot watch in the folders of a project's datasets.

    Raises:
        InputError: a folder is missing, or holds links that lead nowhere, names that are not UTF-8 or files of DVC.
    """
    problems = [problem for dataset in project.datasets.values() for problem in _problems(dataset)]
    if problems:
        raise InputError(
            "datasets of params.yaml cannot be used as they are",
            offenders=problems,
            remedy="correct the source, or repair, rename or remove these; data/README.md says where datasets are had",
        )


def forget_lists(project: Project) -> None:
    """Remove the manifests that were divided by another list of training images than there is now.

    DVC watches the folder of a dataset, in which the list of `train_list` need not lie.
    """
    for dataset in project.datasets.values():
        divided = LAYOUTS[dataset.spec.layout].division(dataset.spec)
        if "train_list" in divided and dataset.manifest_file.is_file() and dataset.manifest().division != divided:
            dataset.manifest_file.unlink()


def _problems(dataset: ProjectDataset) -> Iterator[str]:
    source = dataset.spec.source
    if source in (SYNTHETIC, DOWNLOAD):
        return
    where, root = f"datasets.{dataset.name}.source", dataset.project.path(source)
    if not root.is_dir():
        yield f"{where}: no such folder: {root}"
        return
    yield from (f"{where}: {problem}" for problem in unusable(root))
    yield from (f"{where}: a file of DVC: {path}" for path in walk(root) if path.name == DVC_IGNORES)


def main() -> None:
    """Check params.yaml and the folders that it names."""
    argparse.ArgumentParser(prog="python -m patchcore_suite.run.sources", description=__doc__).parse_args()
    project = load_project()
    check_sources(project)
    forget_lists(project)


if __name__ == "__main__":
    with exit_on_input_error():
        main()
