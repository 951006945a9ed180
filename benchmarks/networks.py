"""Feature extraction: layouts and precisions of a network, and reading images ahead of it."""

from pathlib import Path

import torch

from benchmarks.clock import Row, Table, interleaved
from benchmarks.inputs import BATCH, PREPROCESSING, SIDE, WORKERS
from patchcore_core.backbones import Backbone, feature_maps, load_backbone
from patchcore_suite import datasets
from patchcore_suite.datasets.images import Batches

NETWORKS = ("tf_efficientnet_lite0", "untrained/wide_resnet50_2")
HIERARCHIES = (2, 3)
IMAGES = 160  # read from files


CASES = ("channels first", "channels last", "bfloat16")


def networks(*, repeats: int, device: str) -> Table:
    """One batch through a network: channels last, as it is loaded, channels first, and in half precision."""
    images = torch.rand(BATCH, 3, SIDE, SIDE, device=device)
    rows, findings = [], []
    for name in NETWORKS:
        last = load_backbone(name, HIERARCHIES).to(device)
        first = load_backbone(name, HIERARCHIES).to(device, memory_format=torch.contiguous_format)
        rounding = load_backbone(name, HIERARCHIES, precision="bfloat16").to(device)
        seconds = interleaved(
            {
                "channels last": lambda last=last: feature_maps(last, images),
                "channels first": lambda first=first: _channels_first(first, images),
                "bfloat16": lambda rounding=rounding: feature_maps(rounding, images),
            },
            repeats,
            device=device,
        )
        exact, rounded = feature_maps(last, images), feature_maps(rounding, images)
        error = max(float((a - b).norm() / a.norm()) for a, b in zip(exact, rounded, strict=True))
        rows += [
            Row(f"{name}, {case}", value, f"{1000 * value / BATCH:.1f} ms an image") for case, value in seconds.items()
        ]
        layout, half = (seconds[a] / seconds[b] for a, b in (CASES[:2], CASES[1:]))
        findings.append(
            f"{name}: channels last is **{layout:.2f}** times as fast as channels first, bfloat16 **{half:.2f}** times "
            f"as fast again, with maps that differ by {100 * error:.1f} %."
        )
    return Table("Networks", f"Batches of {BATCH} images of {SIDE} pixels.", rows, findings)


@torch.inference_mode()
def _channels_first(network: Backbone, images: torch.Tensor) -> list[torch.Tensor]:
    """What a backbone computes, but for the layout that it brings images to."""
    return list(network.network((images - network.mean) / network.std))


def reading(folder: Path, *, repeats: int, device: str) -> Table:
    """Files to feature maps, with and without reading ahead."""
    records = list(datasets.load(folder, split="train"))[:IMAGES]
    network = load_backbone(NETWORKS[0], HIERARCHIES).to(device)

    def extract(workers: int) -> None:
        for batch in Batches(records, PREPROCESSING, BATCH, workers=workers):
            feature_maps(network, batch.to(device))

    def read() -> None:
        for _ in Batches(records, PREPROCESSING, BATCH, workers=WORKERS):
            pass

    seconds = interleaved(
        {"one after the other": lambda: extract(0), "reading ahead": lambda: extract(WORKERS), "reading alone": read},
        repeats,
        device=device,
    )
    rows = [Row(case, value, f"{len(records)} images") for case, value in seconds.items()]
    gain = seconds["one after the other"] / seconds["reading ahead"]
    return Table("Files to feature maps", "", rows, [f"Reading ahead is **{gain:.2f}** times as fast."])
