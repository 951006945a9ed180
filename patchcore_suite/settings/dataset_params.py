"""Datasets of `params.yaml`: where images come from, how they are prepared, and what is run on them."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, fields

from patchcore_core.config import PatchCoreConfig
from patchcore_suite.datasets.layouts import LAYOUTS
from patchcore_suite.datasets.preprocessing import Preprocessing
from patchcore_suite.datasets.spec import PAPER_NAMES, DatasetSpec
from patchcore_suite.settings.problems import Problems, hint
from patchcore_suite.settings.studies import PROTOCOL_KEYS, STUDY_NAME, Protocol, Study, read_study
from patchcore_suite.settings.variants import IMAGE_KEYS, method_keys
from patchcore_suite.settings.yaml_file import KeyPath, dotted

MAIN_STUDY = "main"  # all categories, for the tables of whole datasets
MAIN_KEYS = ("variants", "seeds")  # of the main study; they stand in the dataset's block itself
SPECS = {name: layout.spec for name, layout in LAYOUTS.items()}  # each with keys of its own
SPEC_KEYS = tuple(dict.fromkeys(item.name for spec in SPECS.values() for item in fields(spec)))
OTHER_KEYS = ("studies", "overrides", "metrics", *PROTOCOL_KEYS)
DATASET_KEYS = (*SPEC_KEYS, *IMAGE_KEYS, *MAIN_KEYS, *OTHER_KEYS)
# The metrics that a dataset has only if it asks for them; `run.metric_registry` says what each is.
ASKED = ("aupimo", "pixel_ap", "pixel_f1", "low_pro", "seg_f1", "fpr_at_recall", "calibration_error")
DATASET_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,99}")  # part of names of files and stages, and of paths in DVC
FILES = ("_intervals", "_evaluated")  # how names of files among metrics end
# What each block must say besides its main study; where one is missing, the others are checked with another in its
# place.
NEEDED = {
    "layout": (f"one of {', '.join(LAYOUTS)}", next(iter(LAYOUTS))),
    "paper": (f"{', '.join(PAPER_NAMES)}, or null for parts of your own", None),
    "source": ("synthetic, download, or the path of a folder", "synthetic"),
    "resize": ("a whole number, or [height, width]", 1),
}


@dataclass(frozen=True, kw_only=True)
class DatasetParams:
    """A dataset, how its images are prepared, and what is run on it."""

    spec: DatasetSpec
    preprocessing: Preprocessing
    studies: Mapping[str, Study]  # "main" first
    overrides: Mapping[str, object]  # fields of PatchCoreConfig that this dataset's protocol fixes
    asked: tuple[str, ...] = ()  # metrics besides those that every dataset has
    protocol: Protocol = field(default_factory=Protocol)

    @property
    def variants(self) -> tuple[str, ...]:
        """The variants of the main study."""
        return self.studies[MAIN_STUDY].variants

    @property
    def seeds(self) -> tuple[int, ...]:
        """The seeds of the main study."""
        return self.studies[MAIN_STUDY].seeds


def read_dataset(name: object, block: object, variants: Mapping[str, object], problems: Problems) -> DatasetParams:
    """A dataset from its block; what cannot be used of it is None or left out.

    Args:
        name: its key under `datasets`.
        block: what stands under this key.
        variants: all that there are, by name.
        problems: takes what is wrong.
    """
    problems.named(
        name, ("datasets",), DATASET_NAME, "use up to 100 letters, digits, - and _; to DVC, a dot is a level of keys"
    )
    path = ("datasets", str(name))
    for end in FILES:
        if str(name).endswith(end):
            whose = str(name).removesuffix(end)
            problems.add(path, f"{dotted(path)} is no usable name: a dataset {whose} has files that end in {end}")
    given = problems.mapping(block, path)
    spec = _spec_kind(given.get("layout"))
    keys = tuple(item.name for item in fields(spec)) if spec is not DatasetSpec else SPEC_KEYS
    given = problems.known(given, (*keys, *IMAGE_KEYS, *MAIN_KEYS, *OTHER_KEYS), path)
    for key, (wanted, _) in NEEDED.items():
        if key not in given:
            problems.add((*path, key), f"{dotted((*path, key))} is missing: {wanted}")
    given = {key: stand_in for key, (_, stand_in) in NEEDED.items()} | given
    return DatasetParams(
        spec=problems.built(spec, _part(given, tuple(item.name for item in fields(spec))), path),
        preprocessing=problems.built(Preprocessing, _part(given, IMAGE_KEYS), path),
        studies=_studies(given, path, variants, problems),
        overrides=_overrides(given.get("overrides"), (*path, "overrides"), problems),
        asked=_asked(given.get("metrics"), (*path, "metrics"), problems),
        protocol=problems.built(Protocol, _part(given, PROTOCOL_KEYS), path),
    )


def _spec_kind(layout: object) -> type[DatasetSpec]:
    """The kind of spec of a layout; of an unknown one, what all have."""
    return SPECS[layout] if isinstance(layout, str) and layout in SPECS else DatasetSpec


def _part(given: Mapping[str, object], keys: tuple[str, ...]) -> dict[str, object]:
    return {key: given[key] for key in keys if key in given}


def _studies(
    given: Mapping[str, object], path: KeyPath, variants: Mapping[str, object], problems: Problems
) -> dict[str, Study]:
    studies = {MAIN_STUDY: read_study(_part(given, MAIN_KEYS), path, variants, problems)}
    for name, block in problems.mapping(given.get("studies"), (*path, "studies")).items():
        at = (*path, "studies", str(name))
        if block is None:  # switched off, as a grid does with a study that it does without
            continue
        if name == MAIN_STUDY:
            own = f"edit {dotted(path)}.variants and .seeds"
            problems.add(at, f"{dotted(at)} is the dataset's own: {own}")
            continue
        problems.named(name, at[:-1], STUDY_NAME, "use up to 100 letters, digits and - _ . + only")
        studies[name] = read_study(problems.mapping(block, at), at, variants, problems)
    return {name: study for name, study in studies.items() if study is not None}


def _overrides(block: object, path: KeyPath, problems: Problems) -> Mapping[str, object]:
    """What a dataset's protocol fixes, if it can be used whatever else a variant says."""
    given = problems.known(problems.mapping(block, path), method_keys(PatchCoreConfig.method), path)
    return given if problems.built(PatchCoreConfig, given, path) else {}


def _asked(names: object, path: KeyPath, problems: Problems) -> tuple[str, ...]:
    """The metrics that a dataset asks for; null for none."""
    if names is None:
        return ()
    if not isinstance(names, list) or len({str(name) for name in names}) < len(names):
        problems.add_value(path, names, "must be a list of different metrics, or null")
        return ()
    for index, name in enumerate(names):
        if name not in ASKED:
            problems.add_value((*path, index), name, f"is no metric to ask for{hint(name, ASKED)}")
    return tuple(name for name in names if name in ASKED)
