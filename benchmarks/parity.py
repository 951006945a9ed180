"""PatchCore, AnomalyDINO, MH-PatchCore, RAD and SuperADD beside anomalib's: writes the tables of docs/parity.md.

    python -m benchmarks.parity --bottle FOLDER --peer PYTHON [--every N]

FOLDER is a category of MVTec AD whose images are square, as `data/README.md` says; `make bench-peers` builds the
environment of PYTHON. Both sides get the same weights, packaged or drawn.
"""

import argparse
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import safetensors.torch
import torch
from torch import Tensor

from benchmarks.inputs import BATCH, WORKERS
from benchmarks.peers import Peer
from patchcore_core import PatchCore, PatchCoreConfig
from patchcore_core.backbones import UNTRAINED, backbone_weights, load_backbone
from patchcore_core.backbones.architectures import IMAGENET_MEAN, IMAGENET_STD, build_architecture
from patchcore_core.common.errors import InputError, exit_on_input_error
from patchcore_core.common.files import write_text
from patchcore_core.config import DEFAULT_BACKBONE
from patchcore_core.coreset import greedy_coreset
from patchcore_core.detector import Detector, Prediction
from patchcore_core.metrics import image_auroc
from patchcore_core.scoring import anomaly_maps
from patchcore_suite import datasets
from patchcore_suite.baselines.anomaly_dino import AnomalyDino, AnomalyDinoConfig
from patchcore_suite.baselines.mh_patchcore import MHPatchCore, MHPatchCoreConfig
from patchcore_suite.baselines.rad import Rad, RadConfig
from patchcore_suite.baselines.super_add import SuperAdd, SuperAddConfig
from patchcore_suite.datasets.images import Batches
from patchcore_suite.datasets.preprocessing import Preprocessing
from patchcore_suite.settings.profiles import steps, switched

DOCUMENT = Path(__file__).parents[1] / "docs" / "parity.md"
MARK = "<!-- written by `python -m benchmarks.parity` -->\n"
WORKER = Path(__file__).with_name("parity_worker.py")
SIDE, BORDER = 256, 16  # pixels of an image; how far smoothing sees
LAYERS, FRACTION, SEED = ["blocks.2", "blocks.4"], 0.002, 0  # timm's names of hierarchies 2 and 3
FEW, SPARSE = 16, 4  # nominal images of AnomalyDINO; of how many nominal images one is of the large banks
BLOCKS = ("vit_tiny_patch16_224", (3, 6, 9, 11))
PROBED = (("vit_small_patch16_224", 224), ("vit_small_patch14_dinov2", 252))  # at their own size, and at another

Images = Mapping[str, Tensor]  # train and test, (n, 3, H, W) in [0, 1]


def records_of(folder: Path, every: int) -> dict[str, datasets.Dataset]:
    """Every so many of a category's images, by split.

    Raises:
        InputError: there are none, or they are not square.
    """
    found = {}
    for split in ("train", "test"):
        found[split] = datasets.Dataset(tuple(datasets.load(folder.parent, folder.name, split))[::every])
    width, height = datasets.read_image(found["train"][0]).size
    if width != height:
        raise InputError(f"images of {folder} are {width} x {height} pixels", remedy="name a category of square ones")
    return found


def read(records: Mapping[str, datasets.Dataset], preprocessing: Preprocessing) -> Images:
    """All images of both splits."""
    return {
        split: torch.cat([*Batches(of, preprocessing, BATCH, workers=WORKERS, description=f"{split} images")])
        for split, of in records.items()
    }


def described(model: Detector, images: Images) -> Images:
    """Patch features (n, h, w, d) of images, by split."""
    return {
        split: torch.cat([model.describe_images(batch)[0] for batch in of.split(BATCH)]) for split, of in images.items()
    }


def away(ours: Tensor, theirs: Tensor) -> str:
    """The largest difference, over the largest value."""
    return f"{float((ours.double() - theirs.double()).abs().max() / theirs.abs().max()):.1e}"


def inner(maps: Tensor) -> Tensor:
    """Maps (n, H, W) without the border that smoothing sees."""
    return maps[:, BORDER:-BORDER, BORDER:-BORDER]


def ours_after(switches: int) -> tuple[PatchCoreConfig, Preprocessing]:
    """Our PatchCore after some of the switches from the paper to anomalib."""
    fields, images = switched("paper", "anomalib", switches, backbone=DEFAULT_BACKBONE)
    return PatchCoreConfig(**fields, hierarchies=(2, 3), coreset_fraction=FRACTION), Preprocessing(**images)


def normalising_as_anomalib(config: PatchCoreConfig) -> PatchCore:
    """Ours, with images normalised by ImageNet's mean and deviation, whatever the network was trained with."""
    model = PatchCore(config, seed=SEED)
    for name, values in (("mean", IMAGENET_MEAN), ("std", IMAGENET_STD)):
        getattr(model.network, name).copy_(torch.tensor(values).view(1, 3, 1, 1))
    return model


def ask_patchcore(peer: Peer, records: Mapping[str, datasets.Dataset]) -> dict[str, Tensor]:
    """Let anomalib do all from files to scores; what it made on the way."""
    whole = build_architecture(DEFAULT_BACKBONE, (2, 3)).whole
    backbone_weights(DEFAULT_BACKBONE).load_into(whole, needed=whole.state_dict(), name=DEFAULT_BACKBONE)
    safetensors.torch.save_file(whole.state_dict(), peer.folder / "weights.safetensors")
    for split, of in records.items():
        peer.ask("images", files=[str(record.image.resolve()) for record in of], name=split)
    peer.ask("patchcore", backbone=DEFAULT_BACKBONE, layers=LAYERS, weights="weights.safetensors", fraction=FRACTION,
             seed=SEED)  # fmt: skip
    return {name: peer.read(name) for name in ("train", "test", "nominal", "projected", "picks", "scores", "maps")}


def stages(theirs: Mapping[str, Tensor], whole: Images, labels: Sequence[int]) -> Iterator[tuple[str, str]]:
    """What each stage says, with the same input, of ours beside anomalib's PatchCore."""
    config, _ = ours_after(len(steps("paper", "anomalib", backbone=DEFAULT_BACKBONE)))
    levels = torch.cat([(whole[split] - theirs[split]).abs() for split in whole]) * 255
    yield "images, from the files", f"{levels.max():.2f} of 255 levels at most, {levels.mean():.2f} on average"
    model = normalising_as_anomalib(config)
    for what, of in (("", PatchCore(config, seed=SEED)), (", normalised as it does", model)):
        features = described(of, {split: theirs[split] for split in whole})
        yield f"patch features, of its images{what}", away(features["train"].flatten(0, 2), theirs["nominal"])
    picks, projected = theirs["picks"], theirs["projected"]
    own = greedy_coreset(projected, len(picks), start=int(picks[0]))
    same = int((own == picks).int().cumprod(0).sum())
    shared = len({*own.tolist()} & {*picks.tolist()})
    yield (
        f"selection, of its {len(projected):,} features in {projected.shape[1]} dimensions, from its first pick",
        f"the first {same:,} of {len(picks):,} picks; {shared:,} in all",
    )
    model.memory_bank = theirs["nominal"][picks]
    found = model.predict_described([features["test"]], (SIDE, SIDE))
    yield "image scores, with its bank", away(found.scores, theirs["scores"])
    yield "maps, with its bank", away(found.maps, theirs["maps"])
    yield f"maps, without {BORDER} pixels at the border", away(inner(found.maps), inner(theirs["maps"]))
    yield (
        "image AUROC, ours and its",
        f"{image_auroc(labels, found.scores):.4f}; {image_auroc(labels, theirs['scores']):.4f}",
    )


def by_switch(
    theirs: Mapping[str, Tensor], records: Mapping[str, datasets.Dataset], labels: Sequence[int]
) -> Iterator[list[str]]:
    """Ours from files to scores, beside anomalib's, after one switch more each time; then with what is no switch."""
    names = [switch.name for switch in steps("paper", "anomalib", backbone=DEFAULT_BACKBONE)]
    images: dict[Preprocessing, Images] = {}
    for count, name in enumerate(["", *names]):
        config, preprocessing = ours_after(count)
        model = PatchCore(config, seed=SEED)
        if preprocessing not in images:
            images[preprocessing] = described(model, read(records, preprocessing))
        features = images[preprocessing]
        variant = f"anomalib-{count}: {name}" if name else "paper"
        side = preprocessing.crop or SIDE
        yield _line(variant, model.fit_described([features["train"]]), features["test"], side, theirs, labels)
    model = normalising_as_anomalib(config)
    features = described(model, read(records, preprocessing))
    model.fit_described([features["train"]])
    yield _line("anomalib, its normalisation", model, features["test"], SIDE, theirs, labels)
    for what, of in (
        ("the same, its projection and first pick", features),
        ("the same, its resized images", described(model, {split: theirs[split] for split in records})),
    ):
        model.memory_bank = of["train"].flatten(0, 2)[theirs["picks"]]
        yield _line(what, model, of["test"], SIDE, theirs, labels)


def _line(
    what: str, model: PatchCore, test: Tensor, side: int, theirs: Mapping[str, Tensor], labels: Sequence[int]
) -> list[str]:
    """How far scores and maps are from anomalib's."""
    found = model.predict_described([test], (side, side))
    scores = (found.scores / theirs["scores"] - 1).abs()
    cut = (SIDE - side) // 2 or BORDER  # the same part of both
    their_maps = theirs["maps"][:, cut:-cut, cut:-cut]
    maps = found.maps if side < SIDE else inner(found.maps)
    differs = (maps - their_maps).abs().mean() / their_maps.mean()
    auroc = image_auroc(labels, found.scores)
    return [what, *(f"{float(value):.1e}" for value in (scores.median(), scores.max(), differs)), f"{auroc:.4f}"]


def family(peer: Peer, features: Images, blocks: Images, means: Images) -> Iterator[list[str]]:
    """The other methods, of the same features."""
    size = (SIDE, SIDE)
    few = features["train"][:FEW]
    for masking in (False, True):
        theirs = peer.answer("anomaly_dino", {"nominal": few, "queries": features["test"]}, masking=masking)
        found = AnomalyDino(AnomalyDinoConfig(masking=masking)).fit_described([few])
        found = found.predict_described([features["test"]], size)
        nearest_pixel = replace(found, maps=anomaly_maps(found.distances, size, upsampling="nearest"))
        yield _beside(f"AnomalyDINO, {FEW} images{', background left out' * masking}", nearest_pixel, theirs)
    config = MHPatchCoreConfig()
    given = {"nominal": features["train"], "queries": features["test"]}
    theirs = peer.answer("mh_patchcore", given, images_a_part=config.images_a_part, bank_size=config.bank_size)
    found = MHPatchCore(config).fit_described([features["train"]]).predict_described([features["test"]], size)
    yield _beside(f"MH-PatchCore, {len(features['train'])} images", found, theirs)
    given = {"nominal": blocks["train"], "queries": blocks["test"]}
    with_means = given | {"nominal_means": means["train"], "queries_means": means["test"]}
    rad = RadConfig()
    theirs = peer.answer("rad", with_means, neighbour_images=rad.neighbour_images)
    unit = {split: [means[split], *torch.nn.functional.normalize(of, dim=4).unbind(1)] for split, of in blocks.items()}
    found = Rad(rad).fit_described(unit["train"]).predict_described(unit["test"], size)
    yield _beside(f"RAD, {len(means['train'])} images, four blocks", found, theirs)
    theirs = peer.answer("super_add", given)
    found = SuperAdd(SuperAddConfig()).fit_described([*blocks["train"].unbind(1)])
    yield _beside(
        "SuperADD, whole banks of four blocks", found.predict_described([*blocks["test"].unbind(1)], size), theirs
    )


def _beside(what: str, found: Prediction, theirs: Mapping[str, Tensor]) -> list[str]:
    maps = theirs["maps"]
    return [
        what,
        *(
            away(*pair)
            for pair in ((found.scores, theirs["scores"]), (found.maps, maps), (inner(found.maps), inner(maps)))
        ),
    ]


def drawn_blocks(images: Images) -> tuple[Images, Images]:
    """Blocks (n, L, h, w, c) of a transformer as initialised, and global means (n, c) of the last, of length 1."""
    network = load_backbone(UNTRAINED + BLOCKS[0], BLOCKS[1])
    with torch.inference_mode():
        maps = {
            split: torch.cat([torch.stack(network(part), 1) for part in of.split(BATCH)])
            for split, of in images.items()
        }
    means = {split: torch.nn.functional.normalize(of[:, -1].mean(dim=(2, 3)), dim=1) for split, of in maps.items()}
    return {split: of.permute(0, 1, 3, 4, 2).contiguous() for split, of in maps.items()}, means


def probes(peer: Peer) -> Iterator[list[str]]:
    """Maps of a transformer's last block after its last norm, with the same drawn weights and pixels."""
    for name, side in PROBED:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(SEED)
            architecture = build_architecture(UNTRAINED + name, (111,))
        state = architecture.whole.state_dict()
        architecture.extractor.load_state_dict({key: state[whole] for key, whole in architecture.whole_name.items()})
        safetensors.torch.save_file(state, peer.folder / "drawn.safetensors")
        pixels = torch.rand(1, 3, side, side, generator=torch.Generator().manual_seed(SEED))
        np.save(peer.folder / "probe.npy", pixels)
        with torch.inference_mode():
            (ours,) = architecture.extractor(pixels)
        peer.ask("tokens", backbone=name, blocks=[11], weights="drawn.safetensors", norm=True)
        yield [name, f"{side} x {side}", away(ours, peer.read("tokens")[0])]


def table(*lines: Sequence[str]) -> str:
    """Rows of a table, its heads first."""
    return "\n".join(f"| {' | '.join(cells)} |" for cells in (lines[0], ["---"] * len(lines[0]), *lines[1:]))


def parity(folder: Path, python: Path, every: int) -> Iterator[str]:
    """All tables, one after the other."""
    records = records_of(folder, every)
    labels = [record.label for record in records["test"]]
    _, preprocessing = ours_after(len(steps("paper", "anomalib", backbone=DEFAULT_BACKBONE)))
    whole = read(records, preprocessing)
    with Peer(python, {}, WORKER) as peer:
        counts = f"{len(whole['train'])} nominal and {len(whole['test'])} test images of `{folder.name}`"
        yield f"{peer.name}, {counts}, {DEFAULT_BACKBONE}, {100 * FRACTION:g} % of the patches."
        yield table(["network as initialised", "images", "tokens"], *probes(peer))
        features = described(PatchCore(ours_after(1)[0]), whole)
        few = {"train": whole["train"][::SPARSE], "test": whole["test"]}
        heads = ["method, of the same features", "image scores", "maps", f"maps without {BORDER} pixels at the border"]
        yield table(heads, *family(peer, features, *drawn_blocks(few)))
        theirs = ask_patchcore(peer, records)
        yield table(["PatchCore, stage by stage", "difference"], *stages(theirs, whole, labels))
        heads = ["ours, from files to scores", "image scores: median", "largest", "maps: mean", "image AUROC"]
        yield table(heads, *by_switch(theirs, records, labels))


def main() -> None:
    """Compare, and write the tables into the document."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.parity", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--bottle", type=Path, required=True, help="folder of a category of MVTec AD")
    parser.add_argument("--peer", type=Path, required=True, help="interpreter of an environment with anomalib")
    parser.add_argument("--every", type=int, default=1, help="take every so many of the images")
    given = parser.parse_args()
    tables = []
    for found in parity(given.bottle, given.peer, given.every):
        print(f"{found}\n", flush=True)
        tables.append(found)
    text = DOCUMENT.read_text(encoding="utf-8").partition(MARK)[0]
    write_text(DOCUMENT, "\n\n".join([text + MARK.strip(), *tables]) + "\n")


if __name__ == "__main__":
    with exit_on_input_error():
        main()
