"""Whether what a model was fitted with is still as it was: its network, its memory bank."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from patchcore_core.backbones import Backbone, feature_maps
from patchcore_core.backbones.fingerprints import fingerprint
from patchcore_core.common.errors import InputError

SAME = 1e-5  # of the largest value, by which maps of the same image may differ: some GPUs add up in any order
SAME_ALONE = 0.05  # likewise of an image alone and among others: half precision rounds in other places


class Watched:
    """A network, by what it is and gives: it may write down things in itself, but not give other maps of an image.

    Of a named backbone only whether it was replaced.
    """

    def __init__(self, network: Callable[[Tensor], Sequence[Tensor]]) -> None:
        self._network, self._named = network, isinstance(network, Backbone)
        self._seen: tuple[Tensor, Sequence[Tensor]] | None = None
        self._was = self._is()

    def look(self, images: Tensor, maps: Sequence[Tensor]) -> None:
        """Keep the first image (n, 3, H, W) that ever comes; an InputError where its maps are others a second time."""
        if self._seen is not None or self._named:
            return
        first = images[:1].clone()
        alone, again = (feature_maps(self._network, first) for _ in range(2))
        if not (_alike(alone, again, SAME) and _alike(alone, [part[:1] for part in maps], SAME_ALONE)):
            raise InputError(
                "the network gives other feature maps when an image comes again, or comes alone",
                remedy="let maps depend on their image only, not on chance, on earlier images or on those beside it",
            )
        self._seen, self._was = (first, alone), self._is()

    def check(self, network: Callable[[Tensor], Sequence[Tensor]]) -> None:
        """Refuse, by an InputError, a network that is another one now."""
        same = network is self._network
        if same and self._is() != self._was:
            same = self._seen is not None and _alike(feature_maps(network, self._seen[0]), self._seen[1], SAME)
            self._was = self._is() if same else self._was
        if not same:
            raise InputError("the network was changed since the model was fitted", remedy="fit the model again")

    def _is(self) -> str:
        return "" if self._named else fingerprint(self._network)


def _alike(maps: Sequence[Tensor], others: Sequence[Tensor], most: float) -> bool:
    return [a.shape for a in maps] == [b.shape for b in others] and all(
        bool((a - b).abs().max() <= most * a.abs().max()) for a, b in zip(maps, others, strict=True)
    )


def seal(bank: Tensor) -> tuple[object, ...]:
    """What tells a memory bank from what it becomes when it is edited in place, at the cost of reading it once."""
    values = bank.detach().flatten()
    if values.storage_offset() * values.itemsize % 8:  # eight bytes at a time are read from whole addresses only
        values = values.clone()
    even = len(values) - len(values) % (8 // values.itemsize)
    edits = 0 if bank.is_inference() else bank._version
    return edits, int(values[:even].view(torch.int64).sum()), values[even:].cpu().view(torch.uint8).numpy().tobytes()
