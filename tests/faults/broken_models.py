"""Saved models of which a file is harmed, and images that a model cannot judge."""

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import cv2
import numpy as np
import safetensors.torch
import torch
from faults.broken_arrays import IMAGES, Pyramid, fitted
from faults.inputs import Gives, Input, Make, Refused, Use, nothing
from sealed_files import rewrite
from toy_folders import SIZE, mvtec_folder, save_image

from patchcore_core import PatchCore
from patchcore_core.common.files import sha256_file
from patchcore_suite.parts.describing import FitOptions
from patchcore_suite.parts.fitting import fit
from patchcore_suite.parts.following import silently
from patchcore_suite.parts.model import PartsModel
from patchcore_suite.parts.photographs import look_at

BANK, DESCRIPTION, PARTS, REGION = "memory_bank.safetensors", "model.json", "parts.json", "region.png"

NOT_THOSE = "files of the model are missing, or are not those that were saved with it"


def cut(path: Path, of_other: bytes) -> None:
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])


def flipped(path: Path, of_other: bytes) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 4
    path.write_bytes(content)


def a_folder(path: Path, of_other: bytes) -> None:
    path.unlink()
    path.mkdir()


HARMS: dict[str, Callable[[Path, bytes], object]] = {
    "cut": cut,
    "with a changed bit": flipped,
    "emptied": lambda path, of_other: path.write_bytes(b""),
    "lost": lambda path, of_other: path.unlink(),
    "that is a folder": a_folder,
    "that says null": lambda path, of_other: path.write_text("null"),
    "with a line more": lambda path, of_other: path.write_bytes(path.read_bytes() + b"\n"),
    "that is a pickle": lambda path, of_other: path.write_bytes(b"\x80\x04}\x94."),
    "of another model": lambda path, of_other: path.write_bytes(of_other),
}


class Models:
    """Two models of parts, with a region each, and an image to judge; and a model of a network of one's own."""

    def __init__(self, shared: Path) -> None:
        self.parts = mvtec_folder(shared / "images", "bolt", training=4) / "bolt"
        self.image = self.parts / "test/scratch/000.png"
        self.one, self.other, self.own = (shared / name for name in ("one", "other", "own"))
        found = look_at(self.parts, follow=silently)
        for folder, hidden, fraction in ((self.one, 8, 1.0), (self.other, 4, 0.5)):
            looked_at = np.full(SIZE, 255, np.uint8)
            looked_at[-hidden:] = 0
            cv2.imwrite(str(shared / "region.png"), looked_at)
            options = {"resize": SIZE, "backbone": "pixels", "region": shared / "region.png"}
            model = fit(found, FitOptions(coreset_fraction=fraction, **options), show_progress=False)
            model.save(folder)
        fitted().save(self.own)
        self.score = self.judged(self.one)

    def judged(self, folder: Path) -> float:
        """The score of the image by a model."""
        (found,) = PartsModel.load(folder).judge([self.image], show_progress=False)
        return found.score

    def harmed(self, *names: str, harm: str = "of another model") -> Make:
        """A copy of the first model, of which files are harmed."""

        def make(root: Path) -> None:
            shutil.copytree(self.one, root / "model")
            for name in names:
                HARMS[harm](root / "model" / name, (self.other / name).read_bytes())

        return make

    def use(self, root: Path) -> float:
        return self.judged(root / "model")


def inputs(shared: Path) -> Iterator[Input]:
    models = Models(shared)
    yield from harmed_files(models)
    yield from changed_with_checksums(models)
    yield from own_networks(models)
    yield from images(models)


def harmed_files(models: Models) -> Iterator[Input]:
    otherwise = {
        (PARTS, "of another model"): Refused([NOT_THOSE, DESCRIPTION]),
        (PARTS, "with a line more"): Gives(models.score),  # it says the same
    }
    for name in (BANK, DESCRIPTION, PARTS, REGION):
        for harm in HARMS:
            wanted = otherwise.get((name, harm), Refused([name]))
            yield Input(f"{name} {harm}", models.harmed(name, harm=harm), models.use, wanted)
    for harm in HARMS:
        yield Input(f"README.md {harm}", models.harmed("README.md", harm=harm), models.use, Gives(models.score))
    for names in ((BANK, DESCRIPTION), (PARTS, DESCRIPTION), (PARTS, REGION), (BANK, DESCRIPTION, REGION)):
        yield Input(f"{' and '.join(names)} of another model", models.harmed(*names), models.use, Refused([NOT_THOSE]))
    for name, leave in (
        ("a bank that a killed save left", lambda model: (model / "memory_bank.next.safetensors").write_bytes(b"x")),
        ("a file of others beside the model", lambda model: (model / "notes.txt").write_text("mine")),
    ):

        def make(root: Path, leave: Callable[[Path], object] = leave) -> None:
            leave(Path(shutil.copytree(models.one, root / "model")))

        yield Input(name, make, models.use, Gives(models.score))
    for name, make in (("an empty folder", lambda root: (root / "model").mkdir()), ("no folder", nothing)):
        yield Input(f"{name} in place of a model", make, models.use, Refused(["holds no model of parts"]))


def changed_with_checksums(models: Models) -> Iterator[Input]:
    """Models that somebody wrote, or another version, with checksums that are right."""

    def parts(**values: object) -> Make:
        def make(root: Path) -> None:
            rewrite(Path(shutil.copytree(models.one, root / "model")) / PARTS, **values)

        return make

    yield Input("a format to come", parts(format=99), models.use, Refused(["another format (99"]))
    threshold = {"value": float("nan"), "rule": "by hand", "rate": None, "low": None, "high": None}
    yield Input("a threshold that is NaN", parts(threshold=threshold), models.use, Refused(["a threshold of nan"]))

    def core(change: Callable[[dict[str, torch.Tensor]], object], **values: object) -> Make:
        def make(root: Path) -> None:
            model = Path(shutil.copytree(models.one, root / "model"))
            tensors = safetensors.torch.load_file(model / BANK)
            change(tensors)
            safetensors.torch.save_file(tensors, model / BANK)
            size = (model / BANK).stat().st_size
            rewrite(model / DESCRIPTION, tensors_bytes=size, tensors_sha256=sha256_file(model / BANK), **values)

        return make

    def kept(tensors: dict[str, torch.Tensor]) -> None:
        tensors["coreset_indices"] = tensors["coreset_indices"][1:].clone()

    def loaded(root: Path) -> object:
        return PatchCore.load(root / "model")

    for name, make, words in (
        ("a bank with NaN", core(lambda tensors: tensors["memory_bank"].fill_(torch.nan)), "NaN or infinite values"),
        ("a bank without rows", core(lambda tensors: tensors.update(memory_bank=torch.empty(0, 6))), "no memory bank"),
        ("no bank", core(lambda tensors: tensors.pop("memory_bank")), "no memory bank"),
        ("a bank in half precision", core(halve), "no memory bank (l, d) of float32"),
        ("fewer rows named than kept", core(kept), "rows and names"),
        ("an unknown key", core(dict, config={"colour": "red"}), "unknown keys"),
        ("a configuration out of range", core(dict, config={"coreset_fraction": 7}), "must lie in (0, 1]"),
        ("a backbone of another hash", core(dict, weights_sha256="0"), "was fitted with weights 0"),
        ("a format of before", core(dict, format=1), "is of another format (1, not"),
    ):
        yield Input(f"{name}, with the right checksum", make, loaded, Refused([words]))


def halve(tensors: dict[str, torch.Tensor]) -> None:
    tensors["memory_bank"] = tensors["memory_bank"].half()


def loading(folder: Path, network: Pyramid | None) -> Use:
    """Load a model, and score images by it."""
    return lambda root: PatchCore.load(folder, network=network).predict(IMAGES).scores.tolist()


def own_networks(models: Models) -> Iterator[Input]:
    other = Pyramid(lambda maps: [2 * part for part in maps])
    for name, folder, network, words in (
        ("without its network", models.own, None, "was fitted with a network of its own"),
        ("with another network", models.own, other, "was fitted with another network than the one given"),
        ("with a network, and fitted with a backbone", models.one, other, "was fitted with a named backbone"),
    ):
        yield Input(f"a model that is loaded {name}", nothing, loading(folder, network), Refused([words]))
    wanted = fitted().predict(IMAGES).scores.tolist()
    same = loading(models.own, Pyramid())
    yield Input("a model that is loaded with its network, made anew", nothing, same, Gives(wanted))


def images(models: Models) -> Iterator[Input]:
    """Images that do not go with a model whose images keep their proportions."""
    found = look_at(models.parts, follow=silently)
    free = fit(found, FitOptions(resize=16, backbone="pixels"), show_progress=False)

    def use(root: Path) -> object:
        return free.judge([root / "new.png"], show_progress=False)

    def deep(root: Path) -> None:
        cv2.imwrite(str(root / "new.png"), np.full(SIZE, 3000, np.uint16))

    cases: tuple[tuple[str, Make, Use, str], ...] = (
        ("that is not there", nothing, use, "no such image"),
        ("that is empty", lambda root: (root / "new.png").touch(), use, "unreadable image"),
        ("that is a folder", lambda root: (root / "new.png").mkdir(), use, "unreadable image"),
        ("of other proportions", lambda root: save_image(root / "new.png", size=(24, 24)), use, "it comes out at"),
        ("that is nearly black", deep, use, "of 16 bits, and none of its values is above 3000"),
    )
    for name, make, judge, words in cases:
        yield Input(f"an image {name}", make, judge, Refused(["new.png", words]))
