"""What runs an exported model, and how long each takes beside torch."""

import importlib.util
import statistics
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from patchcore_core.common.errors import InputError
from patchcore_suite.datasets.images import image_tensor
from patchcore_suite.parts.describing import features_of
from patchcore_suite.parts.model import PartsModel
from patchcore_suite.parts.onnx_proof import PROVEN, Pixels, Run
from patchcore_suite.parts.region import hide, patches_inside

TURNS = {1: 9, 16: 3}  # of so many images at once, of which the median is told


def runtimes(graph: Path, run: Run) -> dict[str, Run]:
    """The exported model by each runtime that is installed, by name; `run` is onnxruntime's.

    Raises:
        InputError: OpenVINO is installed and cannot load the graph.
    """
    found = {PROVEN: run}
    if importlib.util.find_spec("openvino") is None:
        return found
    import openvino

    try:  # single precision throughout: by default a processor that can takes half
        compiled = openvino.compile_model(graph, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    except Exception as error:  # its errors have no common class
        raise InputError(f"OpenVINO cannot load the exported model: {error}", remedy="remove OpenVINO") from error

    def by_openvino(pixels: Pixels):
        said = compiled(pixels)
        return said["scores"], said["maps"]

    return {**found, "OpenVINO": by_openvino}


def latency(model: PartsModel, runs: Mapping[str, Run], pixels: Pixels) -> Iterator[str]:
    """Lines of a table: milliseconds an image by torch and by each runtime, from decoded images, medians of turns.

    Args:
        pixels: as many images as are given at once at most, of one size.
    """
    cases = {"torch": lambda images: by_torch(model, images), **runs}
    size, turned = f"{pixels.shape[1]} x {pixels.shape[2]}", " and ".join(map(str, TURNS.values()))
    yield f"Milliseconds an image of {size}, once it is decoded; medians of {turned} turns:\n"
    yield "| images at once | " + " | ".join(cases) + " |"
    yield "|---" * (1 + len(cases)) + "|"
    for batch, turns in TURNS.items():
        few = np.resize(pixels, (batch, *pixels.shape[1:]))
        times: dict[str, list[float]] = {name: [] for name in cases}
        for turn in range(1 + turns):  # in turns, so that what else runs meets all of them
            for name, run in cases.items():
                started = time.perf_counter()
                run(few)
                if turn:  # at the first call, room is made
                    times[name].append(time.perf_counter() - started)
        medians = (1000 * statistics.median(one) / batch for one in times.values())
        yield f"| {batch} | " + " | ".join(f"{value:.1f}" for value in medians) + " |"


def by_torch(model: PartsModel, pixels: Pixels) -> torch.Tensor:
    """Scores (n,) of decoded images."""
    images = torch.stack([image_tensor(Image.fromarray(one), model.preprocessing) for one in pixels])
    features = features_of(model.detector, images, model.tiles)
    if model.region is not None and model.region.mask is not None:
        inside = patches_inside(model.region.mask, model.grid)
        features = hide(features, inside.expand(len(images), -1, -1))
    return model.detector.predict_described([features], model.size).scores
