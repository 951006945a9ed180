"""From a folder of photographs to a model: its memory bank, its threshold, and a test where there are defects."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from patchcore_core import PatchCore, PatchCoreConfig, metrics
from patchcore_core.common.errors import InputError
from patchcore_core.detector import put_together
from patchcore_suite.baselines.ensemble import leave_one_out
from patchcore_suite.datasets.images import Batches, mask_array, read_mask
from patchcore_suite.datasets.preprocessing import Preprocessing
from patchcore_suite.datasets.records import Entry, Record
from patchcore_suite.parts.model import PartsModel, Source
from patchcore_suite.parts.photographs import Photographs, look_at
from patchcore_suite.parts.thresholds import Threshold, cost_threshold, f1_threshold, false_alarm_threshold
from patchcore_suite.run.image_intervals import bootstrap_auroc
from patchcore_suite.run.own_networks import NONE, read_networks

BATCH = 8  # images
WORKERS = 2  # threads that decode images
FEWEST_KEPT = 2000  # patch features, of which 1 % of a few images would be too few
LEAST_FRACTION = 0.01  # of the paper's default


@dataclass(frozen=True, kw_only=True)
class FitOptions:
    """What may be chosen when a model is fitted.

    Attributes:
        resize: the shorter side of the images, or (height, width).
        crop: side of the square at the centre that is kept, if any.
        coreset_fraction: share of the patch features that the memory bank keeps; None: 1 %, and 2,000 at least.
        backbone: the network by name.
        false_alarms: share of good images that may be taken for anomalous.
        miss_cost: what a defect that is not found costs, in false alarms.
        seed: of what is drawn.
        weights: a file or folder of the backbone's weights.
        networks: a Python file that gives networks of your own by name, see `run.own_networks`; it is run.
        device: where to compute.
    """

    resize: int | tuple[int, int] = 256
    crop: int | None = None
    coreset_fraction: float | None = None
    backbone: str = PatchCoreConfig.backbone
    false_alarms: float = 0.01
    miss_cost: float = 10.0
    seed: int = 0
    weights: str | None = None
    networks: str | Path | None = None
    device: str = "cpu"

    def detector(self, config: PatchCoreConfig, *, progress: bool = False) -> PatchCore:
        """An unfitted model of this variant, with what was chosen here.

        Raises:
            InputError: the backbone is unknown, or the file of networks cannot be used.
        """
        own = NONE if self.networks is None else read_networks(self.networks)
        own.check(config)
        network = own.modules.get(config.backbone)
        given = {"seed": self.seed, "weights": self.weights, "device": self.device}
        return PatchCore(config, network=network, progress=progress, **given)


def fit(photographs: Photographs | str, options: FitOptions | None = None, *, show_progress: bool = True) -> PartsModel:
    """Fit a model to good images, choose its threshold, and test it with what else there is.

    Raises:
        InputError: fewer than two good images, images of several sizes, or what `look_at` and the method refuse.
    """
    options = options or FitOptions()
    given = photographs if isinstance(photographs, Photographs) else look_at(photographs)
    if len(given.good) < 2:
        raise InputError(
            f"{given.root} has {len(given.good)} good images to fit a model to",
            remedy="give at least two: each is scored without its own patches, which chooses the threshold",
        )
    preprocessing = Preprocessing(options.resize, options.crop)
    features, size = _features(given.good, preprocessing, options, show_progress=show_progress)
    n, h, w, _ = features.shape
    fraction = fraction_kept(n * h * w) if options.coreset_fraction is None else options.coreset_fraction
    config = PatchCoreConfig(backbone=options.backbone, coreset_fraction=fraction)
    detector = options.detector(config, progress=show_progress).fit_described([features])
    nominal_scores = leave_one_out(detector, features, progress=show_progress)[0].cpu().numpy()
    model = PartsModel(
        detector=detector,
        preprocessing=preprocessing,
        size=size,
        grid=(h, w),
        bits=given.bits,
        threshold=false_alarm_threshold(nominal_scores, options.false_alarms, seed=options.seed),
        thresholds={},
        nominal_scores=nominal_scores,
        sources=tuple(Source(str(entry.record.image), entry.image_sha256) for entry in given.good),
        tested={},
    )
    if not given.tested:
        return model
    tested, thresholds = evaluate(model, given.tested, miss_cost=options.miss_cost, show_progress=show_progress)
    return replace(model, tested=tested, thresholds=thresholds)


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
    records = [entry.record for entry in tested]
    judged = model.judge([record.image for record in records], show_progress=show_progress)
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
        found["image AUROC, low"], found["image AUROC, high"] = bootstrap_auroc(labels, scores)
        thresholds = {"f1": f1_threshold(labels, scores), "cost": cost_threshold(labels, scores, miss=miss_cost)}
    return found | _pixel_metrics(model, records, [one.map for one in judged]), thresholds


def _pixel_metrics(model: PartsModel, records: Sequence[Record], maps: Sequence[NDArray]) -> Mapping[str, float]:
    """Pixel AUROC and PRO, where every defective image has a mask."""
    if any(record.label and record.mask is None for record in records):
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


def _features(
    good: Sequence[Entry], preprocessing: Preprocessing, options: FitOptions, *, show_progress: bool
) -> tuple[torch.Tensor, tuple[int, int]]:
    """Patch features (n, h, w, d) of the good images, and the size (H, W) that these are brought to."""
    sizes = {preprocessing.size(entry.size): entry for entry in reversed(good)}
    if len(sizes) > 1:
        refuse_sizes = [f"{entry.record.image}: {size}" for size, entry in sizes.items()]
        raise InputError(
            f"good images come out at {len(sizes)} sizes",
            offenders=refuse_sizes,
            remedy="give a size of height and width, to which all are brought (--size HEIGHT WIDTH)",
        )
    describer = options.detector(PatchCoreConfig(backbone=options.backbone))
    images = Batches(
        [entry.record for entry in good],
        preprocessing,
        BATCH,
        workers=WORKERS,
        description="describe" if show_progress else None,
    )
    described = put_together(
        (describer.describe_images(batch) for batch in images), count=len(good), device=describer.device
    )
    return described[0], next(iter(sizes))
