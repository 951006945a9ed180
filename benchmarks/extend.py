"""A memory bank that grows batch by batch, beside one run over all images: `python -m benchmarks.extend --mtd FOLDER`.

The images come in batches of equal number, in their order. Times are those of projection and selection; both ways take
turns. Radii are distances after projection.
"""

import statistics
import time

import torch
from torch import Tensor

from benchmarks.scale import accuracy, arguments, described
from patchcore_core import PatchCore, PatchCoreConfig
from patchcore_core.common.errors import exit_on_input_error
from patchcore_core.coreset import covering_radius, random_projection
from patchcore_core.detector import generator


def whole(images: Tensor, config: PatchCoreConfig) -> PatchCore:
    """One run over the patch features (n, h, w, d) of all images."""
    return PatchCore(config).fit_rows(images.flatten(0, 2))


def grown(images: Tensor, config: PatchCoreConfig, batches: int) -> PatchCore:
    """A fit of the first batch, extended by the others."""
    first, *others = images.tensor_split(batches)
    model = PatchCore(config).fit_rows(first.flatten(0, 2))
    for more in others:
        model.extend_rows(more.flatten(0, 2))
    return model


def main() -> None:
    """Measure, and print what was found."""
    parser = arguments(__doc__)
    parser.add_argument("--batches", type=int, default=10)
    given = parser.parse_args()
    images, _ = described(given.mtd, "train", given.images)
    test, records = described(given.mtd, "test", given.images)
    config = PatchCoreConfig(coreset_fraction=given.fraction)
    ways = {"one run": lambda: whole(images, config), "batches": lambda: grown(images, config, given.batches)}
    seconds: dict[str, list[float]] = {way: [] for way in ways}
    models: dict[str, PatchCore] = {}
    for _ in range(given.repeats):
        for way, act in ways.items():
            started = time.perf_counter()
            models[way] = act()
            seconds[way].append(time.perf_counter() - started)
    rows = images.flatten(0, 2)
    projected = random_projection(rows, 128, generator=generator(0, "projection"))
    radii = {way: covering_radius(projected, model.coreset_indices) for way, model in models.items()}
    print(f"{len(rows)} rows, fraction {given.fraction:g}, {given.batches} batches")
    print("| | rows kept | covering radius | told by the model | image AUROC | PRO | seconds |")
    print("|---|---|---|---|---|---|---|")
    for way, model in models.items():
        auroc, overlap = accuracy(test, torch.Tensor(model.memory_bank), records)
        print(
            f"| {way} | {len(model.memory_bank)} | {radii[way]:.3f} | {model.covering_radius:.3f} | {auroc:.4f} | "
            f"{overlap:.3f} | {statistics.median(seconds[way]):.1f} |"
        )
    ratio = statistics.median(b / a for a, b in zip(seconds["one run"], seconds["batches"], strict=True))
    print(f"radius: {radii['batches'] / radii['one run']:.3f} times that of one run; time: {ratio:.2f} times")


if __name__ == "__main__":
    with exit_on_input_error():
        main()
