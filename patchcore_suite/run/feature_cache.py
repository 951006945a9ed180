"""Feature maps on disk, named by what determines them and shared by all variants that can use them."""

import os
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import torch
from numpy.typing import NDArray
from torch import Tensor

from patchcore_core.backbones import Weights, feature_maps, load_backbone
from patchcore_core.common.errors import InputError
from patchcore_core.common.files import atomic_path, sha256_json
from patchcore_core.unchanged import Watched
from patchcore_suite.datasets.images import Batches, image_tensor, read_image
from patchcore_suite.datasets.preprocessing import Preprocessing
from patchcore_suite.datasets.records import Record
from patchcore_suite.run.environment import versions
from patchcore_suite.run.feature_files import MapsWriter, damage, open_maps, take_room
from patchcore_suite.run.fingerprints import code_fingerprint
from patchcore_suite.run.fixed_order import images_at_once
from patchcore_suite.run.leftovers import remove_leftovers
from patchcore_suite.run.network_identity import network_sha256
from patchcore_suite.settings.execution import Execution

SHOWN = 12  # digits of a hash in a message


@dataclass(frozen=True, kw_only=True)
class MapsOf:
    """What feature maps are of: all but the hierarchy that tells one map from another.

    Attributes:
        images_sha256: what the images hold, as the manifest has it.
        preprocessing: how they are brought to size.
        backbone, weights_sha256: the network that they are run through.
        rotations: degrees by which nominal images are turned; without any, the maps are of all images as they are.
        rows: with rotations, those of the nominal images that there are maps of, ascending.
    """

    images_sha256: str
    preprocessing: Preprocessing
    backbone: str
    weights_sha256: str
    rotations: tuple[float, ...] = ()
    rows: tuple[int, ...] = ()


class FeatureCache:
    """A folder of feature maps, one .npy file (n, c, h, w) a category, backbone and hierarchy.

    A file that is not what was written under its name is as good as none.

    Args:
        folder: where the files lie.
        execution: device, batch size, workers, weights, and the size that the folder may grow to.
        networks: modules that stand for the backbones of these names; they return one map a hierarchy, finest first.
    """

    def __init__(
        self, folder: Path, execution: Execution, networks: Mapping[str, Callable[[Tensor], Sequence[Tensor]]]
    ) -> None:
        self.folder, self.execution, self.networks = folder, execution, networks
        self._made_by = {"versions": versions(), "code": code_fingerprint(__name__)}
        self._intact: dict[Path, tuple[int, int]] = {}  # files that were checked or written, as they were then
        self._planned: set[tuple[str, str]] = set()  # own networks that were seen to be those that were planned with
        remove_leftovers(folder, ".*")

    def maps(
        self,
        of: MapsOf,
        records: Sequence[Record],
        hierarchies: Sequence[int],
        *,
        wanted_later: Sequence[int] = (),
        description: str | None,
    ) -> list[NDArray]:
        """Feature maps (n, c_j, h_j, w_j) of all records, memory-mapped, one array a hierarchy.

        Args:
            records: the images.
            wanted_later: other hierarchies of a named backbone, which are made in the same run through it.
            description: names the progress bar, where images have to be run through the network; None for no bar.

        Raises:
            InputError: the network is another than was planned with, is none that a method takes, or gives other maps
                when an image comes again; or images cannot be read, or there is no room.
        """
        paths = {}
        own = of.backbone in self.networks  # such a network returns all of its maps or none
        together = sorted(hierarchies if own else {*hierarchies, *wanted_later})
        for j in together:
            identity = {
                "images": [of.images_sha256, of.rotations, of.rows] if of.rotations else of.images_sha256,
                "preprocessing": [of.preprocessing.resize, of.preprocessing.crop],
                "backbone": [of.backbone, of.weights_sha256, j, together if own else None],
                "device": torch.device(self.execution.device).type,
                "precision": self.execution.precision,
                **self._made_by,
            }
            paths[j] = self.folder / f"{sha256_json(identity)}.npy"
        absent = [j for j in together if not self._is_there(paths[j])]
        if not set(hierarchies).isdisjoint(absent):
            if own:
                absent = together
            self._extract(of, records, {j: paths[j] for j in absent}, description)
            self._intact |= {paths[j]: _state(paths[j]) for j in absent}
        for path in filter(Path.is_file, paths.values()):
            with suppress(OSError):  # a store that can only be read
                os.utime(path)  # last used now
        self._evict(keep=set(paths.values()))
        return [open_maps(paths[j]) for j in hierarchies]

    def _is_there(self, path: Path) -> bool:
        """Whether a file is there, as it was written; it is read for that once a run."""
        if not path.is_file():
            return False
        if self._intact.get(path) != _state(path):
            if problem := damage(path):
                print(f"feature maps are made again: {path}: {problem}", file=sys.stderr)
                with suppress(OSError):
                    path.unlink()
                return False
            self._intact[path] = _state(path)
        return True

    def _extract(self, of: MapsOf, records: Sequence[Record], paths: dict[int, Path], description: str | None) -> None:
        network = self._network(of, tuple(paths))
        watched = Watched(network) if of.backbone in self.networks else None
        height, width = image_tensor(read_image(records[0]), of.preprocessing).shape[1:]
        images = Batches(
            records,
            of.preprocessing,
            images_at_once(self.execution, (height, width)),
            workers=self.execution.workers,
            description=description,
        )
        with ExitStack() as stack:
            temporary = [stack.enter_context(atomic_path(path)) for path in paths.values()]
            writers: list[MapsWriter] = []
            for batch in images:
                given = batch.to(self.execution.device)
                maps = feature_maps(network, given)
                if watched is not None:
                    with _told(f"network {of.backbone!r} gives other feature maps when an image comes again, or alone"):
                        watched.look(given, maps)
                if len(maps) != len(paths):
                    raise InputError(
                        f"network {of.backbone!r} returned {len(maps)} feature maps for hierarchies={list(paths)}",
                        remedy="let it return one map for each hierarchy of the variant",
                    )
                if not writers:
                    files = [stack.enter_context(path.open("wb")) for path in temporary]
                    shapes = [(len(records), *fmap.shape[1:]) for fmap in maps]
                    keys = [path.stem for path in paths.values()]
                    writers = [MapsWriter(*given) for given in zip(files, keys, shapes, strict=True)]
                    take_room(writers, self.folder, of=f"{len(records)} images")
                for writer, fmap in zip(writers, maps, strict=True):
                    writer.add(fmap.cpu().numpy())
            if watched is not None:
                with _told(f"network {of.backbone!r} gives other feature maps of the first image after the last one"):
                    watched.check(network)
            for writer in writers:
                writer.close()

    def _network(self, of: MapsOf, hierarchies: tuple[int, ...]) -> Callable[[Tensor], Sequence[Tensor]]:
        """What turns images into maps, on its device.

        Raises:
            InputError: it is another one than maps are kept under the name of.
        """
        execution, network = self.execution, self.networks.get(of.backbone)
        if network is None:
            network = load_backbone(
                of.backbone, hierarchies, weights=execution.own_weights, precision=execution.precision
            )
            _check_planned(of, network.weights, "leave weights as they are while a run is on, and run it again")
            return (torch.compile(network) if execution.compile else network).to(execution.device)
        if (of.backbone, of.weights_sha256) not in self._planned:
            _check_planned(of, network_weights(network), "draw by torch's generator alone, which is seeded")
            self._planned.add((of.backbone, of.weights_sha256))  # it may write down things in itself from now on
        return network.to(execution.device)

    def _evict(self, keep: set[Path]) -> None:
        """Delete the files that were not used for longest, until the folder has its size."""
        limit = self.execution.cache_size_gb * 2**30
        files = sorted(self.folder.glob("[0-9a-f]*.npy"), key=lambda path: path.stat().st_mtime)
        total = sum(path.stat().st_size for path in files)
        for path in files:
            if total > limit and path not in keep:
                total -= path.stat().st_size
                with suppress(OSError):  # as above
                    path.unlink()


def _check_planned(of: MapsOf, found: Weights, remedy: str) -> None:
    """Refuse a network that is not the one by which maps are named."""
    if found.sha256 != of.weights_sha256:
        hashes = f"SHA-256 {found.sha256[:SHOWN]} and not {of.weights_sha256[:SHOWN]}"
        raise InputError(f"network {of.backbone!r} is another one than was planned with: {hashes}", remedy=remedy)


@contextmanager
def _told(problem: str) -> Iterator[None]:
    """Say what is wrong with a network of the caller's, and which one it is."""
    try:
        yield
    except InputError:
        remedy = "let maps depend on their image only, not on chance, on earlier images or on those beside it"
        raise InputError(problem, remedy=remedy) from None


def _state(path: Path) -> tuple[int, int]:
    """What another file of the same name is told by; each use changes the times."""
    found = path.stat()
    return found.st_ino, found.st_size


def network_weights(network: Callable[[Tensor], Sequence[Tensor]]) -> Weights:
    """What stands for the weights of a caller's network: its fingerprint.

    Raises:
        InputError: it is no `nn.Module`, so that nothing tells it from another in a later run.
    """
    return Weights(path=None, origin="given by the caller", sha256=network_sha256(network))
