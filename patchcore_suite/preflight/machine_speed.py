"""How fast this machine multiplies and moves."""

import io
import time
from collections.abc import Callable

import numpy as np
import torch
from PIL import Image
from torch import nn

from patchcore_core import metrics
from patchcore_suite.metrics.overlap import pro_per_image
from patchcore_suite.preflight.operations import FLOAT, Work

EFFICIENCY = 0.8  # of several threads, each compared with one alone


def calibrate(device: str = "cpu", *, seconds: float = 1.0) -> Work:
    """What this machine does of each kind per second when nothing else runs on it, measured for about `seconds`.

    On the CPU one thread's own time is measured, so that other programs do not count; products and convolutions are
    then taken to use all threads.
    """
    on = {"device": device}
    left, right, out = torch.rand(2048, 128, **on), torch.rand(128, 1024, **on), torch.empty(2048, 1024, **on)
    convolution = nn.Conv2d(256, 256, 3, padding=1, **on).requires_grad_(False)
    images = torch.rand(8, 256, 28, 28, **on)
    factors = torch.eye(100, dtype=torch.float64, **on).repeat(256, 1, 1)
    values = torch.rand(256, 100, 40, dtype=torch.float64, **on)
    depthwise = nn.Conv2d(240, 240, 5, padding=2, groups=240, **on).requires_grad_(False)
    channels = torch.rand(8, 240, 28, 28, **on)
    long = torch.rand(2**24, **on)
    file = io.BytesIO()
    picture = np.random.default_rng(0).integers(100, 116, (512, 512, 3), dtype=np.uint8)
    Image.fromarray(picture).save(file, "png")
    maps = np.random.default_rng(0).random((4, 128, 128), dtype=np.float32)
    masks = np.zeros(maps.shape, dtype=bool)
    masks[:2, 40:60, 40:60] = True

    tasks: dict[str, tuple[float, Callable[[], object]]] = {
        "products": (2 * 2048 * 128 * 1024, lambda: torch.mm(left, right, out=out)),
        "convolutions": (2 * 8 * 256 * 256 * 9 * 28 * 28, lambda: convolution(images)),
        "grouped": (2 * 8 * 240 * 25 * 28 * 28, lambda: depthwise(channels)),
        "solves": (256 * 40 * 100**2, lambda: torch.linalg.solve_triangular(factors, values, upper=False)),
        "traffic": (2 * FLOAT * len(long), lambda: torch.clamp(long, min=0.5)),
        "decoded": (512 * 512, lambda: Image.open(file).convert("RGB").resize((256, 256))),
        "ranked": (maps.size, lambda: (metrics.pixel_metrics(masks, maps), pro_per_image(masks, maps))),
    }
    threads = torch.get_num_threads()
    gpu = device.startswith("cuda")
    clock = time.perf_counter if gpu else time.process_time
    rates = {}
    try:
        torch.set_num_threads(1)
        for name, (amount, act) in tasks.items():
            act()  # what is built on first use
            times: list[float] = []
            while len(times) < 3 or sum(times) < seconds / len(tasks):
                started = clock()
                act()
                if gpu:
                    torch.cuda.synchronize(device)
                times.append(clock() - started)
            rates[name] = amount / max(float(np.median(times)), 1e-9)
            if not gpu and name in ("products", "convolutions", "grouped"):
                rates[name] *= max(1, EFFICIENCY * threads)
    finally:
        torch.set_num_threads(threads)
    return Work(**rates)
