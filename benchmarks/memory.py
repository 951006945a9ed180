"""What a selection takes beside its features, in a process of its own: `python -m benchmarks.memory FILE SIZE`.

The file is a NumPy array (n, d). Prints bytes: the largest resident memory during the selection, less what was
resident before it. Linux only.
"""

import re
import sys
from pathlib import Path

import numpy as np
import torch

from patchcore_core.coreset import greedy_coreset


def resident(kind: str) -> int:
    """Bytes that are resident now, "VmRSS", or were at most since the mark was reset, "VmHWM"."""
    return 1024 * int(re.search(rf"{kind}:\s*(\d+)", Path("/proc/self/status").read_text())[1])


if __name__ == "__main__":
    file, size = sys.argv[1:]
    features = torch.from_numpy(np.load(file))
    greedy_coreset(features[:4096], 512, start=0)  # what is loaded on first use
    Path("/proc/self/clear_refs").write_text("5")  # resets the high-water mark
    before = resident("VmRSS")
    greedy_coreset(features, int(size), start=0)
    print(resident("VmHWM") - before)
