import resource

import pytest

from patchcore_core import InputError
from patchcore_suite.baselines.work import BASE_BYTES, CELL_BASE_BYTES, RESTING_BYTES
from patchcore_suite.run.cells import plan
from patchcore_suite.run.groups import groups
from patchcore_suite.run.schedule import HERE, Place, Schedule

SEVERAL = {
    "tenth": {"coreset_fraction": 0.1},
    "all": {"coreset_fraction": 1},
    "third": {"hierarchies": [3]},
    "window": {"neighbourhood_size": 1},
}
SHAPES = {2: (40, 8, 8), 3: (112, 4, 4)}


def schedule(project, *, free, **options):
    work = plan(project.toy)
    free = free if isinstance(free, dict) else {HERE.machine: free}
    return Schedule(groups(work.cells, work), work, free=free, **options)


def begin(plans, count, place=HERE):
    """Begin as much as may run at once, and say what."""
    begun = []
    while len(plans.running) < count and (found := plans.next(place)) is not None:
        plans.begin(object(), found)
        begun.append(found.task)
    return begun


def make_all_maps(plans, place=HERE):
    for of in {of for group in plans.waiting for of in group.maps}:
        plans.made[place.maps, of] = SHAPES


def test_maps_are_made_once_and_before_the_groups_that_read_them(project):
    project.variants = SEVERAL
    plans = schedule(project, free=1e12)
    first = begin(plans, 8)
    assert {task.backbone for task in first} == {"tf_efficientnet_lite0"}
    assert len(first) == 2  # of bolt and of nut; all groups wait for one of the two
    bolt, nut = plans.running
    plans.finish(bolt, SHAPES)
    plans.finish(nut, SHAPES)
    assert {group.scope for group in begin(plans, 8)[:3]} == {"bolt"}


def test_what_runs_at_once_stays_within_the_free_memory_but_something_always_runs(project):
    project.variants = SEVERAL
    assert len(begin(schedule(project, free=1.5 * BASE_BYTES), 8)) == 1
    assert len(begin(schedule(project, free=0), 8)) == 1
    assert len(begin(schedule(project, free=2 * BASE_BYTES), 8)) == 2


def test_workers_that_rest_are_counted(project):
    project.variants = SEVERAL
    plans = schedule(project, free=3 * BASE_BYTES)
    assert len(begin(plans, 8)) == 2
    make_all_maps(plans)
    first, second = plans.running
    plans.finish(first, SHAPES)
    plans.finish(second, SHAPES)
    plans.free[HERE.machine] = 3.1 * CELL_BASE_BYTES
    plans.most[HERE.machine] = 4
    assert (
        len(begin(plans, 8)) == 2
    )  # the third that begins is one of those that rested, and beside it rests the fourth
    plans.free[HERE.machine] += RESTING_BYTES
    assert len(begin(plans, 8)) == 1


def test_a_group_whose_process_died_twice_is_left_out_with_its_name(project):
    plans = schedule(project, free=1e12)
    make_all_maps(plans)
    (group,) = begin(plans, 1)
    plans.lose(next(iter(plans.running)))
    assert plans.waiting[0] is group
    assert begin(plans, 1) == [group]
    plans.lose(next(iter(plans.running)))
    assert group not in plans.waiting
    ((category, error),) = plans.problems
    variants = ", ".join(dict.fromkeys(cell.variant for cell in group.cells))
    assert category == group.scope
    assert error.problem == f"{variants}: the process that computed it died, most often for want of memory"
    with pytest.raises(InputError, match="all others are finished and kept"):
        plans.raise_problems()


def test_a_group_may_be_tried_as_often_as_the_engine_says(project):
    plans = schedule(project, free=1e12, tries=3)
    make_all_maps(plans)
    for _ in range(3):
        assert plans.problems == []
        begin(plans, 1)
        plans.lose(next(iter(plans.running)))
    assert len(plans.problems) == 1


def test_maps_that_cannot_be_made_cost_only_the_groups_that_wait_for_them(project):
    plans = schedule(project, free=1e12)
    (maps,) = begin(plans, 1)
    plans.fail(next(iter(plans.running)), InputError("an image is damaged", remedy="replace it"))
    assert {category for category, _ in plans.problems} == {"bolt"}
    assert {group.scope for group in plans.waiting} == {"nut"}
    assert begin(plans, 1) != [maps]


def test_of_a_full_disk_nothing_more_is_begun_and_that_is_told(project):
    project.variants = SEVERAL
    plans = schedule(project, free=1e12)
    make_all_maps(plans)
    begin(plans, 2)
    first, second = plans.running
    plans.fail(first, InputError("too few rows", remedy="more images"))
    assert plans.waiting != []
    left = sum(len(group.cells) for group in plans.waiting)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, hard))
    try:
        plans.fail(second, InputError("1.safetensors cannot be written: File too large", remedy="make room"))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert (plans.waiting, plans.not_begun) == ([], left)
    with pytest.raises(InputError, match=f"cells of toy failed; {left} were not begun; what was finished is kept"):
        plans.raise_problems()


# Several machines


def test_machines_with_stores_of_their_own_make_maps_of_their_own_and_different_ones_first(project):
    first, second = Place("a", "of a"), Place("b", "of b")
    plans = schedule(project, free={"a": 1e12, "b": 1e12})
    (of_a,), (of_b,) = begin(plans, 1, first), begin(plans, 2, second)
    assert of_a != of_b
    plans.finish(next(iter(plans.running)), SHAPES)
    assert plans.next(first).task.maps == (of_a,)
    assert plans.next(second).task == of_a  # what is in the store of the other machine is not in this one's


def test_machines_that_share_a_store_share_its_maps_but_not_their_memory(project):
    project.variants = SEVERAL
    first, second = Place("a", "shared"), Place("b", "shared")
    plans = schedule(project, free={"a": 1.5 * BASE_BYTES, "b": 1.5 * BASE_BYTES})
    assert len({*begin(plans, 8, first), *begin(plans, 8, second)}) == 2
    for handle in list(plans.running):
        plans.finish(handle, SHAPES)
    assert [len(begin(plans, 1, first)), len(begin(plans, 2, second))] == [1, 1]


def test_what_fits_nowhere_runs_alone_on_the_machine_with_most_memory(project):
    small, large = Place("small", "shared"), Place("large", "shared")
    plans = schedule(project, free={"small": 1.0, "large": 2.0})
    make_all_maps(plans, small)
    assert plans.next(small) is None
    assert len(begin(plans, 8, large)) == 1
    plans.running.clear()
    del plans.free["large"]  # it is gone: the other one must do
    assert len(begin(plans, 8, small)) == 1
