"""`params.yaml`: read once, checked as a whole, turned into typed values.

DVC reads the file as YAML 1.2 and this module as YAML 1.1. The two differ on a few scalars (1e-3, on, 010, 12:30);
those are refused wherever they would be read differently.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from pathlib import Path

import yaml

from patchcore_core.common.errors import InputError
from patchcore_core.config import MethodConfig, PatchCoreConfig, check_keys
from patchcore_suite.baselines.config import EnsembleConfig, configuration
from patchcore_suite.datasets.layouts import spec_type
from patchcore_suite.datasets.preprocessing import Preprocessing
from patchcore_suite.datasets.spec import DatasetSpec
from patchcore_suite.settings.execution import Execution
from patchcore_suite.settings.studies import (
    IMAGE_KEYS,
    Study,
    Variant,
    as_mapping,
    as_name,
    check_ensembles,
    read_study,
    read_variant,
)

PARAMS_FILE = "params.yaml"
MAIN_STUDY = "main"  # all categories, for the tables of whole datasets


@dataclass(frozen=True, kw_only=True)
class DatasetParams:
    """A dataset, how its images are prepared, and what is run on it."""

    spec: DatasetSpec
    preprocessing: Preprocessing
    studies: Mapping[str, Study]  # "main" first
    overrides: Mapping[str, object]  # fields of PatchCoreConfig that this dataset's protocol fixes

    @property
    def variants(self) -> tuple[str, ...]:
        """The variants of the main study."""
        return self.studies[MAIN_STUDY].variants

    @property
    def seeds(self) -> tuple[int, ...]:
        """The seeds of the main study."""
        return self.studies[MAIN_STUDY].seeds


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
                raise InputError(f"{where} is not valid. {error}") from None
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
        InputError: no such file, no YAML, unknown keys, or values out of range, each with its key's path.
    """
    path = Path(path) if path is not None else find_params()
    try:
        text = path.read_text(encoding="utf-8")
        values = yaml.safe_load(text)
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror}", remedy="run from the project's folder") from None
    except yaml.YAMLError as error:
        raise InputError(f"{path} is not YAML: {error}", remedy="correct the line named above") from None
    _refuse_ambiguous(text, path)
    check_keys(values, ["datasets", "defaults", "variants", "tables", "execution"], where=path.name)

    defaults = as_mapping(values, "defaults")
    for method in defaults:
        kind = configuration(method, where="defaults.METHOD")
        kind.from_mapping(as_mapping(defaults, method, "defaults"), where=f"defaults.{method}")
    given = as_mapping(values, "variants")
    variants = {
        name: read_variant(as_name(name, "variants"), {} if given[name] is None else given[name], defaults)
        for name in given
    }
    check_ensembles(variants)
    datasets = {
        name: _dataset(as_name(name, "datasets"), block, variants)
        for name, block in as_mapping(values, "datasets").items()
    }
    given_tables = as_mapping(values, "tables")
    tables = {name: as_mapping(given_tables, name, "tables") for name in given_tables}
    execution = as_mapping(values, "execution")
    check_keys(execution, [item.name for item in fields(Execution)], where="execution")
    params = Params(
        root=path.resolve().parent,
        datasets=datasets,
        variants=variants,
        tables=tables,
        execution=Execution(**execution),
    )
    for dataset, block in datasets.items():
        for variant in {name: None for study in block.studies.values() for name in study.variants}:
            params.config(dataset, variant)  # raises now instead of after hours
    return params


def find_params() -> Path:
    """The `params.yaml` of the nearest folder upwards: notebooks may run in their own folder or in the root."""
    here = Path.cwd()
    for folder in (here, *here.parents):
        if (folder / PARAMS_FILE).is_file():
            return folder / PARAMS_FILE
    raise InputError(f"there is no {PARAMS_FILE} in {here} or above it", remedy="run from the project's folder")


def _dataset(name: str, given: object, variants: Mapping[str, Variant]) -> DatasetParams:
    where = f"datasets.{name}"
    try:
        spec_kind = spec_type(given["layout"]) if isinstance(given, Mapping) and "layout" in given else DatasetSpec
    except InputError as error:
        raise InputError(f"{where} is not valid. {error}") from None
    spec_keys = [item.name for item in fields(spec_kind)]
    main_keys = ["variants", "seeds"]
    check_keys(given, [*spec_keys, *IMAGE_KEYS, *main_keys, "studies", "overrides"], where=where)
    missing = [f"{where}.{key}" for key in ("layout", "source", "resize", *main_keys) if key not in given]
    if missing:
        raise InputError("keys are missing in params.yaml", offenders=missing, remedy="add them; see data/README.md")

    studies = {MAIN_STUDY: read_study({key: given[key] for key in main_keys}, where, variants)}
    for study, block in as_mapping(given, "studies", where).items():
        if block is None:  # switched off, as a grid does with a study that it does without
            continue
        if study == MAIN_STUDY:
            raise InputError(
                f"{where}.studies.{study} is the dataset's own", remedy=f"edit {where}.variants and .seeds"
            )
        path = f"{where}.studies.{as_name(study, f'{where}.studies')}"
        studies[study] = read_study(block, path, variants)
    overrides = as_mapping(given, "overrides", where)
    check_keys(overrides, [item.name for item in fields(PatchCoreConfig)], where=f"{where}.overrides")
    try:
        spec = spec_kind(**{key: given[key] for key in spec_keys if key in given})
        preprocessing = Preprocessing(**{key: given[key] for key in IMAGE_KEYS if key in given})
    except InputError as error:
        raise InputError(f"{where} is not valid. {error}") from None
    return DatasetParams(spec=spec, preprocessing=preprocessing, studies=studies, overrides=overrides)


# What the core schema of YAML 1.2 takes for a number, and PyYAML (YAML 1.1) for a string, or the other way round.
_AMBIGUOUS = re.compile(
    r"[-+]?(\d+|\d*\.\d+|\d+\.)[eE][-+]?\d+|[-+]?0o?[\d_]+|[-+]\.\d+|[-+]?[\d_]+(:[\d_]+)+(\.[\d_]*)?"
    r"|[-+]?\d+(_\d+)+|y|n|yes|no|on|off",
    re.IGNORECASE,
)


def _refuse_ambiguous(text: str, path: Path) -> None:
    ambiguous = [
        f"line {token.start_mark.line + 1}: {token.value}"
        for token in yaml.scan(text)
        if isinstance(token, yaml.ScalarToken)
        and token.plain
        and _AMBIGUOUS.fullmatch(token.value)
        and token.value != "0"
    ]
    if ambiguous:
        raise InputError(
            f"{path.name} has values that DVC and the notebooks would read differently",
            offenders=ambiguous,
            remedy="write 0.001 instead of 1e-3, true or false, and quote what is not a number",
        )
