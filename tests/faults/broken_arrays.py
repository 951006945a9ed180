"""What Python hands to the method: images, networks, configurations and models that are no good, or merely odd."""

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import torch
from faults.inputs import Gives, Input, Refused, Use, nothing
from small_networks import SmallPyramid, pictures
from torch import Tensor, nn

from patchcore_core import PatchCore, PatchCoreConfig

CONFIG = PatchCoreConfig(coreset_fraction=0.5, hierarchies=(1, 2))
IMAGES = pictures(3, (16, 24))
BATCHES = [IMAGES[:2], IMAGES[2:]]


class Pyramid(SmallPyramid):
    """The network of these tries; `change` is what is odd about its maps."""

    def __init__(self, change: Callable[[list[Tensor]], object] = lambda maps: maps) -> None:
        super().__init__(hierarchies=(1, 2))
        self.change = change

    def forward(self, images: Tensor) -> object:
        return self.change(super().forward(images))


def fitted(network: object = None, images: object = IMAGES) -> PatchCore:
    return PatchCore(CONFIG, network=network or Pyramid()).fit(images)


def bank(network: object = None, images: object = IMAGES) -> object:
    """What a model keeps of images."""
    return fitted(network, images).memory_bank.tolist()


def kept(network: object = None, images: object = IMAGES) -> Use:
    return lambda root: bank(network, images)


def inputs(shared: Path) -> Iterator[Input]:
    yield from refused_images()
    yield from odd_images()
    yield from networks()
    yield from models()
    yield from configurations()


def refused_images() -> Iterator[Input]:
    holes = IMAGES.clone()
    holes[1, 0, 0, 0], holes[2, 0, 0, 0] = torch.nan, torch.inf
    for name, images, words in (
        ("of whole numbers", (IMAGES * 255).byte(), "images.float() / 255"),
        ("from 0 to 255", IMAGES * 255, "images / 255"),
        ("that were normalised", (IMAGES - 0.5) / 0.2, "they were normalised"),
        ("with NaN and infinity", holes, "NaN or infinite values in images 1, 2"),
        ("with channels last", IMAGES.permute(0, 2, 3, 1), "channels last"),
        ("of one channel", IMAGES[:, :1], "one channel"),
        ("with alpha", IMAGES[:, [0, 1, 2, 0]], "RGBA"),
        ("of which there is one alone", IMAGES[0], "an image alone"),
        ("of no height", IMAGES[:, :, :0], "shape (3, 3, 0, 24)"),
        ("of which there are none", IMAGES[:0], "there are no images"),
        ("in an empty list", [], "there are no images"),
        ("that nothing gives", iter(()), "there are no images"),
        ("that are None", None, "NoneType in place of a tensor"),
        ("that are names of files", ["a.png"], "in place of a tensor"),
        ("that are objects", np.full((1, 3, 4, 4), None), "values are object"),
        ("that are complex", IMAGES.to(torch.complex64), "values are torch.complex64"),
        ("that are sparse", IMAGES.to_sparse(), "holds no array of values"),
        ("that have no values", IMAGES.to("meta"), "holds no array of values"),
        ("under a mask", np.ma.masked_less(IMAGES.numpy(), 0.1), "a masked array"),
        ("of several sizes", [IMAGES, pictures(1, (24, 24))], "images of different sizes"),
        ("twice in a batch", [(IMAGES, IMAGES)], "of which one alone can be the images"),
        ("that are all alike", torch.zeros(2, 3, 16, 24), "patch features are equal"),
    ):
        yield Input(f"images {name}", nothing, kept(images=images), Refused([words]))


def odd_images() -> Iterator[Input]:
    wanted = Gives(bank())
    double = IMAGES.numpy().astype(np.float64)
    for name, images in (
        ("in double precision", double),
        ("with the larger byte first", double.astype(">f8")),
        ("that lie in another order", IMAGES.permute(0, 2, 3, 1).contiguous().permute(0, 3, 1, 2)),
        ("that cannot be written", np.frombuffer(IMAGES.numpy().tobytes(), np.float32).reshape(IMAGES.shape)),
        ("with a gradient", IMAGES.clone().requires_grad_()),
        ("in batches", BATCHES),
        ("in batches with an empty one", [IMAGES[:0], *BATCHES]),
        ("in batches with labels", [(batch, torch.zeros(len(batch))) for batch in BATCHES]),
    ):
        yield Input(f"images {name}", nothing, kept(images=images), wanted)
    yield Input("images that come once", nothing, kept(images=iter(BATCHES)), wanted)


def networks() -> Iterator[Input]:
    def failing(maps: list[Tensor]) -> object:
        raise KeyError("a name of its own")

    for name, change, words in (
        ("that gives nothing", lambda maps: None, "returned a NoneType"),
        ("that gives a tensor", lambda maps: maps[0], "returned a tensor"),
        ("that gives an empty list", lambda maps: [], "returned a list of []"),
        ("that gives vectors", lambda maps: [part.mean((2, 3)) for part in maps], "feature maps (n, c, h, w)"),
        ("that gives whole numbers", lambda maps: [part.int() for part in maps], "torch.int32"),
        ("that gives fewer images", lambda maps: [part[:1] for part in maps], "feature maps (n, c, h, w)"),
        ("whose channels come last", lambda maps: [part.permute(0, 2, 3, 1) for part in maps], "channels come last"),
        ("that gives NaN", lambda maps: [maps[0], maps[1] * torch.nan], "they hold NaN or infinite values"),
        ("that fails", failing, "a name of its own"),
        ("that follows chance", lambda maps: [part + torch.rand(()) for part in maps], "not on chance"),
        ("that follows the batch", lambda maps: [part / len(part) for part in maps], "not on chance"),
    ):
        yield Input(f"a network {name}", nothing, kept(Pyramid(change)), Refused(["the network", words]))
    yield Input("a network that is a text", nothing, kept("resnet18"), Refused(["must be a module"]))
    wanted, images = Gives(bank()), IMAGES.clone()
    yield Input("a network that overwrites its images", nothing, overwritten(images), wanted)
    yield Input("a network that overwrites its maps", nothing, kept(Reusing()), wanted)
    backwards = Pyramid(lambda maps: maps[::-1])
    yield Input("a network whose finest maps come last", nothing, kept(backwards), wanted)
    yield Input("a network that gives a tuple", nothing, kept(Pyramid(tuple)), wanted)


class Reusing(nn.Module):
    """A network that returns the same memory each time, with other values."""

    def __init__(self) -> None:
        super().__init__()
        self.inner, self.rooms = Pyramid(), {}

    def forward(self, images: Tensor) -> list[Tensor]:
        maps = self.inner(images)
        rooms = self.rooms.setdefault(len(images), [torch.empty_like(part) for part in maps])
        return [room.copy_(part) for room, part in zip(rooms, maps, strict=True)]


class Overwriting(Pyramid):
    """A network that spoils what it was given."""

    def forward(self, images: Tensor) -> object:
        maps = super().forward(images)
        images.zero_()
        return maps


def overwritten(images: Tensor) -> Use:
    def use(root: Path) -> object:
        found = bank(Overwriting(), images)
        return found if torch.equal(images, IMAGES) else "images that were overwritten"

    return use


def models() -> Iterator[Input]:
    def edited(root: Path) -> object:
        model = fitted()
        model.predict(IMAGES)
        model.memory_bank.add_(5)
        return model.predict(IMAGES)

    def forgotten(root: Path) -> object:
        model = fitted()
        model.memory_bank = None
        return model.predict(IMAGES)

    def trained_on(root: Path) -> object:
        network = Pyramid()
        model = fitted(network)
        with torch.no_grad():
            network.kernels[0].mul_(2)
        return model.predict(IMAGES)

    def replaced(root: Path) -> object:
        model = fitted()
        model.network = Pyramid(lambda maps: [3 * part for part in maps])
        return model.predict(IMAGES)

    for name, use, words in (
        ("whose bank was edited", edited, "the memory bank was edited"),
        ("whose bank is None", forgotten, "a memory bank must be a tensor"),
        ("whose network was trained on", trained_on, "the network was changed"),
        ("whose network was replaced", replaced, "the network was changed"),
        ("that was not fitted", lambda root: PatchCore(CONFIG, network=Pyramid()).predict(IMAGES), "call fit first"),
        ("of a device that is not there", lambda root: PatchCore(CONFIG, device="gpu"), "device='gpu' is none"),
        ("of a configuration that is a mapping", lambda root: PatchCore({"stride": 1}), "must be a PatchCoreConfig"),
        ("that grows by larger images", lambda root: fitted().extend(pictures(1, (32, 24))), "patches each"),
        ("that is saved nowhere", lambda root: fitted().save(""), "must be the path of a folder"),
        ("that is saved under no name", lambda root: fitted().save("a\0b"), "must be the path of a folder"),
        ("that is saved into a file", lambda root: fitted().save(file(root) / "model"), "cannot be written"),
        ("that is loaded from nowhere", lambda root: PatchCore.load(root / "none"), "holds no PatchCore model"),
    ):
        yield Input(f"a model {name}", lambda root: file(root).touch(), use, Refused([words]))
    yield Input("a model that judges images of another size", nothing, larger, Gives((2, 32, 48)))


def file(root: Path) -> Path:
    return root / "file"


def larger(root: Path) -> object:
    return tuple(fitted().predict(pictures(2, (32, 48))).maps.shape)


def configured(key: str, value: object) -> Use:
    return lambda root: PatchCoreConfig(**{key: value})


def configurations() -> Iterator[Input]:
    for key, value, words in (
        ("coreset_fraction", 0, "coreset_fraction=0 must lie in (0, 1]"),
        ("coreset_fraction", float("nan"), "coreset_fraction=nan must lie in (0, 1]"),
        ("coreset_fraction", True, "coreset_fraction=True must be float"),
        ("hierarchies", (2, 2), "hierarchies=[2, 2] must be ascending"),
        ("hierarchies", 2, "hierarchies=2 must be a list"),
        ("neighbourhood_size", 4, "neighbourhood_size=4 must be odd"),
        ("stride", 0, "stride=0 must be at least 1"),
        ("dimension", 0, "dimension=0 must be at least 1"),
        ("smoothing_sigma", float("inf"), "smoothing_sigma=inf"),
        ("sampler", "greedi", "sampler='greedi' must be one of greedy"),
        ("score", None, "score=None must be str"),
        ("search", "brute", "search='brute' must be one of"),
        ("backbone", "", "backbone=''"),
    ):
        yield Input(f"{key}={value!r}", nothing, configured(key, value), Refused([words]))
