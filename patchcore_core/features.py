"""Feature maps on disk, named by what determines them and shared by all variants that can use them."""

import os
import time
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

import numpy as np
import torch
from numpy.lib.format import open_memmap
from numpy.typing import NDArray

from patchcore_core.backbones import feature_maps, load_backbone
from patchcore_core.datasets.images import Preprocessing, batches
from patchcore_core.datasets.records import Record
from patchcore_core.files import atomic_path, sha256_json
from patchcore_core.params import Execution
from patchcore_core.stamp import code_fingerprint, versions

# The modules whose behaviour feature maps depend on; a change in one of them makes the cache start anew.
FEATURE_MODULES = ("backbones", "weights", "features", "datasets.images", "datasets.videos")

ORPHANED_AFTER = 24 * 3600  # seconds since the last write to a temporary file that no process will finish


class FeatureCache:
    """A folder of feature maps, one .npy file (n, c, h, w) a category, backbone and hierarchy.

    Args:
        folder: where the files lie.
        execution: device, batch size, workers, weights, and the size that the folder may grow to.
    """

    def __init__(self, folder: Path, execution: Execution) -> None:
        self.folder, self.execution = folder, execution

    def maps(
        self,
        records: Sequence[Record],
        digest: str,
        preprocessing: Preprocessing,
        *,
        backbone: str,
        weights_sha256: str,
        hierarchies: Sequence[int],
        description: str | None,
    ) -> list[NDArray]:
        """Feature maps (n, c_j, h_j, w_j) of all records, memory-mapped, one array a hierarchy.

        Args:
            records: the images.
            digest: what the records' files hold, as the manifest has it.
            weights_sha256: of the backbone's weights.
            description: names the progress bar, where images have to be run through the network; None for no bar.
        """
        paths = {}
        for j in hierarchies:
            identity = {
                "images": digest,
                "preprocessing": [preprocessing.resize, preprocessing.crop],
                "backbone": [backbone, weights_sha256, j],
                "device": torch.device(self.execution.device).type,
                "versions": versions(),
                "code": code_fingerprint(FEATURE_MODULES),
            }
            paths[j] = self.folder / f"{sha256_json(identity)}.npy"
        absent = [j for j in hierarchies if not paths[j].is_file()]
        if absent:
            self._extract(records, preprocessing, backbone, {j: paths[j] for j in absent}, description)
        for path in paths.values():
            os.utime(path)  # last used now
        self._evict(keep=set(paths.values()))
        return [np.load(paths[j], mmap_mode="r", allow_pickle=False) for j in hierarchies]

    def _extract(
        self,
        records: Sequence[Record],
        preprocessing: Preprocessing,
        backbone: str,
        paths: dict[int, Path],
        description: str | None,
    ) -> None:
        network = load_backbone(backbone, tuple(paths), weights=self.execution.weights).to(self.execution.device)
        images = batches(
            records,
            preprocessing,
            self.execution.batch_size,
            workers=self.execution.workers,
            description=description,
        )
        with ExitStack() as stack:
            temporary = [stack.enter_context(atomic_path(path)) for path in paths.values()]
            arrays: list[NDArray] = []
            start = 0
            for batch in images:
                maps = feature_maps(network, batch.to(self.execution.device))
                if not arrays:
                    shapes = [(len(records), *fmap.shape[1:]) for fmap in maps]
                    arrays = [
                        open_memmap(path, mode="w+", dtype=np.float32, shape=shape)
                        for path, shape in zip(temporary, shapes, strict=True)
                    ]
                for array, fmap in zip(arrays, maps, strict=True):
                    array[start : start + len(batch)] = fmap.cpu().numpy()
                start += len(batch)
            for array in arrays:
                array.flush()

    def _evict(self, keep: set[Path]) -> None:
        """Delete the files that were not used for longest, until the folder has its size; and what a kill left."""
        for orphan in self.folder.glob(".*.npy"):
            if time.time() - orphan.stat().st_mtime > ORPHANED_AFTER:
                orphan.unlink(missing_ok=True)
        limit = self.execution.cache_size_gb * 2**30
        files = sorted(self.folder.glob("[0-9a-f]*.npy"), key=lambda path: path.stat().st_mtime)
        total = sum(path.stat().st_size for path in files)
        for path in files:
            if total > limit and path not in keep:
                total -= path.stat().st_size
                path.unlink()
