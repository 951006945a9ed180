"""Whether a threshold keeps what it promises: `python -m benchmarks.thresholds --good "FOLDER/*.jpg"`.

Good images are drawn, a model is fitted to some of them and chooses its threshold, and others, which it has not seen,
show how often a good part would have been called anomalous. Each image is described once.
"""

import argparse
import glob
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch

from patchcore_core import PatchCore, PatchCoreConfig
from patchcore_core.common.errors import InputError, exit_on_input_error
from patchcore_core.common.progress import progress_bar
from patchcore_core.detector import put_together
from patchcore_suite.baselines.ensemble import leave_one_out
from patchcore_suite.datasets.images import Batches
from patchcore_suite.datasets.preprocessing import Preprocessing
from patchcore_suite.datasets.records import NOMINAL, Record
from patchcore_suite.parts.describing import BATCH, WORKERS
from patchcore_suite.parts.fitting import fraction_kept
from patchcore_suite.parts.thresholds import false_alarm_threshold


def features_of(images: Sequence[str], size: tuple[int, int]) -> torch.Tensor:
    """Patch features (n, h, w, d) of image files."""
    records = [Record(Path(image), "parts", "train", 0, NOMINAL) for image in images]
    model = PatchCore(PatchCoreConfig())
    batches = Batches(records, Preprocessing(size), BATCH, workers=WORKERS, description="describe")
    described = (model.describe_images(batch) for batch in batches)
    return put_together(described, count=len(records), device=model.device)[0]


def main() -> None:
    """Print a table: what was promised, the threshold with its interval, and what was seen."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.thresholds", description=__doc__.splitlines()[0])
    parser.add_argument("--good", required=True, help="glob pattern of good images")
    parser.add_argument("--held-out", type=int, default=191, help="images that no model is fitted to")
    parser.add_argument("--images", type=int, nargs="+", default=[10, 20, 50, 209], help="that a model is fitted to")
    parser.add_argument("--rate", type=float, default=0.01, help="of false alarms")
    parser.add_argument("--draws", type=int, default=5)
    parser.add_argument("--size", type=int, nargs=2, default=(224, 224), metavar=("HEIGHT", "WIDTH"))
    given = parser.parse_args()
    files = sorted(glob.glob(given.good, recursive=True))
    if max(given.images) + given.held_out > len(files):
        raise InputError(f"{given.good} are {len(files)} images, fewer than are asked for", remedy="ask for fewer")
    features = features_of(files, tuple(given.size))
    print("| good images | promised | threshold | 95 % interval | seen on held-out good images |")
    print("|---|---|---|---|---|")
    with progress_bar(len(given.images) * given.draws, "models", unit="model") as bar:
        for count in given.images:
            found, seen = [], []
            for seed in range(given.draws):
                order = np.random.default_rng(seed).permutation(len(features))
                held_out, chosen = order[: given.held_out], order[given.held_out :][:count]
                nominal = features[torch.from_numpy(np.sort(chosen))]
                config = PatchCoreConfig(coreset_fraction=fraction_kept(nominal.shape[:3].numel()))
                model = PatchCore(config, seed=seed).fit_described([nominal])
                found.append(false_alarm_threshold(leave_one_out(model, nominal)[0].numpy(), given.rate, seed=seed))
                others = features[torch.from_numpy(held_out)]
                scores = model.predict_rows(others.flatten(0, 2), others.shape[:3]).scores.numpy()
                seen.append(float((scores >= found[-1].value).mean()))
                bar.update(1)
            middle = [np.median([getattr(one, name) for one in found]) for name in ("value", "low", "high")]
            spread = f"{100 * min(seen):.1f} to {100 * max(seen):.1f} %"
            print(
                f"| {count} | {100 * found[0].rate:.1f} % | {middle[0]:.3g} | {middle[1]:.3g} to {middle[2]:.3g} "
                f"| {100 * np.mean(seen):.1f} % ({spread} in {given.draws} draws) |",
                flush=True,
            )


if __name__ == "__main__":
    with exit_on_input_error():
        main()
