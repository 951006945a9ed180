"""What a result was made with: versions, code, machine."""

import os
import platform
import re
import resource
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import psutil
import torch

from patchcore_core import __version__

LIBRARIES = ("torch", "torchvision", "timm", "numpy", "scipy", "pillow", "opencv-python-headless", "faiss-cpu")


def versions() -> dict[str, str]:
    """Versions of this package and of the libraries that its numbers rest on."""
    found = {"patchcore-bench": __version__}
    for library in LIBRARIES:
        try:
            found[library] = metadata.version(library)
        except metadata.PackageNotFoundError:  # faiss-gpu in place of faiss-cpu
            found[library] = "not installed"
    return found


def machine() -> dict[str, object]:
    """The hardware, as results and reports name it."""
    gpu = torch.cuda.get_device_name() if torch.cuda.is_available() else None
    return {
        "processor": _processor(),
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "memory_gb": round(psutil.virtual_memory().total / 2**30, 1),
        "gpu": gpu,
        "system": f"{platform.system()} {platform.machine()}, Python {platform.python_version()}",
    }


def commit(root: Path) -> str:
    """The commit that is checked out in `root`, with "+" after it when files differ from it."""
    try:
        run = [
            subprocess.run(["git", "-C", str(root), *arguments], capture_output=True, text=True, check=True).stdout
            for arguments in (["rev-parse", "--short=12", "HEAD"], ["status", "--porcelain", "-uno"])
        ]
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
    return run[0].strip() + ("+" if run[1].strip() else "")


def peak_memory() -> int:
    """Largest resident memory of this process so far, in bytes."""
    try:  # Linux: what `getrusage` says there begins with the memory of the process that started this one
        return 1024 * int(re.search(r"VmHWM:\s*(\d+)", Path("/proc/self/status").read_text())[1])
    except (OSError, TypeError):
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return peak if sys.platform == "darwin" else peak * 1024


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        return next(line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()
