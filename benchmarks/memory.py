"""What a selection takes beside its features, in a process of its own: `python -m benchmarks.memory FILE SIZE`.

The file is a NumPy array (n, d). Prints bytes: the largest resident memory during the selection, less what was
resident before it. Linux only.
"""

import sys
from pathlib import Path

import numpy as np
import psutil
import torch

from patchcore_core.coreset import greedy_coreset
from patchcore_suite.run.environment import peak_memory
from patchcore_suite.run.kept_memory import give_back

if __name__ == "__main__":
    file, size = sys.argv[1:]
    features = torch.from_numpy(np.load(file))
    greedy_coreset(features[:4096], 512, start=0)  # what is loaded on first use
    give_back(from_now_on=True)  # else the selection takes what was freed before, which `make` has processes keep
    Path("/proc/self/clear_refs").write_text("5")  # resets the high-water mark
    before = psutil.Process().memory_info().rss
    greedy_coreset(features, int(size), start=0)
    print(peak_memory() - before)
