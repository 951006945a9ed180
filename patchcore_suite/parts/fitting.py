"""From a folder of photographs to a model: its memory bank, its threshold, and a test where there are defects."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from patchcore_core import metrics
from patchcore_core.common.errors import InputError
from patchcore_suite.baselines.ensemble import leave_one_out
from patchcore_suite.datasets.images import mask_array, read_mask
from patchcore_suite.datasets.records import Entry, Record
from patchcore_suite.parts.describing import Described, FitOptions, describe, detector_of
from patchcore_suite.parts.following import silently
from patchcore_suite.parts.model import Judgement, PartsModel
from patchcore_suite.parts.photographs import Photographs, look_at
from patchcore_suite.parts.region import hide
from patchcore_suite.parts.source import Source
from patchcore_suite.parts.thresholds import Threshold, check_costs, cost_threshold, f1_threshold, false_alarm_threshold
from patchcore_suite.run.image_intervals import bootstrap_auroc

FEWEST_KEPT = 2000  # patch features, of which 1 % of a few images would be too few
LEAST_FRACTION = 0.01  # of the paper's default


def fit(photographs: Photographs | str, options: FitOptions | None = None, *, show_progress: bool = True) -> PartsModel:
    """Fit a model to good images, choose its threshold, and test it with what else there is.

    Raises:
        InputError: fewer than two good images, images of several sizes, or what `look_at` and the method refuse.
    """
    options = options or FitOptions()
    given = photographs if isinstance(photographs, Photographs) else look_at(photographs)
    if len(given.good) < 2:  # told before any is described
        raise InputError(
            f"{given.root} has {len(given.good)} good images to fit a model to",
            remedy="give at least two: each is scored without its own patches, which chooses the threshold",
        )
    described = describe(given.good, options, follow=None if show_progress else silently)
    model = fit_described(described, options, bits=given.bits, show_progress=show_progress)
    if not given.tested:
        return model
    tested, thresholds = evaluate(model, given.tested, miss_cost=options.miss_cost, show_progress=show_progress)
    return replace(model, tested=tested, thresholds=thresholds)


def fit_described(
    described: Described, options: FitOptions, *, bits: int = 16, show_progress: bool = False
) -> PartsModel:
    """Fit a model to good images that are described already, and choose its threshold; it is not tested yet.

    Raises:
        InputError: fewer than two images.
    """
    n, h, w, _ = described.features.shape
    if n < 2:
        raise InputError(
            f"{n} good images to fit a model to",
            remedy="give at least two: each is scored without its own patches, which chooses the threshold",
        )
    inside, features = described.inside, described.features
    seen = n * h * w if inside is None else int(inside.sum())
    fraction = fraction_kept(seen) if options.coreset_fraction is None else options.coreset_fraction
    detector = detector_of(options, coreset_fraction=fraction, progress=show_progress)
    if inside is None:
        detector.fit_described([features])
    else:
        detector.fit_rows(features[inside.to(features.device)])
        assert detector.coreset_indices is not None
        # Rows are numbered among all patches, as without a region, so that each can be traced to its image and place.
        detector.coreset_indices = inside.flatten().nonzero()[:, 0].to(features.device)[detector.coreset_indices]
        features = hide(features, inside)
    nominal_scores = leave_one_out(detector, features, progress=show_progress)[0].cpu().numpy()
    return PartsModel(
        detector=detector,
        preprocessing=options.preprocessing,
        size=described.size,
        grid=(h, w),
        bits=bits,
        threshold=false_alarm_threshold(nominal_scores, options.false_alarms, seed=options.seed),
        thresholds={},
        nominal_scores=nominal_scores,
        sources=tuple(Source(str(entry.record.image), entry.image_sha256) for entry in described.entries),
        tested={},
        tiles=options.tiles,
        region=described.region,
        patches=seen,
    )


def fraction_kept(patches: int) -> float:
    """Share of so many patch features that the memory bank keeps where nothing else is asked for."""
    return min(1.0, max(LEAST_FRACTION, FEWEST_KEPT / patches))


def evaluate(
    model: PartsModel, tested: Sequence[Entry], *, miss_cost: float = 10.0, show_progress: bool = True
) -> tuple[dict[str, float], dict[str, Threshold]]:
    """What a model is worth on images that are known to be good or defective.

    Returns:
        metrics by name, as fractions, and thresholds that these images choose; of what needs both kinds of images, or
        masks, nothing where there are none.

    Raises:
        InputError: images cannot be judged; all are listed.
    """
    check_costs(miss_cost)  # before the work of minutes
    records = [entry.record for entry in tested]
    judged = model.judge([record.image for record in records], show_progress=show_progress)
    return worth(model, records, judged, miss_cost=miss_cost)


def at_threshold(judged: Sequence[Judgement], threshold: Threshold) -> list[Judgement]:
    """Images that were judged already, by another threshold."""
    return [replace(one, anomalous=one.score >= threshold.value) for one in judged]


def worth(
    model: PartsModel, records: Sequence[Record], judged: Sequence[Judgement], *, miss_cost: float = 10.0
) -> tuple[dict[str, float], dict[str, Threshold]]:
    """What `evaluate` says, of images that were judged already."""
    labels = np.array([record.label for record in records])
    scores = np.array([one.score for one in judged], dtype=np.float32)
    called = np.array([one.anomalous for one in judged])
    found: dict[str, float] = {
        "good images": float((labels == 0).sum()),
        "defective images": float(labels.sum()),
        "false alarms": float((called & (labels == 0)).sum()),
        "missed defects": float((~called & (labels == 1)).sum()),
    }
    thresholds: dict[str, Threshold] = {}
    if labels.any() and not labels.all():
        found["image AUROC"] = metrics.image_auroc(labels, scores)
        low, high = bootstrap_auroc(labels, scores)
        if math.isfinite(low):  # else one of the kinds has one image, of which nothing can be drawn
            found["image AUROC, low"], found["image AUROC, high"] = low, high
        thresholds = {"f1": f1_threshold(labels, scores), "cost": cost_threshold(labels, scores, miss=miss_cost)}
    return found | _pixel_metrics(model, records, [one.map for one in judged]), thresholds


def _pixel_metrics(model: PartsModel, records: Sequence[Record], maps: Sequence[NDArray]) -> Mapping[str, float]:
    """Pixel AUROC and PRO, where every defective image has a mask, and nothing is hidden of any."""
    if model.region is not None or any(record.label and record.mask is None for record in records):
        return {}
    masks = np.stack(
        [
            mask_array(read_mask(record), model.preprocessing) if record.label else np.zeros(model.size, dtype=bool)
            for record in records
        ]
    )
    if masks.all() or not masks.any():
        return {}
    found = metrics.pixel_metrics(masks, np.stack(maps))
    return {"pixel AUROC": found["pixel_auroc"], "PRO": found["pro"]}
