"""The metrics of a raw result, a line each: files, tables, headings, intervals and summaries follow from it."""

from collections.abc import Collection, Mapping
from typing import NamedTuple


class Metric(NamedTuple):
    """What is said of a metric in one place.

    Attributes:
        name: in reports/metrics, and wherever params.yaml or a notebook asks for it.
        function: MODULE:FUNCTION, imported when metrics are computed; "" where what it needs is its value.
        needs: the arguments, attributes of `result_metrics.Judged`; a result without one of them has no such metric.
        heading: in tables, charts and sentences.
        higher_is_better: None if it is neither better nor worse.
        share: whether it is a fraction, which tables show in percent.
        table: whether the table of a dataset has a column of it.
        summary: whether `dvc metrics show` prints it.
        interval: whether it has a bootstrap interval in the main study; it needs `IMAGES` then, or is one of the
            PIXEL_METRICS or ASKED_PIXEL_METRICS, which are resampled together.
        asked: whether only datasets have it that ask for it: it is one of `settings.dataset_params.ASKED` then.
    """

    name: str
    function: str
    needs: tuple[str, ...]
    heading: str
    higher_is_better: bool | None = True
    share: bool = True
    table: bool = False
    summary: bool = False
    interval: bool = False
    asked: bool = False


CORE, SUITE = "patchcore_core.metrics", "patchcore_suite.metrics"
CROPPED = "patchcore_suite.run.result_metrics:defects_cropped_away"
IMAGES, REWEIGHTED = ("kinds", "scores"), ("kinds", "reweighted_scores")  # (n,) each
MAPS = ("regions", "maps")  # of masks (n, H, W), and (n, H, W)
CURVE = ("curve",)  # from one sort of the pixels
ALL = {"table": True, "summary": True, "interval": True}
ASKED = {**ALL, "asked": True}
COUNT = {"higher_is_better": None, "share": False}
_METRICS = (
    Metric("image_auroc", f"{CORE}:image_auroc", IMAGES, "image AUROC", **ALL),
    Metric("image_auroc_reweighted", f"{CORE}:image_auroc", REWEIGHTED, "image AUROC, Eq. 7", table=True),
    Metric("f1", "", ("optimum.f1",), "F1"),
    Metric("threshold", "", ("optimum.threshold",), "threshold", **COUNT),
    Metric("false_positives", "", ("optimum.false_positives",), "false positives", False, share=False),
    Metric("false_negatives", "", ("optimum.false_negatives",), "false negatives", False, share=False),
    Metric("test_images", "builtins:len", ("labels",), "test images", **COUNT),
    Metric("memory_bank", "", ("memory_bank",), "memory bank", **COUNT),
    Metric("bank_utilisation", f"{SUITE}.utilisation:bank_utilisation", ("indices", "memory_bank"), "bank utilisation"),
    Metric("covering_radius", "", ("covering_radius",), "covering radius", False, share=False),
    Metric("pixel_auroc", "", ("pixels.pixel_auroc",), "pixel AUROC", **ALL),  # both from one sort of the pixels
    Metric("pro", "", ("pixels.pro",), "PRO", **ALL),
    Metric("pro_per_image", f"{SUITE}.overlap:pro_per_image", MAPS, "PRO per image", interval=True),
    Metric("defects_cropped_away", CROPPED, ("labels", "regions"), "defects cropped away", **COUNT),
    Metric("aupimo", f"{SUITE}.pimo:aupimo", MAPS, "AUPIMO", **ASKED),
    Metric("pixel_ap", f"{SUITE}.segmentation:average_precision", CURVE, "pixel AP", **ASKED),
    Metric("pixel_f1", f"{SUITE}.segmentation:f1_max", CURVE, "pixel F1-max", **ASKED),
    Metric("low_pro", f"{SUITE}.segmentation:low_pro", CURVE, "PRO to 0.05", **ASKED),
    Metric("seg_f1", f"{SUITE}.segmentation:seg_f1", MAPS, "SegF1", **ASKED),
    Metric("fpr_at_recall", f"{SUITE}.decisions:fpr_at_recall", IMAGES, "FPR at 95 % recall", False, **ASKED),
    Metric("calibration_error", f"{SUITE}.decisions:calibration_error", IMAGES, "calibration error", False, **ASKED),
)
METRICS: Mapping[str, Metric] = {metric.name: metric for metric in _METRICS}


def wanted(asked: Collection[str]) -> list[Metric]:
    """The metrics of a dataset that asks for some: all that need not be asked for, then those."""
    return [metric for metric in METRICS.values() if not metric.asked or metric.name in asked]
