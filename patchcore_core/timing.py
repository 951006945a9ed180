"""How long a fitted detector takes for an image, part by part (Table 5 of the paper)."""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, fields
from itertools import cycle, islice
from pathlib import Path

import pandas as pd
import torch

from patchcore_core import paper, tables
from patchcore_core.backbones import feature_maps
from patchcore_core.comparison import HEADINGS, SYSTEMS
from patchcore_core.config import MethodConfig, PatchCoreConfig
from patchcore_core.datasets.images import Batches, Preprocessing
from patchcore_core.datasets.manifest import Manifest
from patchcore_core.datasets.records import Record
from patchcore_core.detector import Detector
from patchcore_core.errors import InputError
from patchcore_core.methods import detector
from patchcore_core.neighbours import EXACT, recall
from patchcore_core.params import Params
from patchcore_core.results import RawResult, ScoreIndex
from patchcore_core.weights import WeightsMissing

LOAD, BACKBONE, SEARCH, POST_PROCESSING, SCORING = "load", "backbone", "search", "post-processing", "scoring"
TOTAL = "total"
METRICS = ("image_auroc", "pixel_auroc", "pro")  # of Table 5


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


def inference_times(
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
    dataset: str, params: Params, *, study: str, category: str | None = None
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
    settings = params.dataset(dataset)
    if study not in settings.studies:
        raise InputError(f"dataset {dataset!r} has no study {study!r}", remedy=f"known: {', '.join(settings.studies)}")
    chosen, execution = settings.studies[study], params.execution
    manifest = Manifest.read(params.path(f"data/{dataset}/manifest.json"), base=params.root)
    nominal = manifest.records(category or chosen.chosen(manifest.categories)[0], "train")
    systems: dict[str, System] = {}
    skipped: dict[str, str] = {}
    described: dict[str, list[torch.Tensor]] = {}
    for variant in chosen.variants:
        config, preprocessing = params.config(dataset, variant), params.preprocessing(dataset, variant)
        if len(config.members) > 1:
            skipped[variant] = "an ensemble has no one backbone to time"
            continue
        model = detector(config, seed=chosen.seeds[0], weights=execution.weights, device=execution.device)
        key = repr((preprocessing, config.description(model.seed)))
        try:
            if key not in described:
                images = Batches(nominal, preprocessing, execution.batch_size, workers=execution.workers)
                parts = zip(*(model.describe_images(batch) for batch in images), strict=True)
                described[key] = [torch.cat(part) for part in parts]
        except WeightsMissing:
            skipped[variant] = tables.WEIGHTS_MISSING
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
            times = inference_times(
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


def times_beside_paper(
    times: pd.DataFrame, systems: Mapping[str, System], skipped: Mapping[str, str], *, table: str = "T5"
) -> pd.DataFrame:
    """Times as text: what `time_systems` returns, one row a system and batch size, and the paper's seconds beside it.

    The last rows are the systems that were not timed, and why.
    """
    printed = {number.method: number.text() for number in paper.published(table, metric="seconds_per_image")}
    cells = times.pivot(index=["system", "images_at_a_time"], columns="part", values="median_ms")
    cells = cells[[part for part in times["part"].unique() if part != TOTAL]]
    totals = times[times["part"] == TOTAL].set_index(["system", "images_at_a_time"])
    rows = []
    for system, count in totals.index:
        bank, total = systems[system].bank_rows, totals.loc[(system, count)]
        parts = {f"{part} (ms)": _milliseconds(value) for part, value in cells.loc[(system, count)].items()}
        rows.append(
            {"system": system, "rows of the bank": tables.NOTHING if bank is None else str(bank)}
            | {"images at a time": str(count), **parts}
            | {"total (ms)": _milliseconds(total["median_ms"]), "95th percentile (ms)": _milliseconds(total["p95_ms"])}
            | {"paper, on its GPU": printed.get(SYSTEMS.get(system, ""), tables.NOTHING)}
        )
    rows += [{"system": system, "rows of the bank": reason} for system, reason in skipped.items()]
    return pd.DataFrame(rows).fillna(tables.NOTHING)


def search_losses(dataset: str, params: Params, *, study: str) -> pd.DataFrame:
    """What approximate search misses, from the raw results of a study, as text.

    Each variant that searches approximately is compared with the study's variant that differs from it in nothing but
    an exact search, on the patches of all test images.

    Returns:
        columns variant, compared with, recall of the nearest patch and mean excess of its distance, both in percent,
        and for each metric how far it is from the exact search's, in points; no rows without such a variant.
    """
    folder = params.path(f"reports/scores/{dataset}")
    index, variants = ScoreIndex.read(folder), params.dataset(dataset).studies[study].variants
    configs = {variant: params.config(dataset, variant) for variant in variants}
    metrics = tables.read_metrics(dataset, params, study=study)
    means = {HEADINGS[name]: tables.mean_over_categories(metrics, name) for name in METRICS}
    rows = []
    for variant in variants:
        exact = next((name for name in variants if _searches_exactly_for(configs[variant], configs[name])), None)
        if exact is None:
            continue
        patches = pd.DataFrame(_searched_patches(index, folder, variant, exact), columns=["recall", "excess"]).mean()
        changes = {
            f"{title} (points)": _points(_mean(frame, variant) - _mean(frame, exact)) for title, frame in means.items()
        }
        rows.append(
            {"variant": variant, "compared with": exact}
            | {"recall (%)": f"{100 * patches['recall']:.1f}", "excess distance (%)": f"{100 * patches['excess']:.2f}"}
            | changes
        )
    columns = ["variant", "compared with", "recall (%)", "excess distance (%)", *(f"{name} (points)" for name in means)]
    return pd.DataFrame(rows, columns=columns)


def _searches_exactly_for(config: MethodConfig, other: MethodConfig) -> bool:
    """Whether `other` searches exactly where `config` does not, and all else is the same."""
    if not isinstance(config, PatchCoreConfig) or not isinstance(other, PatchCoreConfig):
        return False
    alike = all(getattr(config, f.name) == getattr(other, f.name) for f in fields(config) if f.name != "search")
    return alike and config.search not in EXACT and other.search in EXACT


def _searched_patches(index: ScoreIndex, folder: Path, variant: str, exact: str) -> Iterator[tuple[float, float]]:
    """Recall and mean relative excess of the distance, for each category and seed."""
    references: dict[tuple[str, int], RawResult] = {
        (cell["category"], cell["seed"]): result
        for cell, result in index.results(folder, variant=exact)
        if cell["shots"] is None
    }
    for cell, result in index.results(folder, variant=variant):
        reference = references.get((cell["category"], cell["seed"]))
        if cell["shots"] is None and reference is not None:
            found, true = (torch.from_numpy(one.indices).reshape(-1, 1) for one in (result, reference))
            yield recall(found, true), float(result.distances.mean() / reference.distances.mean() - 1)


def _mean(frame: pd.DataFrame, variant: str) -> float:
    return frame.loc[frame["variant"] == variant, "value"].mean(skipna=False)


def _points(difference: float) -> str:
    if pd.isna(difference):
        return tables.NOT_AVAILABLE
    points = round(100 * difference, 1)
    return f"{points:+.1f}" if points else "0.0"


def _milliseconds(value: float) -> str:
    return tables.NOTHING if pd.isna(value) else f"{value:.1f}"


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

    def timed_search(described: Sequence[torch.Tensor]) -> tuple[torch.Tensor, torch.Tensor]:
        found = search(described)
        watch.lap(SEARCH)
        return found

    detector.nearest_patches = timed_search  # hides the method, for this object only
    try:
        yield
    finally:
        del detector.nearest_patches
