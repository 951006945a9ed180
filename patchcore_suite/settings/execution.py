"""How work is done: device, precision, workers, caches."""

from typing import Annotated, Literal, get_args

from pydantic import Field
from pydantic.dataclasses import dataclass

from patchcore_suite.settings.checked import BLOCK, Wanted, one_of

Precision = Literal["float32", "bfloat16"]
PRECISIONS = get_args(Precision)
Engine = Literal["local", "processes", "ray"]
ENGINES = get_args(Engine)
ADDRESS = r"^(auto|(ray://)?(\[[0-9A-Fa-f:.]+\]|[^\s/:\[\]]+):[0-9]{1,5})$"

INSTALLED = "installed"  # weights come from caches and packages alone, networks from libraries

AtLeastOne = Annotated[int, Field(ge=1), Wanted("a whole number of at least 1")]
AtLeastOneOrNull = Annotated[int | None, Field(ge=1), Wanted("a whole number of at least 1, or null")]
NoneOrMore = Annotated[int | float | None, Field(ge=0), Wanted("a number of 0 or more, or null")]
RayAddress = Annotated[str | None, Field(pattern=ADDRESS), Wanted("auto, HOST:PORT, ray://HOST:PORT, or null")]


@dataclass(frozen=True, kw_only=True, config=BLOCK)
class Ray:
    """The workers of the engine `ray`; each computes a group of cells at a time."""

    address: RayAddress = None  # of a cluster; null: of none, Ray is started for this run on this machine
    workers: AtLeastOneOrNull = None  # at once; null: as many as the machines have room for
    cpus: AtLeastOne = 1  # cores of a worker, and its threads beside a GPU; on a CPU it computes with one
    gpus: NoneOrMore = None  # of a worker; null: 1 where the device is cuda, else 0
    send_results: Annotated[bool, Wanted("true or false")] = False  # true: as if workers did not see the store


@dataclass(frozen=True, kw_only=True, config=BLOCK)
class Execution:
    """How work is done; nothing here changes a result, but on a GPU, with its batch size and precision, by rounding."""

    device: Annotated[str, Field(pattern=r"^(cpu|cuda(:[0-9]+)?)$"), Wanted("cpu, cuda or cuda:N")] = "cpu"
    precision: Annotated[Precision, one_of(*PRECISIONS)] = "float32"  # of the networks; bfloat16 rounds to some percent
    compile: Annotated[bool, Wanted("true or false")] = False  # half a minute a network; pays from thousands of images
    engine: Annotated[Engine, one_of(*ENGINES)] = "processes"  # who computes cells: this process, several, or Ray's
    processes: AtLeastOneOrNull = None  # at once, of the engine of that name
    ray: Ray = Ray()
    memory_gb: Annotated[int | float | None, Field(gt=0), Wanted("a number above 0, or null")] = None  # for all at once
    batch_size: AtLeastOne = 16  # images at once on a GPU; for a CPU see run.fixed_order
    workers: AtLeastOne = 2  # threads that decode images
    weights: Annotated[str, Field(min_length=1), Wanted("a path, or installed")] = INSTALLED  # a file or folder
    networks: Annotated[str, Field(pattern=r"^(installed|.*\.py)$"), Wanted("a Python file, or installed")] = INSTALLED
    cache_dir: Annotated[str, Field(min_length=1), Wanted("the path of a folder")] = ".cache"
    cache_size_gb: Annotated[int | float, Field(ge=0), Wanted("a number of 0 or more")] = 20  # of cached feature maps

    @property
    def own_weights(self) -> str | None:
        """The file or folder in which weights are looked for first; None if that is nowhere."""
        return None if self.weights == INSTALLED else self.weights

    @property
    def own_networks(self) -> str | None:
        """The Python file that gives networks of the user's own; None where there is none."""
        return None if self.networks == INSTALLED else self.networks
