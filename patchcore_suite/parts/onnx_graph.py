"""Writing a fitted model as one ONNX file."""

import logging
import warnings
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from patchcore_core.common.errors import InputError
from patchcore_suite.parts.model import PartsModel
from patchcore_suite.parts.onnx_chain import Chain
from patchcore_suite.parts.onnx_resize import Resized

OPSET = 20  # of ONNX, which onnxruntime has known since 1.17
AXES, SIDES = ("n", "height", "width"), (40, 60)  # of pixels, any; the graph is traced with some
MOST_BYTES = 2_000_000_000  # a file of ONNX must be smaller than 2 GiB


class FromPixels(nn.Module):
    """Pixels (n, height, width, 3) of 8 bits to scores (n,) and maps (n, H, W); scores are NaN of another size."""

    def __init__(self, model: PartsModel) -> None:
        super().__init__()
        self.resized = Resized(model.preprocessing, model.size)
        region = None if model.region is None else model.region.mask
        self.chain = Chain(model.detector, model.size, tiles=model.tiles, region=region)

    def forward(self, pixels: Tensor) -> tuple[Tensor, Tensor]:
        images, fits = self.resized(pixels)
        scores, maps = self.chain(images)
        return torch.where(fits, scores, torch.nan), maps


@torch.no_grad()
def write_graph(model: PartsModel, path: Path, facts: Mapping[str, str]) -> None:
    """Write a fitted model as one graph, from decoded images to scores and maps.

    Args:
        facts: what whoever runs it shall know, as metadata of the file.

    Raises:
        InputError: the network takes no such images, cannot be traced, or is too large with its memory bank.
    """
    chain = FromPixels(model).eval()
    held = sum(tensor.nbytes for tensor in (*chain.parameters(), *chain.buffers()))
    if held > MOST_BYTES:
        raise InputError(
            f"weights and memory bank take {held / 1e9:.1f} GB, and a file of ONNX may have {MOST_BYTES / 1e9:.1f}",
            remedy="use a smaller coreset_fraction",
        )
    try:
        with _quiet():
            program = torch.onnx.export(
                chain,
                (torch.zeros(2, *SIDES, 3, dtype=torch.uint8),),  # of one image, the number would be taken for fixed
                input_names=["pixels"],
                output_names=["scores", "maps"],
                dynamic_shapes={"pixels": {axis: torch.export.Dim(name) for axis, name in enumerate(AXES)}},
                opset_version=OPSET,
                dynamo=True,
                verbose=False,
            )
    except Exception as error:  # a tracer's errors are its own
        raise InputError(
            f"the network cannot be written as ONNX: {(str(error).strip() or type(error).__name__).splitlines()[0]}",
            remedy="use a network of convolutions whose steps do not depend on the values of images",
        ) from error
    if isinstance(program.model.graph.inputs[0].shape[0], int):
        raise InputError(
            "the network cannot be written as ONNX for any number of images at once",
            remedy="use a network whose steps are the same for 1 image and for 16",
        )
    _tidy(program.model)
    _weights_into_loops(program.model.graph)
    program.model.metadata_props.update(facts)
    program.save(path, external_data=False)


@contextmanager
def _quiet() -> Generator[None, None, None]:
    """Leave out what the exporter says of its own steps."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)


def _tidy(graph: object) -> None:
    """Take away the places in source files, which name folders of this machine, and what no step uses."""
    from onnx_ir.passes.common import ClearMetadataAndDocStringPass, RemoveUnusedNodesPass

    ClearMetadataAndDocStringPass()(graph)
    RemoveUnusedNodesPass()(graph)


def _weights_into_loops(graph: Any) -> None:
    """Move what only the steps of a loop use into it: onnxruntime prepares no weights for them that lie outside."""
    for node in graph:
        for body in (attribute.value for attribute in node.attributes.values() if attribute.type.name == "GRAPH"):
            used = {value.name: value for step in body for value in step.inputs if value is not None}
            for name, value in used.items():
                if graph.initializers.get(name) is value and all(use.node.graph is body for use in value.uses()):
                    del graph.initializers[name]
                    body.initializers[name] = value
