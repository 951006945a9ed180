"""Whether there is room for what is about to be computed."""

import re
import resource
from collections.abc import Iterator
from pathlib import Path

import psutil
import torch

from patchcore_core.common.errors import InputError

CONTROLLED = {  # by kind of control group: where it is mounted, files of limit and use, and what is dropped first
    "": ("sys/fs/cgroup", "memory.max", "memory.current", "inactive_file"),
    "memory": ("sys/fs/cgroup/memory", "memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"),
}


def check_free(needed: float, what: str, *, device: torch.device | str = "cpu", remedy: str) -> None:
    """Refuse, by an InputError, to begin what needs more bytes than a device has free.

    Its message says how much each is, `what` needs them (its subject), and the remedy: options that need less.
    """
    device = torch.device(device)
    free = torch.cuda.mem_get_info(device)[0] if device.type == "cuda" else free_bytes()
    if needed > free:
        raise InputError(
            f"{what} need {needed / 2**30:.1f} GiB of memory, and {free / 2**30:.1f} GiB are free on {device}",
            remedy=remedy,
        )


def free_bytes() -> float:
    """Memory that this process can still have: the least of what is free and what limits and control groups leave."""
    room = [float(psutil.virtual_memory().available), *(limit - used for limit, used in control_groups())]
    limit = resource.getrlimit(resource.RLIMIT_AS)[0]
    if limit != resource.RLIM_INFINITY:
        room.append(limit - psutil.Process().memory_info().vms)
    return max(0.0, min(room))


def control_groups(root: Path = Path("/")) -> Iterator[tuple[float, float]]:
    """Limit and use, in bytes, of each control group (v1 or v2) that this process is in; containers are such groups.

    Files that the system keeps in memory and may drop do not count as used.
    """
    try:
        lines = (root / "proc/self/cgroup").read_text().splitlines()
    except OSError:  # not Linux
        return
    for _, controllers, path in (line.split(":", 2) for line in lines):
        kind = "memory" if "memory" in controllers.split(",") else controllers
        if kind not in CONTROLLED:
            continue
        mounted, limit, used, dropped = CONTROLLED[kind]
        group, top = root / mounted / path.lstrip("/"), root / mounted
        for folder in (group, *group.parents):
            try:
                statistics = re.search(rf"^{dropped} (\d+)$", (folder / "memory.stat").read_text(), re.MULTILINE)
                kept = int((folder / used).read_text()) - (int(statistics[1]) if statistics else 0)
                yield float((folder / limit).read_text()), kept
            except (OSError, ValueError):  # no limit ("max"), or a group that is not shown in here
                pass
            if folder == top:
                break
