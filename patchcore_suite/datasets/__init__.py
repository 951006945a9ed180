"""Where images come from: layouts of datasets and of your own folders, and synthetic stand-ins."""

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from patchcore_suite.datasets.images import Batches, image_tensor, mask_array, read_image, read_mask
    from patchcore_suite.datasets.inspection import build_manifest
    from patchcore_suite.datasets.loading import Dataset, load
    from patchcore_suite.datasets.manifest import Manifest
    from patchcore_suite.datasets.preprocessing import Preprocessing
    from patchcore_suite.datasets.records import Record
    from patchcore_suite.datasets.spec import DatasetSpec

__all__ = [
    "Batches",
    "Dataset",
    "DatasetSpec",
    "Manifest",
    "Preprocessing",
    "Record",
    "build_manifest",
    "image_tensor",
    "load",
    "mask_array",
    "read_image",
    "read_mask",
]

_HOMES = {
    "Batches": "images",
    "Dataset": "loading",
    "DatasetSpec": "spec",
    "Manifest": "manifest",
    "Preprocessing": "preprocessing",
    "Record": "records",
    "build_manifest": "inspection",
    "image_tensor": "images",
    "load": "loading",
    "mask_array": "images",
    "read_image": "images",
    "read_mask": "images",
}


def __getattr__(name: str) -> object:
    # Imported on first use: settings and manifests are read without what decodes images and makes tensors of them.
    if name in _HOMES:
        return getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
