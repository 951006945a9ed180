"""Whether the memory that is free has room for groups of cells, before anything of them is computed."""

import math
from collections.abc import Container, Iterator, Sequence

import psutil

from patchcore_core.backbones import map_shapes
from patchcore_core.common.errors import InputError
from patchcore_core.common.free_memory import free_bytes
from patchcore_suite.baselines.costs import Shape
from patchcore_suite.baselines.work import BASE_BYTES, CELL_BASE_BYTES, described_shape, held_bytes, making_bytes
from patchcore_suite.run.cells import Plan
from patchcore_suite.run.fixed_order import images_at_once
from patchcore_suite.run.groups import Group
from patchcore_suite.settings.execution import Execution

MOST_A_PIXEL = 1024  # bytes of descriptions, selections and scores of an image: no shape is looked for below that


def group_bytes(group: Group, work: Plan, maps: Sequence[Sequence[Shape]]) -> float:
    """Most memory that a process needs for a group.

    Args:
        maps: of each member of the method, the shapes (c, h, w) of the feature maps that it describes.
    """
    nominal, test = map(len, group.splits(work))
    members = group.cells[0].config.members
    shapes = [described_shape(member, of) for member, of in zip(members, maps, strict=True)]
    height, width = _size(group, work)
    counted = {"described": nominal + test, "test": test, "pixels": height * width, "budget": work.memory}
    return max(held_bytes(cell.config, shapes, nominal=cell.learned_of(nominal), **counted) for cell in group.cells)


def memory_budget(execution: Execution) -> float:
    """Bytes that all that is computed at once on a machine may take: `execution.memory_gb`, or what is free here.

    Other machines have what they have: on Ray's workers nothing lies on disk for want of memory unless that is set.
    """
    if execution.memory_gb is not None or execution.engine == "ray":
        return (execution.memory_gb or math.inf) * 2**30
    return free_bytes() + psutil.Process().memory_info().rss


def check_room(groups: Sequence[Group], work: Plan, *, own: Container[str], free: float | None = None) -> None:
    """Refuse groups that the free memory, or the budget, has no room for, even one at a time.

    Args:
        own: names of networks of the caller's, whose maps have shapes that only a run tells.
        free: bytes that there are; those of this machine unless given.

    Raises:
        InputError: there are such; each is named, with what it needs.
    """
    free = free_bytes() if free is None else free
    there = psutil.Process().memory_info().rss  # of what a process takes; others share or repeat it
    lacking, beyond = list[str](), list[str]()
    for group, needed in _large(groups, work, min(free, work.memory), own=own):
        variants = ", ".join(dict.fromkeys(cell.variant for cell in group.cells))
        made = making(group, work)
        if (more := max(needed, made) - there) > free:
            lacking.append(f"{group.place}: {variants}: {more / 2**30:.1f} GiB more")
        elif needed > work.memory:
            beyond.append(f"{group.place}: {variants}: {needed / 2**30:.2f} GiB")
    if lacking:
        raise InputError(
            f"cells of {work.dataset.name} do not fit into the {free / 2**30:.1f} GiB of memory that are free",
            offenders=lacking,
            remedy="use fewer or smaller images, a larger stride, or a machine or control group with more memory",
        )
    if beyond:
        raise InputError(
            f"cells of {work.dataset.name} need more than execution.memory_gb={work.memory / 2**30:g} in params.yaml, "
            "even with their patch features on disk",
            offenders=beyond,
            remedy="raise it, or set it to null; or use fewer or smaller images, or a smaller coreset_fraction",
        )


def processes_with_room(groups: Sequence[Group], work: Plan, count: int) -> int:
    """`count`, or 1 where less than two processes, or a group in one of them, have room beside this process.

    This process computes with what it holds already, and so has room for more than another one.
    """
    free = min(work.memory, free_bytes())
    if free < 2 * BASE_BYTES:
        return 1
    large = _large(groups, work, free, own=())
    return 1 if any(max(needed, making(group, work)) > free for group, needed in large) else count


def making(group: Group, work: Plan) -> float:
    """Most memory that a process needs while it makes the feature maps of a group."""
    height, width = size = _size(group, work)
    return making_bytes(images_at_once(work.dataset.execution, size) * height * width)


def _large(groups: Sequence[Group], work: Plan, room: float, *, own: Container[str]) -> Iterator[tuple[Group, float]]:
    """Groups that could take more than there is room for, and what each takes, in bytes."""
    for group in groups:
        height, width = size = _size(group, work)
        members = group.cells[0].config.members
        images = sum(map(len, group.splits(work)))
        most = CELL_BASE_BYTES + MOST_A_PIXEL * len(members) * images * height * width
        if max(most, making(group, work)) > room and not any(member.backbone in own for member in members):
            maps = [map_shapes(member.backbone, member.map_hierarchies, size) for member in members]
            yield group, group_bytes(group, work, maps)


def _size(group: Group, work: Plan) -> tuple[int, int]:
    """(H, W) that the images of a group are brought to."""
    first = group.cells[0]
    return first.preprocessing.size(work.manifest.entries[first.category][0].size)
