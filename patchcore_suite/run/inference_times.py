"""How long a fitted detector takes for an image, part by part (Table 5 of the paper)."""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import cycle, islice

import pandas as pd
import torch

from patchcore_core.backbones import WeightsMissing, feature_maps
from patchcore_core.common.errors import InputError
from patchcore_core.detector import Detector
from patchcore_core.patches import Rows
from patchcore_suite.baselines.registry import detector
from patchcore_suite.datasets.images import Batches
from patchcore_suite.datasets.preprocessing import Preprocessing
from patchcore_suite.datasets.records import Record
from patchcore_suite.run.few_shot import learned_records
from patchcore_suite.run.own_networks import project_networks
from patchcore_suite.settings.project import ProjectDataset

LOAD, BACKBONE, SEARCH, POST_PROCESSING, SCORING = "load", "backbone", "search", "post-processing", "scoring"
TOTAL = "total"


@dataclass(frozen=True)
class System:
    """A fitted variant, and how images are prepared for it."""

    detector: Detector
    preprocessing: Preprocessing

    @property
    def bank_rows(self) -> int | None:
        """Patch features in the memory bank; None without one."""
        bank = getattr(self.detector, "memory_bank", None)
        return None if bank is None else len(bank)


def time_inference(
    detector: Detector,
    records: Sequence[Record],
    preprocessing: Preprocessing,
    *,
    batch_size: int,
    repeats: int,
    warm_up: int,
    clock: Callable[[], float] = time.perf_counter,
) -> pd.DataFrame:
    """Measure each part of the way from image files to scores and maps.

    The parts follow each other without a gap:
        load: read, decode, resize and copy to the device; one thread, files that the system may hold in memory.
        backbone: images to feature maps.
        search: feature maps to patch features to their nearest neighbours.
        post-processing: distances to image scores (both) and anomaly maps.
    A detector without `nearest_patches` is not taken apart; "scoring" is then all that follows the backbone.

    Args:
        detector: fitted.
        records: the images, all of one size after preprocessing; a last batch is filled up from the first ones.
        batch_size: images at a time.
        repeats: passes over all batches.
        warm_up: batches that are run first and not measured; without any, the first batch pays for what is built on
            first use, such as the search index.
        clock: seconds from some fixed point.

    Returns:
        columns repeat, batch, part, seconds (per image), one row for each part of each batch.

    Raises:
        InputError: a number is out of range, there are no images, or the detector is not fitted.
    """
    limits = (("batch_size", batch_size, 1), ("repeats", repeats, 1), ("warm_up", warm_up, 0))
    problems = [f"{name}={value} must be at least {low}" for name, value, low in limits if value < low]
    problems += [] if records else ["there are no images"]
    if problems:
        raise InputError("inference cannot be timed", offenders=problems, remedy="correct these values")

    full = islice(cycle(records), -(-len(records) // batch_size) * batch_size)
    parts = list(zip(*[full] * batch_size, strict=True))
    for part in islice(cycle(parts), warm_up):
        _time_batch(detector, part, preprocessing, clock)
    rows = [
        [repeat, batch, name, seconds / batch_size]
        for repeat in range(repeats)
        for batch, part in enumerate(parts)
        for name, seconds in _time_batch(detector, part, preprocessing, clock).items()
    ]
    return pd.DataFrame(rows, columns=["repeat", "batch", "part", "seconds"])


def summarise(times: pd.DataFrame) -> pd.DataFrame:
    """Median and 95th percentile over batches and repeats, in milliseconds per image.

    Args:
        times: what `inference_times` returns.

    Returns:
        columns part, median_ms, p95_ms: one row a part, and a last one, "total", of the whole. Medians do not add up:
        the total is that of each batch's sum.
    """
    parts = times.pivot(index=["repeat", "batch"], columns="part", values="seconds")[list(times["part"].unique())]
    quantiles = (1000 * parts.assign(**{TOTAL: parts.sum(axis=1)})).quantile([0.5, 0.95]).T
    return quantiles.set_axis(["median_ms", "p95_ms"], axis=1).rename_axis("part").reset_index()


def fit_systems(
    dataset: ProjectDataset, *, study: str, category: str | None = None
) -> tuple[dict[str, System], dict[str, str]]:
    """Fit every variant of a study on one category, with the study's first seed.

    Variants that keep the same of an image share it.

    Args:
        dataset: its name in `params.yaml`.
        category: the study's first if None.

    Returns:
        the systems by variant, in the study's order; and why the others were left out, by variant.

    Raises:
        InputError: the dataset has no such study or category, or is not prepared.
    """
    settings = dataset.settings
    if study not in settings.studies:
        raise InputError(
            f"dataset {dataset.name!r} has no study {study!r}", remedy=f"known: {', '.join(settings.studies)}"
        )
    chosen, execution = settings.studies[study], dataset.execution
    own = project_networks(dataset.project).modules
    manifest = dataset.manifest()
    category = category or chosen.chosen(manifest.categories)[0]
    systems: dict[str, System] = {}
    skipped: dict[str, str] = {}
    described: dict[str, list[torch.Tensor]] = {}
    for variant in chosen.variants:
        config, preprocessing = dataset.config(variant), dataset.preprocessing(variant)
        if len(config.members) > 1:
            skipped[variant] = "an ensemble has no one backbone to time"
            continue
        model = detector(
            config,
            network=own.get(config.backbone),
            seed=chosen.seeds[0],
            weights=execution.own_weights,
            device=execution.device,
        )
        key = repr((preprocessing, dataset.rotations(variant), config.description(model.seed)))
        try:
            if key not in described:
                nominal = learned_records(dataset, manifest, category, variant)
                images = Batches(nominal, preprocessing, execution.batch_size, workers=execution.workers)
                parts = zip(*(model.describe_images(batch) for batch in images), strict=True)
                described[key] = [torch.cat(part) for part in parts]
        except WeightsMissing:
            skipped[variant] = "weights missing"
            continue
        systems[variant] = System(model.fit_described(described[key]), preprocessing)
    return systems, skipped


def time_systems(
    systems: Mapping[str, System], records: Sequence[Record], *, batch_sizes: Sequence[int], repeats: int, warm_up: int
) -> pd.DataFrame:
    """Time each system on the same images, with several numbers of images at a time.

    The systems take turns: what else the machine does for a while meets all of them, and not one.

    Returns:
        columns system, images_at_a_time, and those of `summarise`; no rows without systems.

    Raises:
        InputError: see `inference_times`.
    """
    turns: dict[tuple[str, int], list[pd.DataFrame]] = {(name, n): [] for name in systems for n in batch_sizes}
    for repeat in range(repeats):
        for (name, batch_size), measured in turns.items():
            times = time_inference(
                systems[name].detector,
                records,
                systems[name].preprocessing,
                batch_size=batch_size,
                repeats=1,
                warm_up=0 if repeat else warm_up,
            )
            measured.append(times.assign(repeat=repeat))
    found = [
        summarise(pd.concat(measured)).assign(system=name, images_at_a_time=batch_size)
        for (name, batch_size), measured in turns.items()
    ]
    columns = ["system", "images_at_a_time", "part", "median_ms", "p95_ms"]
    return pd.concat(found, ignore_index=True)[columns] if found else pd.DataFrame(columns=columns)


class _Stopwatch:
    """Seconds since the lap before, by the lap's name, once the device has done all that it was given."""

    def __init__(self, device: torch.device, clock: Callable[[], float]) -> None:
        self.seconds: dict[str, float] = {}
        self._device, self._clock = device, clock
        self._last = self._now()

    def lap(self, name: str) -> None:
        now = self._now()
        self.seconds[name], self._last = now - self._last, now

    def _now(self) -> float:
        if self._device.type == "cuda":
            torch.cuda.synchronize(self._device)
        return self._clock()


def _time_batch(
    detector: Detector, records: Sequence[Record], preprocessing: Preprocessing, clock: Callable[[], float]
) -> dict[str, float]:
    """Seconds for a batch, by part in order."""
    network = detector.network  # built on first use, which is no part of inference
    watch = _Stopwatch(detector.device, clock)
    (images,) = Batches(records, preprocessing, len(records))
    images = images.to(detector.device)
    watch.lap(LOAD)
    maps = feature_maps(network, images)
    watch.lap(BACKBONE)
    with _lap_after_search(detector, watch):
        detector.predict_described(detector.describe(maps), tuple(images.shape[-2:]))
    watch.lap(POST_PROCESSING if SEARCH in watch.seconds else SCORING)
    return watch.seconds


@contextmanager
def _lap_after_search(detector: Detector, watch: _Stopwatch) -> Iterator[None]:
    """Read the clock where the detector's prediction has found the nearest patches.

    So both parts come from one run of the code that users run, and not from a difference of two.
    """
    search = getattr(detector, "nearest_patches", None)
    if search is None:
        yield
        return

    def timed_search(features: Rows) -> tuple[torch.Tensor, torch.Tensor]:
        found = search(features)
        watch.lap(SEARCH)
        return found

    detector.nearest_patches = timed_search  # hides the method, for this object only
    try:
        yield
    finally:
        del detector.nearest_patches
