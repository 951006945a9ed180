"""What every method of the suite is: fitted to nominal images, it scores test images."""

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from operator import length_hint
from typing import ClassVar, Self

import torch
from torch import Generator, Tensor, nn

from patchcore_core.backbones import Backbone, Weights, feature_maps, load_backbone
from patchcore_core.common.errors import InputError
from patchcore_core.common.free_memory import check_free
from patchcore_core.config import MethodConfig
from patchcore_core.images import Images, checked, split, without_labels
from patchcore_core.unchanged import Watched


@dataclass(frozen=True)
class Prediction:
    """What a method says of n images.

    Attributes:
        scores: (n,) image scores; the larger, the more anomalous.
        maps: (n, H, W) anomaly maps at the images' size; None from a method that scores whole images only.
        distances: (n, h, w) scores of the patches that the maps are made of; None likewise.
        reweighted_scores: (n,) image scores s of Eq. 7; PatchCore's alone.
        indices: (n, h, w) row of the memory bank nearest to each patch; PatchCore's alone.
    """

    scores: Tensor
    maps: Tensor | None = None
    distances: Tensor | None = None
    reweighted_scores: Tensor | None = None
    indices: Tensor | None = None


class Detector(ABC):
    """A method of anomaly detection behind two verbs, fit and predict.

    Images are (n, 3, H, W) with floating-point values in [0, 1] and in RGB; a network normalises them as it was
    trained. They come in one tensor or NumPy array, in batches of either, or in batches (images, labels) as of a
    DataLoader, whose labels are passed over; all are brought to single precision. Others are refused.

    A method is three functions: `describe` (feature maps to what is kept of each image), `fit_described` and
    `predict_described`. The suite calls these, so that variants share what they can.

    Args:
        config: the variant; by default that of a `PatchCoreConfig` or the like without any values.
        network: any module that maps images to a list of feature maps (n, c, h, w), in place of the backbone that
            `config` names; it gets the images in [0, 1].
        seed: of everything that is drawn.
        weights: a weights file or folder for the named backbone (see `weights.find_weights`).
        device: where to compute.
        progress: show progress bars.

    Raises:
        InputError: a device that is not here, or a network that cannot be called.
    """

    configured_by: ClassVar[type[MethodConfig]] = MethodConfig

    def __init__(
        self,
        config: MethodConfig | None = None,
        *,
        network: Callable[[Tensor], Sequence[Tensor]] | None = None,
        seed: int = 0,
        weights: str | None = None,
        device: str | torch.device = "cpu",
        progress: bool = False,
    ) -> None:
        config = self.configured_by() if config is None else config  # pyright: ignore[reportCallIssue]
        if not isinstance(config, self.configured_by):
            raise InputError(f"config={config!r} must be a {self.configured_by.__name__}")
        if not (network is None or callable(network)):
            raise InputError(f"network={network!r} must be a module, or a function of images")
        self.config = config
        self.seed = seed
        self.device = _usable(device)
        self.progress = progress
        self._own_network, self._weights = network, weights
        self._watched: Watched | None = None  # the network, from when it first describes images

    @abstractmethod
    def describe(self, maps: Sequence[Tensor]) -> list[Tensor]:
        """What is kept of a batch of n images, each tensor (n, ...), from their feature maps, finest first."""

    @abstractmethod
    def fit_described(self, nominal: Sequence[Tensor]) -> Self:
        """Learn from what `describe` keeps of the nominal images."""

    @abstractmethod
    def predict_described(self, test: Sequence[Tensor], size: Sequence[int]) -> Prediction:
        """Score what `describe` keeps of test images of `size` (H, W).

        Raises:
            InputError: nothing was fitted yet.
        """

    @cached_property
    def network(self) -> Callable[[Tensor], Sequence[Tensor]]:
        """What turns images into feature maps; a named backbone is built on first use."""
        network = self._own_network
        if network is None:
            network = load_backbone(self.config.backbone, self.config.map_hierarchies, weights=self._weights)
        return network.to(self.device).eval() if isinstance(network, nn.Module) else network

    @property
    def weights(self) -> Weights | None:
        """The weights of the named backbone; None with a network of the caller's."""
        network = self.network if self._own_network is None else None
        return network.weights if isinstance(network, Backbone) else None

    def fit(self, images: Images) -> Self:
        """Learn from nominal images.

        Raises:
            InputError: there are no images, images of different sizes, or others than a method takes; or a network of
                the caller's gives other maps when an image comes again.
        """
        self._watched = None
        described, _ = self._describe_all(images)
        return self.fit_described(described)

    def predict(self, images: Images) -> Prediction:
        """Score test images.

        Raises:
            InputError: nothing was fitted yet, the network was changed or replaced since, or images as of `fit`.
        """
        self._check_network()
        return self.predict_described(*self._describe_all(images))

    def describe_images(self, images: Tensor) -> list[Tensor]:
        """What is kept of one batch of n images, each tensor (n, ...)."""
        images = images.to(self.device)
        maps = feature_maps(self.network, images)
        self._watched = self._watched or Watched(self.network, self.config.description(self.seed))
        self._watched.look(images, maps)
        return self.describe(maps)

    def _check_network(self) -> None:
        if self._watched is not None:
            self._watched.check(self.network, self.config.description(self.seed))

    def _describe_all(self, images: Images) -> tuple[list[Tensor], tuple[int, int]]:
        """What is kept of all images, and the images' size (H, W)."""
        batches = split(images)
        sizes: set[tuple[int, int]] = set()

        def descriptions() -> Iterator[list[Tensor]]:
            first = 0
            for given in batches:
                batch = checked(given, first=first, device=self.device)
                if not len(batch):
                    continue
                first += len(batch)
                height, width = batch.shape[-2:]
                sizes.add((height, width))
                if len(sizes) > 1:
                    raise InputError(f"images of different sizes: {sorted(sizes)}", remedy="bring all to one size")
                yield self.describe_images(batch)

        count = sum(len(without_labels(batch)) for batch in batches) if isinstance(batches, Sequence) else None
        described = put_together(descriptions(), count=count, batches=length_hint(batches), device=self.device)
        if not sizes:
            raise InputError("there are no images", remedy="give at least one image")
        return described, sizes.pop()


def put_together(
    descriptions: Iterable[Sequence[Tensor]],
    *,
    count: int | None,
    batches: int = 0,
    device: torch.device,
    where: str = "",
) -> list[Tensor]:
    """What is kept of all images, from what is kept of each batch: room is made once, and then filled.

    Args:
        descriptions: for each batch of n images, what `Detector.describe` keeps: tensors (n, ...) on the device.
        count: how many images there are; None if that is not known.
        batches: how many batches there may then be, as large as the first; what there was no room for is copied.
        where: the images are, for the message.

    Returns tensors (count, ...), as many as are kept of a batch; none if there are no batches. Raises InputError: they
    do not fit into memory, or batches are described by tensors of different shapes.
    """

    def need(number: int, parts: Sequence[Tensor], of: str) -> None:
        check_free(
            sum(number * part[0].nbytes for part in parts),
            f"the descriptions of {of}{where}",
            device=device,
            remedy="use storage float16, a larger stride or smaller images",
        )

    rooms: list[Tensor] = []
    more: list[Sequence[Tensor]] = []  # what there was no room for
    filled = 0
    for parts in descriptions:
        n, shapes = len(parts[0]), [tuple(part.shape[1:]) for part in parts]
        if rooms and shapes != [tuple(room.shape[1:]) for room in rooms]:
            first = [tuple(room.shape[1:]) for room in rooms]
            raise InputError(
                f"a batch of images is described by {shapes}, the first one{where} by {first}",
                remedy="let the network return maps of one size and number of channels for images of one size",
            )
        if not rooms:
            expected = batches * n if count is None else count
            need(expected, parts, f"{expected} images")
            rooms = [part.new_empty(expected, *part.shape[1:]) for part in parts]
        if more or filled + n > len(rooms[0]):
            more.append(parts)
            seen = filled + sum(len(first) for first, *_ in more)
            need(seen, parts, f"{seen} images or more")  # which are copied once more in the end
            continue
        for room, part in zip(rooms, parts, strict=True):
            room[filled : filled + n] = part
        filled += n
    whole = [room[:filled] for room in rooms]
    return [torch.cat(parts) for parts in zip(whole, *more, strict=True)] if more else whole


def _usable(device: str | torch.device) -> torch.device:
    """The device, if numbers can be computed on it."""
    try:
        torch.zeros(1, device=torch.device(device)).item()
    except (AssertionError, RuntimeError, TypeError):  # unknown, not here, or one without values
        raise InputError(
            f"device={device!r} is none that can compute here",
            remedy='use "cpu", or "cuda" or "cuda:N" where torch.cuda.is_available()',
        ) from None
    return torch.device(device)


def generator(seed: int, purpose: str) -> Generator:
    """A random generator of its own for each purpose, so that switching one draw off leaves the others as they are."""
    digest = hashlib.sha256(f"{seed} {purpose}".encode()).digest()
    return torch.Generator().manual_seed(int.from_bytes(digest[:7], "big"))
