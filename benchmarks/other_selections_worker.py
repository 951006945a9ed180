"""Runs in the peers' environment: times other libraries' farthest-point selections, one answer a line.

    python other_selections_worker.py FEATURES.npy PICKS

An answer is JSON: name, and picks and seconds, or why there are none. Each begins with row 0.
"""

import contextlib
import json
import re
import sys
import time
from importlib.metadata import version
from pathlib import Path

import numpy as np

features, size = np.load(sys.argv[1]), int(sys.argv[2])


def resident(kind):
    """Bytes that are resident now, "VmRSS", or were at most since the mark was reset, "VmHWM"."""
    return 1024 * int(re.search(rf"{kind}:\s*(\d+)", Path("/proc/self/status").read_text())[1])


def k_center():
    from k_center import KCenter

    return KCenter(n_clusters=size, random_state=None).fit(features).center_indices_  # None begins with row 0


def scikit_matter(kind):
    from skmatter import sample_selection

    return getattr(sample_selection, kind)(n_to_select=size, initialize=0).fit(features).selected_idx_


def torch_quickfps():
    import torch
    import torch_quickfps as library

    return library.sample(torch.from_numpy(features), size, start_idx=0, return_points=False).numpy()


peers = {
    "k-center": ("k-center", k_center),
    "scikit-matter FPS": ("skmatter", lambda: scikit_matter("FPS")),
    "scikit-matter VoronoiFPS": ("skmatter", lambda: scikit_matter("VoronoiFPS")),
    "torch-quickfps": ("torch-quickfps", torch_quickfps),
}
for name, (package, select) in peers.items():
    answer = {"name": name}
    try:
        answer["name"] = f"{name} {version(package)}"
        Path("/proc/self/clear_refs").write_text("5")  # resets the high-water mark
        before = resident("VmRSS")
        with contextlib.redirect_stdout(sys.stderr):
            started = time.perf_counter()
            chosen = select()
        seconds, grown = time.perf_counter() - started, resident("VmHWM") - before
        answer |= {"seconds": seconds, "grown_bytes": grown, "picks": np.asarray(chosen).ravel().tolist()}
    except Exception as error:  # a peer that is not here, or that does not take such features
        answer["problem"] = f"{type(error).__name__}: {error}".splitlines()[0][:300]
    print(json.dumps(answer), flush=True)
