"""How work is done: device, precision, workers, caches."""

import re
from dataclasses import dataclass

from patchcore_core.common.errors import InputError

PRECISIONS = ("float32", "bfloat16")


@dataclass(frozen=True, kw_only=True)
class Execution:
    """How work is done; nothing here changes a result beyond rounding."""

    device: str = "cpu"
    precision: str = "float32"  # of the networks; bfloat16 is faster on some processors, and rounds to some percent
    compile: bool = False  # networks by torch.compile: half a minute each, then faster; pays from thousands of images
    batch_size: int = 16  # images
    workers: int = 2  # threads that decode images
    weights: str | None = None  # a file, or a folder of NAME.safetensors, looked at first
    cache_dir: str = ".cache"
    cache_size_gb: float = 20  # of cached feature maps

    def __post_init__(self) -> None:
        problems = []
        if not re.fullmatch(r"cpu|cuda(:\d+)?", str(self.device)):
            problems.append(f"execution.device={self.device!r} must be cpu, cuda or cuda:N")
        if self.precision not in PRECISIONS:
            problems.append(f"execution.precision={self.precision!r} must be one of {', '.join(PRECISIONS)}")
        if not isinstance(self.compile, bool):
            problems.append(f"execution.compile={self.compile!r} must be true or false")
        for name in ("batch_size", "workers"):
            value = getattr(self, name)
            if not isinstance(value, int) or isinstance(value, bool) or value < 1:
                problems.append(f"execution.{name}={value!r} must be a whole number of at least 1")
        size = self.cache_size_gb
        if not isinstance(size, int | float) or isinstance(size, bool) or not size >= 0:
            problems.append(f"execution.cache_size_gb={size!r} must be a number of 0 or more")
        if not isinstance(self.cache_dir, str):
            problems.append(f"execution.cache_dir={self.cache_dir!r} must be the path of a folder")
        if not isinstance(self.weights, str | None):
            problems.append(f"execution.weights={self.weights!r} must be a path, or null")
        if problems:
            raise InputError("params.yaml is not valid", offenders=problems, remedy="correct these values")
