"""`params.yaml`: read once, checked as a whole, turned into typed values."""

import os
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from pathlib import Path

from patchcore_core.common.errors import InputError
from patchcore_core.config import MethodConfig, PatchCoreConfig
from patchcore_suite.baselines.config import EnsembleConfig, configuration
from patchcore_suite.datasets.preprocessing import Preprocessing
from patchcore_suite.datasets.spec import DOWNLOAD, SYNTHETIC
from patchcore_suite.settings.dataset_params import DATASET_KEYS, MAIN_STUDY, DatasetParams, read_dataset
from patchcore_suite.settings.execution import Execution, Ray
from patchcore_suite.settings.problems import Problems
from patchcore_suite.settings.studies import STUDY_KEYS
from patchcore_suite.settings.variants import Variant, method_keys, read_defaults, read_variants, variant_keys
from patchcore_suite.settings.yaml_file import Document, dotted, read_yaml

__all__ = ["MAIN_STUDY", "PARAMS_FILE", "DatasetParams", "Params", "find_params", "load_params", "read_params"]

PARAMS_FILE = "params.yaml"
LISTS = "lists"  # the folder of lists of training images
WRITTEN = ("reports", ".git", ".dvc")  # folders of a project that hold what it makes
KEPT = (
    "data",
    "notebooks",
    "patchcore_core",
    "patchcore_suite",
    LISTS,
    "grids",
    "docs",
    "tests",
    "benchmarks",
    "lab",
    ".venv",
)
SECTIONS = ("datasets", "defaults", "variants", "tables", "execution")
EXECUTION_KEYS = tuple(item.name for item in fields(Execution))
RAY_KEYS = tuple(item.name for item in fields(Ray))
OF_PARTS = ("tiles", "overlap", "region")  # a run of the pipeline compares methods on whole images
HOMES = {  # where a key belongs that stands in a wrong place, such as one that is indented too little
    **dict.fromkeys(method_keys(PatchCoreConfig.method), "variants.NAME, defaults.METHOD or datasets.NAME.overrides"),
    **{key: "variants.NAME" for part in ("profile", "learning") for key in variant_keys(PatchCoreConfig.method)[part]},
    **dict.fromkeys(STUDY_KEYS, "datasets.NAME.studies.NAME"),
    **dict.fromkeys(DATASET_KEYS, "datasets.NAME"),
    **dict.fromkeys(EXECUTION_KEYS, "execution"),
    **dict.fromkeys(
        OF_PARTS, "a model of your own parts, not to params.yaml: patchcore fit --tiles, --overlap, --region"
    ),
}


@dataclass(frozen=True, kw_only=True)
class Params:
    """All of `params.yaml`.

    Attributes:
        root: the project's folder, where `params.yaml` lies; paths in it are relative to this folder.
        datasets: by name.
        variants: by name; `config` gives the configuration that a dataset runs.
        tables: for each notebook, the values of its parameters.
        execution: device, batch size, workers, caches.
    """

    root: Path
    datasets: Mapping[str, DatasetParams]
    variants: Mapping[str, Variant]
    tables: Mapping[str, Mapping[str, object]]
    execution: Execution = field(default_factory=Execution)

    def dataset(self, name: str) -> DatasetParams:
        """The dataset `name`, or an error that lists the known ones."""
        if name not in self.datasets:
            raise InputError(f"dataset {name!r} is not in {PARAMS_FILE}", remedy=f"known: {', '.join(self.datasets)}")
        return self.datasets[name]

    def config(self, dataset: str, variant: str) -> MethodConfig:
        """The variant as it is run on a dataset: its fields, then what the dataset's protocol fixes."""
        chosen = self.variants[variant]
        where = f"datasets.{dataset}: variants.{variant}"
        if chosen.models:
            try:
                return EnsembleConfig(models=tuple(self.config(dataset, model) for model in chosen.models))
            except InputError as error:
                problem = f"{where} is not valid. {error.problem}"
                raise InputError(problem, offenders=error.offenders, remedy=error.remedy) from None
        fixed = self.dataset(dataset).overrides if chosen.method == PatchCoreConfig.method else {}
        return configuration(chosen.method).from_mapping({**chosen.values, **fixed}, where=where)

    def preprocessing(self, dataset: str, variant: str) -> Preprocessing:
        """How images of a dataset are prepared for a variant."""
        chosen = self.variants[variant]
        if chosen.models:  # they agree in it
            return self.preprocessing(dataset, chosen.models[0])
        return replace(self.dataset(dataset).preprocessing, **chosen.preprocessing)

    def path(self, relative: str | Path) -> Path:
        """A path of the project, whatever the working directory is."""
        return self.root / relative


def load_params(path: str | Path | None = None) -> Params:
    """Read and check `params.yaml`; without a path, that of the nearest folder upwards.

    Raises:
        InputError: no such file, no YAML, unknown keys, or values out of range: all of them, each with its line and
            its key's path.
    """
    path = Path(path) if path is not None else find_params()
    return read_params(read_yaml(path, remedy="run from the project's folder"), path.resolve().parent)


def read_params(document: Document, root: Path) -> Params:
    """Typed values from what a file says; `root` is the folder that its paths are relative to.

    Raises:
        InputError: as `load_params`.
    """
    problems = Problems(document, HOMES)
    given = problems.known(document.values, SECTIONS, ())
    sections = {name: problems.mapping(given.get(name), (name,)) for name in SECTIONS}
    defaults = read_defaults(sections["defaults"], problems)
    params = Params(
        root=root,
        datasets={
            name: read_dataset(name, block, sections["variants"], problems)
            for name, block in sections["datasets"].items()
        },
        variants=read_variants(sections["variants"], defaults, problems),
        tables={name: problems.mapping(block, ("tables", str(name))) for name, block in sections["tables"].items()},
        execution=_read_execution(sections["execution"], problems),
    )
    _check_weights(params, problems)
    _check_networks(params, problems)
    _check_cache(params, problems)
    for name in params.datasets:
        _check_source(name, params, problems)
        _check_train_list(name, params, problems)
        _check_configs(name, params, problems)
    problems.raise_any()  # what could not be read is None until here
    return params


def find_params() -> Path:
    """The `params.yaml` of the nearest folder upwards: notebooks may run in their own folder or in the root."""
    here = Path.cwd()
    for folder in (here, *here.parents):
        if (folder / PARAMS_FILE).is_file():
            return folder / PARAMS_FILE
    raise InputError(f"there is no {PARAMS_FILE} in {here} or above it", remedy="run from the project's folder")


def _read_execution(given: Mapping[str, object], problems: Problems) -> Execution | None:
    path = ("execution",)
    values = problems.known(given, EXECUTION_KEYS, path)
    block = problems.known(problems.mapping(values.get("ray"), (*path, "ray")), RAY_KEYS, (*path, "ray"))
    ray = problems.built(Ray, block, (*path, "ray"))
    execution = problems.built(Execution, {**values, "ray": ray or Ray()}, path)
    if ray is None or execution is None or execution.engine != "ray":
        return execution
    if execution.device.startswith("cuda:"):
        wanted = "must be cpu or cuda where the engine is ray, which gives each worker GPUs of its own"
        problems.add_value((*path, "device"), execution.device, wanted)
    elif execution.device == "cuda" and ray.gpus == 0:
        problems.add_value((*path, "ray", "gpus"), ray.gpus, "must be more than 0, or null, with device: cuda")
    elif ray.gpus and ray.gpus > 1 and ray.gpus % 1:
        problems.add_value((*path, "ray", "gpus"), ray.gpus, "must be a part of one, or a whole number")
    elif execution.device == "cpu" and ray.gpus:
        problems.add_value((*path, "ray", "gpus"), ray.gpus, "must be 0 or null with device: cpu")
    return execution


def _check_source(dataset: str, params: Params, problems: Problems) -> None:
    """Refuse sources that DVC, which watches the folder, takes for something else than the suite does."""
    spec = params.datasets[dataset].spec
    if spec is None or spec.source in (SYNTHETIC, DOWNLOAD):
        return
    path, source = ("datasets", str(dataset), "source"), spec.source
    home, folder = (Path(os.path.realpath(params.path(given))) for given in (f"data/{dataset}", source))
    if problem := _misread(source):
        problems.add_value(path, source, problem)
    elif folder in (home, *home.parents):
        written = f"holds data/{dataset}, into which the suite writes: move the images to a folder of their own"
        problems.add_value(path, source, written)
    elif inside := _written(folder, params):
        written = f"lies in {inside}, into which the suite writes: move the images to a folder of their own"
        problems.add_value(path, source, written)


def _misread(given: str) -> str | None:
    """Why DVC would take a path for something else."""
    if given.startswith("~"):
        return f"must be written in full: {os.path.expanduser(given)}"
    if "://" in given:
        return "must be the path of a file or folder, not an address: fetch it first"
    return "begins or ends with a space: take it away, or rename it" if given != given.strip() else None


def _written(path: Path, params: Params) -> str | None:
    """The folder of those that hold what a project makes in which a path lies."""
    cache = params.execution.cache_dir if params.execution else ".cache"
    made = (Path(os.path.realpath(params.path(name))) for name in (*WRITTEN, f"{cache}/cells", f"{cache}/features"))
    return next((str(folder) for folder in made if folder in (path, *path.parents)), None)


def _check_weights(params: Params, problems: Problems) -> None:
    """Refuse weights that DVC, which watches them, takes for something else than the suite does."""
    if not (given := params.execution and params.execution.own_weights):
        return
    root, folder = (Path(os.path.realpath(path)) for path in (params.root, params.path(given)))
    problem = _misread(given)
    if folder in (root, *root.parents) or _written(folder, params):
        problem = problem or "holds or is what the suite writes: move the weights to a folder of their own"
    if problem:
        problems.add_value(("execution", "weights"), given, problem)


def _check_networks(params: Params, problems: Problems) -> None:
    """Refuse a file of networks that DVC, which watches it, takes for something else than the suite does."""
    if not (given := params.execution and params.execution.own_networks):
        return
    problem = _misread(given)
    if _written(Path(os.path.realpath(params.path(given))), params):
        problem = problem or "lies in what the suite writes: move it beside params.yaml"
    if problem:
        problems.add_value(("execution", "networks"), given, problem)


def _check_cache(params: Params, problems: Problems) -> None:
    """Refuse a cache among what the project holds, DVC watches or others delete."""
    if params.execution is None:
        return
    given = params.execution.cache_dir
    root, folder = (Path(os.path.realpath(path)) for path in (params.root, params.path(given)))
    sources = [block.spec.source for block in params.datasets.values() if block.spec is not None]
    watched = [*sources, *filter(None, [params.execution.own_weights])]
    watched = [*WRITTEN, *KEPT, *(name for name in watched if name not in (SYNTHETIC, DOWNLOAD))]
    taken = next(
        (name for name in watched if Path(os.path.realpath(params.path(name))) in (folder, *folder.parents)), None
    )
    problem = _misread(given)
    if folder == root or taken is not None:
        problem = (
            problem or f"lies in {taken or 'the project itself'}, which holds other files: name a folder of its own"
        )
    elif next((path for path in (folder, *folder.parents) if path.exists()), root).is_file():
        problem = problem or "is a file, or lies in one: name a folder"
    if problem:
        problems.add_value(("execution", "cache_dir"), given, problem)


def _check_train_list(dataset: str, params: Params, problems: Problems) -> None:
    """Refuse lists of training images that DVC does not watch."""
    spec = params.datasets[dataset].spec
    if (given := getattr(spec, "train_list", None)) is None:
        return
    watched = [LISTS, *([] if spec.source in (SYNTHETIC, DOWNLOAD) else [spec.source])]
    file = Path(os.path.realpath(params.path(given)))
    if not any(Path(os.path.realpath(params.path(folder))) in file.parents for folder in watched):
        where = f"must lie in {' or '.join(watched)}, where DVC notices when it changes: copy it there"
        problems.add_value(("datasets", str(dataset), "train_list"), given, where)


def _check_configs(dataset: str, params: Params, problems: Problems) -> None:
    """Refuse variants that a dataset's protocol makes impossible: now instead of after hours."""
    studies = params.datasets[dataset].studies.values()
    for variant in dict.fromkeys(name for study in studies for name in study.variants):
        if variant not in params.variants:  # could not be read itself
            continue
        try:
            params.config(dataset, variant)
        except InputError as error:
            path = ("datasets", str(dataset), "overrides")
            for text in error.offenders or [error.problem]:
                problems.add(path, f"{dotted(path)} and variants.{variant} do not go together: {text}")
        try:
            if params.datasets[dataset].preprocessing is not None:
                params.preprocessing(dataset, variant)
        except InputError as error:
            path = ("variants", str(variant))
            for text in error.offenders:
                problems.add(path, f"{dotted(path)} and datasets.{dataset} do not go together: {text}")
