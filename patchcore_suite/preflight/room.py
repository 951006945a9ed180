"""Whether memory and disk of this machine have room for a run."""

import math
import shutil

import psutil
import torch

from patchcore_core.common.free_memory import control_groups, free_bytes
from patchcore_suite.preflight.needs import Checked
from patchcore_suite.settings.project import Project


def check_machine(project: Project, checked: Checked) -> None:
    """Compare what is needed with what is there."""
    execution = project.execution
    memory = max((needs.memory for needs in checked.needs), default=0)
    there = min(psutil.virtual_memory().total, *(limit for limit, _ in control_groups()), math.inf)
    unit = "memory"
    if execution.device != "cpu":
        if not torch.cuda.is_available():
            checked.problems.append(f"execution.device={execution.device}, but no GPU can be used here; set it to cpu")
        else:
            there, unit = torch.cuda.mem_get_info(execution.device)[1], "GPU memory"
    budget = (execution.memory_gb or math.inf) * 2**30
    if execution.device == "cpu" and memory > budget:
        checked.problems.append(
            f"about {gigabytes(memory)} GB of memory are needed, execution.memory_gb is {execution.memory_gb:g}; raise "
            "it, set it to null, or leave out the variants with the most patches"
        )
    elif memory > there:
        checked.problems.append(
            f"about {gigabytes(memory)} GB of {unit} are needed, this machine has {gigabytes(there)}; leave out the "
            "variants with the most patches (SPADE with hierarchy 1, stride 1 on large images), or use a larger machine"
        )
    elif execution.device == "cpu" and memory > (free := free_bytes()):
        checked.warnings.append(
            f"about {gigabytes(memory)} GB of memory are needed, {gigabytes(free)} are free now; end other programs"
        )
    limit = execution.cache_size_gb * 2**30
    largest = max((needs.maps for needs in checked.needs), default=0)
    if largest > limit:
        checked.warnings.append(
            f"feature maps of one category take up to {gigabytes(largest)} GB, execution.cache_size_gb is "
            f"{execution.cache_size_gb}: some would be computed more than once; raise it if there is room"
        )
    maps = sum(needs.maps for needs in checked.needs)
    needed = min(maps, limit) + sum(needs.results for needs in checked.needs)
    needed += max((needs.rows for needs in checked.needs), default=0)
    folder = project.cache
    free = shutil.disk_usage(next(path for path in (folder, *folder.parents) if path.exists())).free
    if needed > free:
        checked.problems.append(
            f"about {gigabytes(needed)} GB of disk are needed (feature maps, results, patch features), "
            f"{gigabytes(free)} are free at {folder}; lower execution.cache_size_gb, or set execution.cache_dir to "
            "another disk"
        )


def gigabytes(count: float) -> str:
    """A number of bytes, as text without its unit."""
    return f"{count / 2**30:.1f}"
