"""What the metrics take that a dataset has to ask for, beside PRO; and AUPIMO beside anomalib's on the same maps.

    python -m benchmarks.asked_metrics [--mtd FOLDER] [--bottle FOLDER --peer PYTHON]

Without a folder of Magnetic Tile Defects, 582 maps of the same shape are drawn. `make bench-peers` builds the peer's
environment; the category of MVTec AD lies as `data/README.md` says.
"""

import argparse
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from benchmarks.clock import interleaved
from benchmarks.inputs import BATCH, WORKERS, make_inputs
from benchmarks.peers import Peer
from patchcore_core import PatchCore, PatchCoreConfig, metrics
from patchcore_core.common.errors import exit_on_input_error
from patchcore_core.metrics import Regions
from patchcore_core.metrics.pixels import curve_of
from patchcore_suite import datasets
from patchcore_suite.datasets.images import Batches, mask_array, read_mask
from patchcore_suite.datasets.preprocessing import Preprocessing
from patchcore_suite.metrics.decisions import calibration_error, fpr_at_recall
from patchcore_suite.metrics.pimo import aupimo, aupimo_of_images
from patchcore_suite.metrics.segmentation import average_precision, f1_max, low_pro, seg_f1
from patchcore_suite.run.asked_intervals import asked_statistics
from patchcore_suite.run.pixel_intervals import pixel_replicates, pixel_statistics

CROPPED = Preprocessing(resize=256, crop=224)
THRESHOLDS = (30_000, 300_000)  # of the peer's AUPIMO, the second its default


def times(masks: NDArray[np.bool_], maps: NDArray[np.float32], *, repeats: int) -> dict[str, float]:
    """Median seconds of each metric of maps (n, H, W), and of all that have to be asked for."""
    labels, scores = masks.any(axis=(1, 2)), maps.max(axis=(1, 2))

    def from_the_curve() -> None:
        curve = curve_of(Regions.label(masks), maps)
        for metric in (average_precision, f1_max, low_pro):
            metric(curve)

    cases = {
        "PRO": lambda: metrics.pro(masks, maps),
        "AUPIMO": lambda: aupimo(masks, maps),
        "pixel AP, F1-max and PRO to 0.05, with a sort of their own": from_the_curve,
        "SegF1": lambda: seg_f1(masks, maps),
        "FPR at 95 % recall and calibration error": lambda: (
            fpr_at_recall(labels, scores),
            calibration_error(labels, scores),
        ),
        "intervals of the default's pixel metrics": lambda: pixel_replicates(
            labels, [pixel_statistics(Regions.label(masks), maps)]
        ),
        "intervals of what is asked for": lambda: pixel_replicates(
            labels, [asked_statistics(Regions.label(masks), maps)]
        ),
    }
    return interleaved(cases, repeats)


def category_maps(folder: Path) -> tuple[NDArray[np.bool_], NDArray[np.float32]]:
    """Masks and PatchCore's maps of the test images of a category of MVTec AD."""
    train, test = (datasets.load(folder.parent, folder.name, split) for split in ("train", "test"))
    model = PatchCore(PatchCoreConfig(coreset_fraction=0.01))
    model.fit(torch.cat(list(Batches(train, CROPPED, BATCH, workers=WORKERS, description="training images"))))
    images = Batches(test, CROPPED, BATCH, workers=WORKERS, description="test images")
    maps = torch.cat([model.predict(batch).maps for batch in images]).numpy()
    return np.stack([mask_array(read_mask(record), CROPPED) for record in test]), maps


def ranked(masks: NDArray[np.bool_], maps: NDArray[np.float32], *, kept: int = 1000) -> NDArray[np.float64]:
    """Maps with the same AUPIMO whose scores are 0, 1, 2, ..., so that evenly spaced thresholds meet each of them.

    Scores below those of the `kept` highest nominal pixels, where AUPIMO does not look, become one.
    """
    nominal = np.sort(maps[~masks.any(axis=(1, 2))], axis=None)
    _, places = np.unique(np.maximum(maps, nominal[-kept]), return_inverse=True)
    return places.reshape(maps.shape).astype(np.float64)


def parity(masks: NDArray[np.bool_], maps: NDArray[np.float32], python: Path) -> list[str]:
    """Sentences on how far the peer's AUPIMO of single images is from ours."""
    ours = aupimo_of_images(masks, maps)
    order = ranked(masks, maps)
    top = int(order[~masks.any(axis=(1, 2))].max())
    said = []
    for name, given, counts in (("as they are", maps, THRESHOLDS), ("as ranks", order, (top + 1,))):
        with Peer(python, {"nominal": np.empty(0), "masks": masks, "maps": given}) as peer:
            for count in counts:
                theirs = np.array(peer.ask("aupimo", thresholds=count)["values"], dtype=float)
                away = np.nanmax(np.abs(theirs - ours))
                said.append(f"{peer.name}, maps {name}, {count:,} thresholds: differs by {away:.1e} at most")
    return [f"AUPIMO {np.nanmean(ours):.4f} over {np.isfinite(ours).sum()} images", *said]


def main() -> None:
    """Measure, and print."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.asked_metrics",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--mtd", type=Path, help="folder of Magnetic Tile Defects")
    parser.add_argument("--bottle", type=Path, help="folder of a category of MVTec AD")
    parser.add_argument("--peer", type=Path, help="interpreter of an environment with anomalib")
    given = parser.parse_args()
    inputs = make_inputs(given.mtd, share=1, device="cpu")
    seconds = times(inputs.masks, inputs.maps, repeats=5)
    print(f"{inputs.maps.shape} maps; {inputs.origin}")
    for name, taken in seconds.items():
        print(f"{taken:8.3f} s  {taken / seconds['PRO']:5.2f} times PRO  {name}")
    if given.bottle and given.peer:
        print(*parity(*category_maps(given.bottle), given.peer), sep="\n")


if __name__ == "__main__":
    with exit_on_input_error():
        main()
