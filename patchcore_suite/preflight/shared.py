"""What cells of a category share, and is computed by the first that needs it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from patchcore_core.common.files import sha256_json
from patchcore_core.config import MethodConfig
from patchcore_suite.baselines.work import Shape, describing_work
from patchcore_suite.datasets.preprocessing import Preprocessing
from patchcore_suite.preflight import operations
from patchcore_suite.preflight.operations import Work
from patchcore_suite.preflight.own import network_work
from patchcore_suite.run.own_networks import OwnNetworks


@dataclass
class Shared:
    """What cells of a category share, and is computed by the first that needs it."""

    images: Mapping[tuple[float, ...], int]  # that are described, by how nominal ones are turned
    pixels: int  # of a file
    own: OwnNetworks
    extracted: dict[tuple, float] = field(default_factory=dict)  # bytes of feature maps, by what determines them
    described: set[str] = field(default_factory=set)

    def work(
        self,
        config: MethodConfig,
        preprocessing: Preprocessing,
        maps: Sequence[Sequence[Shape]],
        *,
        seed: int,
        size: tuple[int, int],
        rotations: tuple[float, ...],
    ) -> Work:
        """What a cell adds to it: networks run, images decoded and described."""
        work, images = Work(), self.images[rotations]
        for member, of in zip(config.members, maps, strict=True):
            key = sha256_json([repr(preprocessing), rotations, member.description(seed)])
            if key not in self.described:
                self.described.add(key)
                work += describing_work(member, of) * images
            fresh = {}
            for j, shape in zip(member.map_hierarchies, of, strict=True):
                file = (preprocessing.resize, preprocessing.crop, rotations, member.backbone, j)
                if file not in self.extracted:
                    fresh[j] = operations.FLOAT * images * shape[0] * shape[1] * shape[2]
                    self.extracted[file] = fresh[j]
            if fresh:
                of_image = network_work(member, tuple(fresh), size, self.own)
                work += (of_image + Work(decoded=self.pixels)) * images
        return work
