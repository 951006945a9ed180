"""What a selection takes beside its features, in a process of its own: `python -m benchmarks.memory N D SIZE`.

Prints bytes: the largest resident memory during the selection, less that of the features before it.
"""

import sys

import torch

from patchcore_core.coreset import greedy_coreset
from patchcore_core.stamp import peak_memory

if __name__ == "__main__":
    n, d, size = map(int, sys.argv[1:])
    features = torch.randn(n, d, generator=torch.Generator().manual_seed(0))
    greedy_coreset(features[:4096], 512, start=0)  # what is loaded on first use
    before = peak_memory()
    greedy_coreset(features, size, start=0)
    print(peak_memory() - before)
