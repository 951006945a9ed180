"""Networks of timm, as it describes them and as the suite reads them: `python -m benchmarks.backbones` writes a table.

Weights are random. All maps of an image of random pixels are compared with those of timm's `forward_intermediates`, of
a network that was built without the suite, with the same weights: at its own size, and at another that is not square,
for which timm sets the size of networks of one grid itself (`set_input_size`).
"""

import argparse
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import timm
import torch
from torch import Tensor

from patchcore_core.backbones import check_hierarchies, feature_maps
from patchcore_core.backbones.architectures import UNTRAINED, Architecture, added_by, build_architecture, without_values
from patchcore_core.common.errors import InputError
from patchcore_core.common.files import write_text
from patchcore_core.common.progress import progress_bar
from patchcore_suite.plugins.tokens import NORMED, Intermediates, intermediates

DOCUMENT = Path(__file__).parents[1] / "docs" / "backbones.md"
MARK = "<!-- written by `python -m benchmarks.backbones` -->\n"
COLUMNS = (
    "network",
    "module of timm",
    "pixels",
    "hierarchies",
    "timm: channels / strides",
    "maps",
    "takes",
    "maps are timm's",
    "at another size",
)
NAMES = (  # small ones of each family
    "vit_tiny_patch16_224",
    "vit_small_patch32_224",
    "vit_wee_patch16_reg1_gap_256",
    "vit_medium_patch16_gap_240",
    "vit_base_r26_s32_224",
    "deit_tiny_patch16_224",
    "deit_tiny_distilled_patch16_224",
    "deit3_small_patch16_224",
    "test_vit",
    "test_vit4",
    "flexivit_small",
    "vit_small_patch14_dinov2",
    "vit_small_patch14_reg4_dinov2",
    "vit_small_patch16_dinov3",
    "vit_base_patch32_clip_224",
    "vit_base_patch32_siglip_256",
    "vit_base_patch16_siglip_224",
    "vit_pe_core_tiny_patch16_384",
    "eva02_tiny_patch14_224",
    "eva02_small_patch14_224",
    "vit_small_patch16_rope_224",
    "vit_small_patch16_rope_mixed_224",
    "beit_base_patch16_224",
    "beitv2_base_patch16_224",
    "beit3_base_patch16_224",
    "vit_relpos_small_patch16_224",
    "test_vit_relpos",
    "vit_srelpos_small_patch16_224",
    "samvit_base_patch16_224",
    "naflexvit_base_patch16_gap",
    "cait_xxs24_224",
    "xcit_nano_12_p16_224",
    "convit_tiny",
    "tnt_s_legacy_patch16_224",
    "vitamin_small_224",
    "mixer_s32_224",
    "mixer_s16_224",
    "gmixer_12_224",
    "resmlp_12_224",
    "gmlp_ti16_224",
    "swin_tiny_patch4_window7_224",
    "swinv2_tiny_window8_256",
    "swinv2_cr_tiny_224",
    "mambaout_femto",
    "test_mambaout",
    "sequencer2d_s",
    "hiera_tiny_224",
    "mvitv2_tiny",
    "volo_d1_224",
    "pit_ti_224",
    "levit_128s",
    "nest_tiny",
    "twins_pcpvt_small",
    "visformer_tiny",
    "coat_tiny",
    "crossvit_tiny_240",
    "tiny_vit_5m_224",
    "hieradet_small",
    "davit_tiny",
    "focalnet_tiny_srf",
    "gcvit_xxtiny",
    "pvt_v2_b0",
    "efficientformer_l1",
    "poolformer_s12",
    "edgenext_xx_small",
    "convmixer_768_32",
    "qwen3_vit_88m",
)


def row(name: str) -> list[str]:
    """What is found of a network; the cells of the table's line."""
    reference = timm.create_model(name).eval()
    told, of = reference.feature_info, type(reference).__module__.rpartition(".")[2]
    facts = told if isinstance(told, list) else told.get_dicts()
    size = tuple(reference.pretrained_cfg["input_size"][-2:])
    read = without_values(lambda: intermediates(name)) if added_by(name) else None  # else stages of `features_only`
    hierarchies = tuple(read.hierarchies) if read else tuple(j for j in range(7) if _has(name, j))
    said = {(fact["num_chs"], fact["reduction"]): None for fact in facts}
    cells = [name, of, _shown(size), _listed(hierarchies), ", ".join(f"{c} / {stride}" for c, stride in said)]
    if not hierarchies:
        return [*cells, "refused", "", "", ""]
    architecture = build_architecture(UNTRAINED + name, hierarchies)
    state = architecture.whole.state_dict()
    architecture.extractor.load_state_dict({key: state[whole] for key, whole in architecture.whole_name.items()})
    reference.load_state_dict(state)
    maps = feature_maps(architecture.extractor, _pixels(size))
    at = _compared(reference, read, maps, size)
    shapes = {tuple(fmap.shape[1:]): None for fmap in maps}
    stride = max(fact["reduction"] for fact in facts)
    other = (size[0] + 2 * stride, size[1] + stride)
    also = _also(architecture, reference, read, other)
    images = "any" if also != "refused" else "not any"
    if read:
        free = read.sizes.flexible or read.sizes.settable
        images = f"multiples of {read.sizes.multiple}" if free else "of this size"
    return [*cells, ", ".join(_shown(shape) for shape in shapes), images, at, also]


def _also(architecture: Architecture, reference: Any, read: Intermediates | None, size: tuple[int, int]) -> str:
    """The same at another size."""
    try:
        maps = feature_maps(architecture.extractor, _pixels(size))
    except InputError:
        return "refused"
    one_grid = read is not None and len({layer.stride for layer in read.hierarchies.values()}) == 1
    if one_grid and hasattr(reference, "set_input_size"):
        reference.set_input_size(img_size=size)
    elif hasattr(reference, "set_input_size"):  # which would make windows larger
        return f"{_shown(size)}: shapes"
    return f"{_shown(size)}: {_compared(reference, read, maps, size)}"


@torch.inference_mode()
def _compared(reference: Any, read: Intermediates | None, maps: list[Tensor], size: tuple[int, int]) -> str:
    """Whether maps are those of timm's `forward_intermediates`."""
    of = dict(zip(read.hierarchies, maps, strict=True)) if read else dict(enumerate(maps))
    normed = {j for j in of if j >= NORMED}
    for norm in (False, True) if normed else (False,):
        theirs = reference.forward_intermediates(_pixels(size), norm=norm, intermediates_only=True)
        for j, fmap in of.items():
            if (j in normed) != norm:
                continue
            alike = [other for other in theirs if other.shape == fmap.shape]
            other = theirs[read.hierarchies[j].index] if read else alike[-1]
            if not torch.equal(fmap, other):
                return f"differs by {(fmap - other).abs().max() / other.abs().max():.1g}"
    return "equal"


def _has(name: str, hierarchy: int) -> bool:
    try:
        check_hierarchies(name, (hierarchy,))
    except InputError:
        return False
    return True


def _pixels(size: tuple[int, int]) -> Tensor:
    return torch.rand(1, 3, *size, generator=torch.Generator().manual_seed(0))


def _shown(shape: tuple[int, ...]) -> str:
    return " x ".join(map(str, shape))


def _listed(hierarchies: tuple[int, ...]) -> str:
    """Hierarchies as ranges."""
    starts = [j for j in hierarchies if j - 1 not in hierarchies]
    ends = [j for j in hierarchies if j + 1 not in hierarchies]
    return (
        ", ".join(f"{a} to {b}" if b > a else str(a) for a, b in zip(sorted(starts), sorted(ends), strict=True))
        or "none"
    )


def _written(text: str) -> dict[str, str]:
    """Lines of the document's table, by network."""
    lines = text.partition(MARK)[2].splitlines()
    return {line.split(" | ")[0].removeprefix("| "): line for line in lines if line.startswith("| ")}


def _write(lines: Mapping[str, str]) -> None:
    """Put lines into the document's table, in the order of NAMES; what it has of other networks of NAMES stays."""
    text = DOCUMENT.read_text(encoding="utf-8")
    of = _written(text) | lines
    heads = [f"| {' | '.join(cells)} |" for cells in (COLUMNS, ["---"] * len(COLUMNS))]
    table = [*heads, *(of[name] for name in NAMES if name in of)]
    write_text(DOCUMENT, "\n".join([text.partition(MARK)[0] + MARK, *table, ""]))


def main() -> None:
    """Write the table into the document, line by line; of networks that are named, print their lines alone."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "names", nargs="*", metavar="NAME", help="networks of timm; those of the document when left out"
    )
    parser.add_argument("--missing", action="store_true", help="leave lines that the document has as they are")
    given = parser.parse_args()
    warnings.simplefilter("ignore")  # of timm, about names
    has = _written(DOCUMENT.read_text(encoding="utf-8")) if given.missing else {}
    names = given.names or [name for name in NAMES if name not in has]
    with progress_bar(len(names), "backbones", unit="network") as bar:
        for name in names:
            line = f"| {' | '.join(row(name))} |"
            print(line, flush=True)
            if not given.names:
                _write({name: line})
            bar.update(1)


if __name__ == "__main__":
    main()
