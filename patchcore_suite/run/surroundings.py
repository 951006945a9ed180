"""What libraries are told about this machine, in variables of the environment that they read when they start.

`make` runs this file as it is, before there is an environment with any library: it needs Python alone.
"""

import os
from collections.abc import Mapping
from pathlib import Path

FIXED = {
    # Threads that wait for each other go to sleep after some microseconds. By default they spin three hundred times as
    # long, and take the processor from whatever else runs: on a busy machine everything then takes many times as long.
    "GOMP_SPINCOUNT": "1000",
    # Room that large arrays leave is used again. By default it goes back to the system, which clears it page by page:
    # arrays that come and go in a loop then take up to a sixth of all processor time.
    "MALLOC_MMAP_THRESHOLD_": "4294967296",
    "MALLOC_TRIM_THRESHOLD_": "8589934592",
    "MALLOC_TOP_PAD_": "67108864",
}
# On AMD's Zen 4, NumPy sorts six times slower with AVX-512 than with AVX2: pixel metrics sort all pixels.
ZEN_4 = {"NPY_DISABLE_CPU_FEATURES": "X86_V4"}
PROCESSOR = Path("/proc/cpuinfo")


def surroundings(said: Mapping[str, str], processor: Path = PROCESSOR) -> dict[str, str]:
    """Variables to set beside those that are set already, which stand.

    Args:
        said: the environment.
        processor: what Linux says of it; absent elsewhere.
    """
    wanted = FIXED | (ZEN_4 if is_zen_4(processor) else {})
    return {name: value for name, value in wanted.items() if name not in said}


def is_zen_4(processor: Path) -> bool:
    """Whether it is of AMD's family 25 and has AVX-512."""
    try:
        lines = [line.split(":", 1) for line in processor.read_text(encoding="utf-8").splitlines() if ":" in line]
    except OSError:
        return False
    known = {name.strip(): value.split() for name, value in lines}
    amd, family = known.get("vendor_id") == ["AuthenticAMD"], known.get("cpu family") == ["25"]
    return amd and family and "avx512f" in known.get("flags", [])


if __name__ == "__main__":
    print(*(f"{name}={value}" for name, value in surroundings(os.environ).items()))
