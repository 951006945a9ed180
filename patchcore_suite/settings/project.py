"""A project and a dataset in it: their settings, and the path of everything that they keep."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from patchcore_core.common.errors import InputError
from patchcore_core.config import MethodConfig
from patchcore_suite.datasets.manifest import Manifest
from patchcore_suite.datasets.preprocessing import Preprocessing
from patchcore_suite.datasets.spec import DatasetSpec
from patchcore_suite.settings.execution import Execution
from patchcore_suite.settings.params import DatasetParams, Params, load_params
from patchcore_suite.settings.studies import Study


@dataclass(frozen=True)
class Project:
    """A project's settings, and where it keeps what it makes."""

    params: Params

    @property
    def root(self) -> Path:
        """The folder of params.yaml."""
        return self.params.root

    @property
    def execution(self) -> Execution:
        """Device, batch size, workers, caches."""
        return self.params.execution

    @property
    def cache(self) -> Path:
        """Results of single cells and feature maps; may be deleted at any time."""
        return self.path(self.execution.cache_dir)

    @property
    def cells(self) -> Path:
        """The store of raw results, by key."""
        return self.cache / "cells"

    @property
    def features(self) -> Path:
        """The store of feature maps, by key."""
        return self.cache / "features"

    @property
    def rows(self) -> Path:
        """Patch features that memory has no room for, while a memory bank is selected among them."""
        return self.cache / "rows"

    @property
    def reports(self) -> Path:
        """All that is made for people to look at."""
        return self.path("reports")

    @property
    def scores(self) -> Path:
        """Raw results, a folder a dataset."""
        return self.reports / "scores"

    @property
    def tables(self) -> Path:
        """Tables as people read them."""
        return self.reports / "tables"

    @property
    def figures(self) -> Path:
        """Drawings."""
        return self.reports / "figures"

    @property
    def sections(self) -> Path:
        """What notebooks hand to the report, a file a section."""
        return self.reports / "sections"

    @property
    def plots(self) -> Path:
        """Points of charts, for DVC."""
        return self.reports / "plots"

    @property
    def timings(self) -> Path:
        """All that differs from run to run."""
        return self.reports / "timings"

    @property
    def page(self) -> Path:
        """The report."""
        return self.reports / "index.html"

    @property
    def datasets(self) -> Mapping[str, "ProjectDataset"]:
        """Every dataset of params.yaml, by name."""
        return {name: ProjectDataset(self, name) for name in self.params.datasets}

    def dataset(self, name: str) -> "ProjectDataset":
        """The dataset `name`, or an error that lists the known ones."""
        self.params.dataset(name)
        return ProjectDataset(self, name)

    def path(self, relative: str | Path) -> Path:
        """A path of the project, whatever the working directory is."""
        return self.root / relative


@dataclass(frozen=True)
class ProjectDataset:
    """A dataset of a project: its settings, its manifest, and where its results lie."""

    project: Project
    name: str

    @property
    def settings(self) -> DatasetParams:
        """Its block in params.yaml."""
        return self.project.params.dataset(self.name)

    @property
    def spec(self) -> DatasetSpec:
        """Where it comes from, and how it is split."""
        return self.settings.spec

    @property
    def studies(self) -> Mapping[str, Study]:
        """What is run on it, "main" first."""
        return self.settings.studies

    @property
    def variants(self) -> tuple[str, ...]:
        """The variants of the main study."""
        return self.settings.variants

    @property
    def seeds(self) -> tuple[int, ...]:
        """The seeds of the main study."""
        return self.settings.seeds

    @property
    def asked(self) -> tuple[str, ...]:
        """The metrics that it has besides those that every dataset has."""
        return self.settings.asked

    @property
    def execution(self) -> Execution:
        """The project's."""
        return self.project.execution

    @property
    def scores(self) -> Path:
        """The folder of its raw results."""
        return self.project.scores / self.name

    @property
    def metrics(self) -> Path:
        """The file of all metrics of all raw results."""
        return self.project.path(f"reports/metrics/{self.name}.csv")

    @property
    def intervals(self) -> Path:
        """The file of their bootstrap intervals."""
        return self.project.path(f"reports/metrics/{self.name}_intervals.csv")

    @property
    def summary(self) -> Path:
        """The file of the means that `dvc metrics show` prints."""
        return self.project.path(f"reports/metrics/{self.name}.json")

    @property
    def evaluated(self) -> Path:
        """The file that says which raw results the metrics are of; not in Git, so that every copy computes them."""
        return self.project.path(f"reports/metrics/{self.name}_evaluated.json")

    @property
    def timings(self) -> Path:
        """The file of how long each raw result took."""
        return self.project.timings / f"{self.name}.json"

    @property
    def manifest_file(self) -> Path:
        """The file that lists its images."""
        return self.project.path(f"data/{self.name}/manifest.json")

    def manifest(self) -> Manifest:
        """Its images, as the stage `data` found them.

        Raises:
            InputError: that has not run yet, or the file is damaged or another dataset's.
        """
        manifest = Manifest.read(self.manifest_file, base=self.project.root)
        if manifest.name != self.name:
            raise InputError(
                f"the manifest {self.manifest_file} is that of {manifest.name}",
                remedy=f"run `dvc repro data@{self.name}`",
            )
        return manifest

    def config(self, variant: str) -> MethodConfig:
        """A variant as it is run here: its fields, then what the dataset's protocol fixes."""
        return self.project.params.config(self.name, variant)

    def rotations(self, variant: str) -> tuple[float, ...]:
        """Degrees by which a variant has nominal images turned."""
        return self.project.params.variants[variant].rotations

    def preprocessing(self, variant: str | None = None) -> Preprocessing:
        """How images are prepared, for a variant or in general."""
        if variant is None:
            return self.settings.preprocessing
        return self.project.params.preprocessing(self.name, variant)


def load_project(path: str | Path | None = None) -> Project:
    """Read and check `params.yaml`; without a path, that of the nearest folder upwards: see `load_params`."""
    return Project(load_params(path))
