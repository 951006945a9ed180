"""Whether what a model was fitted with is still as it was: its network, its memory bank."""

from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor

from patchcore_core.backbones import Backbone, feature_maps
from patchcore_core.common.errors import InputError

Network = Callable[[Tensor], Sequence[Tensor]]

SAME = 1e-5  # of the largest value, by which maps of the same image may differ: some GPUs add up in any order
SAME_ALONE = 0.05  # likewise of an image alone and among others: half precision rounds in other places
SAME_ELSEWHERE = 3e-4  # likewise of marks on another machine or device
MARK = "network."  # names of marks begin so


class Watched:
    """A network, by what it gives: it may write down things in itself, but not give other maps of an image.

    A named backbone, by its tensors: whether they are the same, and not edited. And how its maps are described.
    """

    def __init__(self, network: Network, description: object = None) -> None:
        self._network, self._was, self._description = network, _tensors(network), description
        self._seen: tuple[Tensor, Sequence[Tensor]] | None = None
        self._size: torch.Size | None = None  # of images

    def look(self, images: Tensor, maps: Sequence[Tensor]) -> None:
        """Keep the first image (n, 3, H, W) that ever comes; an InputError where its maps are others a second time."""
        self._size = images.shape[2:]
        if self._seen is not None or isinstance(self._network, Backbone):
            return
        first = images[:1].clone()
        alone, again = (feature_maps(self._network, first) for _ in range(2))
        if not (_alike(alone, again, SAME) and _alike(alone, [part[:1] for part in maps], SAME_ALONE)):
            raise InputError(
                "the network gives other feature maps when an image comes again, or comes alone",
                remedy="let maps depend on their image only, not on chance, on earlier images or on those beside it",
            )
        self._seen = first, alone

    def check(self, network: Network, description: object = None) -> None:
        """Refuse, by an InputError, a network that is another one now, or images that are described otherwise."""
        if description != self._description:
            raise InputError("the configuration was changed since the model was fitted", remedy="fit the model again")
        same = network is self._network and _tensors(network) == self._was
        if not same or (self._seen and not _alike(feature_maps(network, self._seen[0]), self._seen[1], SAME)):
            raise InputError("the network was changed since the model was fitted", remedy="fit the model again")

    def marks(self, device: torch.device) -> dict[str, Tensor]:
        """What it is known by on any machine: the size of an image, and its maps of one so large."""
        if self._size is None:
            raise InputError("the network saw no images: nothing would tell it from another", remedy="fit to images")
        height, width = self._size
        return _marks(self._look_at_drawn(height, width, device)[1], height, width)

    def recognise(self, known: Mapping[str, Tensor], device: torch.device) -> bool:
        """Whether its marks are those that are known."""
        height, width = map(int, known[f"{MARK}size"])
        self._seen, self._size = self._look_at_drawn(height, width, device), torch.Size([height, width])
        here = _marks(self._seen[1], height, width)
        return here.keys() == known.keys() and _alike([known[name] for name in here], [*here.values()], SAME_ELSEWHERE)

    def _look_at_drawn(self, height: int, width: int, device: torch.device) -> tuple[Tensor, Sequence[Tensor]]:
        image = torch.rand(1, 3, height, width, generator=torch.Generator().manual_seed(0)).to(device)
        return image, feature_maps(self._network, image)


def _marks(maps: Sequence[Tensor], height: int, width: int) -> dict[str, Tensor]:
    """Maps of an image, averaged over channels and over positions."""
    means = [part.cpu() for fmap in maps for part in (fmap.mean(dim=1), fmap.mean(dim=(2, 3)))]
    return {f"{MARK}size": torch.tensor([height, width]), **{f"{MARK}{i}": part for i, part in enumerate(means)}}


def _alike(maps: Sequence[Tensor], others: Sequence[Tensor], most: float) -> bool:
    return [a.shape for a in maps] == [b.shape for b in others] and all(
        bool((a - b).abs().max() <= most * a.abs().max()) for a, b in zip(maps, others, strict=True)
    )


def _tensors(network: Network) -> list[tuple[int, int]]:
    """Where a named backbone's tensors lie, and how often each was edited; of another network nothing."""
    state = network.state_dict() if isinstance(network, Backbone) else {}
    return [(tensor.data_ptr(), 0 if tensor.is_inference() else tensor._version) for tensor in state.values()]


def seal(bank: Tensor) -> tuple[object, ...]:
    """What tells a memory bank from what it becomes when it is edited in place, at the cost of reading it once."""
    values = bank.detach().flatten()
    if values.storage_offset() * values.itemsize % 8:  # eight bytes at a time are read from whole addresses only
        values = values.clone()
    even = len(values) - len(values) % (8 // values.itemsize)
    edits = 0 if bank.is_inference() else bank._version
    return edits, int(values[:even].view(torch.int64).sum()), values[even:].cpu().view(torch.uint8).numpy().tobytes()
