"""What a piece of code does, counted: no clock is read, so that a busy machine finds the same as an idle one."""

import sys
from dataclasses import dataclass, fields
from types import FrameType

import numpy as np
import plotly.graph_objects as go
import torch
from comm import DummyComm
from PIL import Image
from plotly.basedatatypes import BaseFigure
from torch.utils._python_dispatch import TorchDispatchMode

from patchcore_core.coreset import greedy_coreset
from patchcore_core.detector import Detector
from patchcore_suite.explore import views
from patchcore_suite.explore.coresets import coverage, embedding
from patchcore_suite.plugins.learned_banks import kmeans_centroids

SORTS = ("sort", "argsort", "partition", "argpartition")
LARGE = 100  # values from which a sort counts: plotly and numpy sort a few names now and then


@dataclass
class Work:
    """Counts of what was done.

    Attributes:
        decoded: image files opened.
        encoded: pictures made for a page.
        described: batches of images that a network saw.
        figures: figures built, or given their traces anew.
        sorts: of NumPy arrays with more than a few values.
        coresets, clusterings, coverages, embeddings: calls of the function that computes one.
        compared: pairs of rows whose product or distance torch computed.
        values: numbers that torch wrote.
        sent: bytes for the browser, about.
    """

    decoded: int = 0
    encoded: int = 0
    described: int = 0
    figures: int = 0
    sorts: int = 0
    coresets: int = 0
    clusterings: int = 0
    coverages: int = 0
    embeddings: int = 0
    compared: int = 0
    values: int = 0
    sent: int = 0

    def beyond(self, allowed: "Work") -> dict[str, str]:
        """What was done more often than it may be."""
        pairs = {item.name: (getattr(self, item.name), getattr(allowed, item.name)) for item in fields(self)}
        return {name: f"{count}, not {most}" for name, (count, most) in pairs.items() if count > most}


# By code, not by name: a function counts wherever it has been imported to.
FUNCTIONS = {
    Image.open.__code__: "decoded",
    views._address.__code__: "encoded",
    Detector.describe_images.__code__: "described",
    go.FigureWidget.__init__.__code__: "figures",
    BaseFigure.add_traces.__code__: "figures",
    greedy_coreset.__code__: "coresets",
    kmeans_centroids.__code__: "clusterings",
    coverage.__code__: "coverages",
    embedding.__code__: "embeddings",
}
PRODUCTS = {"aten::mm", "aten::addmm", "aten::bmm", "aten::baddbmm", "aten::_cdist_forward", "aten::_euclidean_dist"}


class counting(TorchDispatchMode):
    """Count what happens inside of a `with`, in this thread: `with counting() as work: ...`."""

    def __enter__(self) -> Work:
        self.work = Work()
        super().__enter__()
        sys.setprofile(self._profile)
        return self.work

    def __exit__(self, *error: object) -> None:
        sys.setprofile(None)
        super().__exit__(*error)

    def __torch_dispatch__(self, function, types, given=(), named=None):
        found = function(*given, **(named or {}))
        parts = found if isinstance(found, list | tuple) else [found]
        written = sum(part.numel() for part in parts if isinstance(part, torch.Tensor))
        if not function.is_view:
            self.work.values += written
        if function._schema.name in PRODUCTS:
            self.work.compared += written
        return found

    def _profile(self, frame: FrameType, event: str, called: object) -> None:
        if event == "call":
            if name := FUNCTIONS.get(frame.f_code):
                setattr(self.work, name, getattr(self.work, name) + 1)
            elif frame.f_code is DummyComm.publish_msg.__code__:
                self.work.sent += _size(frame.f_locals["data"]) + _size(frame.f_locals["buffers"] or [])
        elif event == "c_call" and called.__name__ in SORTS:
            array = getattr(called, "__self__", None)
            self.work.sorts += isinstance(array, np.ndarray) and array.size >= LARGE


def _size(data: object) -> int:
    """Bytes of a message, about."""
    if isinstance(data, dict):
        return sum(len(str(key)) + _size(value) for key, value in data.items())
    if isinstance(data, list | tuple):
        return sum(map(_size, data))
    return getattr(data, "nbytes", None) or len(str(data))
