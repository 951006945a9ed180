"""PatchCore (Roth et al., CVPR 2022), from its equations."""

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from patchcore_core.common.errors import InputError
    from patchcore_core.config import PatchCoreConfig
    from patchcore_core.detector import Prediction
    from patchcore_core.patchcore import PatchCore

__version__ = "0.1.0"
__all__ = ["InputError", "PatchCore", "PatchCoreConfig", "Prediction"]

_HOMES = {
    "InputError": "patchcore_core.common.errors",
    "PatchCore": "patchcore_core.patchcore",
    "PatchCoreConfig": "patchcore_core.config",
    "Prediction": "patchcore_core.detector",
}


def __getattr__(name: str) -> object:
    # Imported on first use: a stage that only draws a figure needs neither torch nor the method.
    if name in _HOMES:
        return getattr(importlib.import_module(_HOMES[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
