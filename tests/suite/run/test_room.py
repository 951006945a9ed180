"""How many processes compute, and whether they keep memory that they have freed."""

import os
import subprocess
import sys

import pytest

from patchcore_core import InputError
from patchcore_suite.baselines.work import BASE_BYTES, making_bytes
from patchcore_suite.run import kept_memory, room, score
from patchcore_suite.run.cells import plan
from patchcore_suite.run.groups import groups
from patchcore_suite.run.room import processes_with_room
from patchcore_suite.run.score import score_dataset

GIB = 2**30
KEEPING = {
    "MALLOC_MMAP_THRESHOLD_": "4294967296",
    "MALLOC_TRIM_THRESHOLD_": "8589934592",
    "MALLOC_TOP_PAD_": "67108864",
}


@pytest.fixture
def free(monkeypatch):
    """Bytes that are free; and each call of `give_back`, which is not let through: the tests' process goes on."""
    given = [1e12]
    for module in (room, score):
        monkeypatch.setattr(module, "free_bytes", lambda: given[0])
    monkeypatch.setattr(score, "give_back", lambda **how: given.append(how))
    return given


@pytest.fixture
def asked(project, monkeypatch):
    """What processes are asked to compute, and what is computed here."""
    found = []
    monkeypatch.setattr(score, "compute_in_processes", lambda groups, work, count, **_: found.append((count, work)))
    monkeypatch.setattr(score, "_compute_here", lambda pending, work, *_: found.append((1, work)))
    project.execution |= {"engine": "processes", "processes": 2}
    return found


def test_where_two_processes_have_no_room_beside_this_one_it_computes_alone(project, free, asked):
    free[0] = 2 * BASE_BYTES - 1
    score_dataset(project.toy, show_progress=False)
    free[0] = 2 * BASE_BYTES
    score_dataset(project.toy, show_progress=False)
    assert [count for count, _ in asked] == [1, 2]
    assert asked[1][1].memory == 2 * BASE_BYTES  # another process holds nothing yet


def test_memory_is_kept_only_where_each_process_has_room_for_it(project, free, asked):
    for free[0] in (8 * GIB - 1, 8 * GIB):
        score_dataset(project.toy, show_progress=False)
    assert [work.keeps for _, work in asked] == [False, True]
    assert free[1:] == [{"from_now_on": True}]


def test_a_group_that_has_room_in_this_process_alone_is_computed_in_it(project, free, monkeypatch):
    work = plan(project.toy)
    free[0] = 4 * GIB
    of = groups(work.cells, work)
    monkeypatch.setattr(room, "MOST_A_PIXEL", 2**30)  # so that shapes are looked at
    monkeypatch.setattr(room, "group_bytes", lambda group, work, maps: 4 * GIB)
    assert processes_with_room(of, work, 2) == 2
    monkeypatch.setattr(room, "group_bytes", lambda group, work, maps: 4 * GIB + 1)
    assert processes_with_room(of, work, 2) == 1
    room.check_room(of, work, own=())
    monkeypatch.setattr(room, "group_bytes", lambda group, work, maps: 40 * GIB)
    with pytest.raises(InputError, match=r"do not fit into the 4\.0 GiB of memory that are free"):
        room.check_room(of, work, own=())


def test_making_the_maps_of_large_images_is_counted(project, free, monkeypatch):
    assert making_bytes(16 * 256 * 256) == BASE_BYTES
    assert making_bytes(16 * 512 * 512) == BASE_BYTES + 3 * 320 * 2**20
    work = plan(project.toy)
    of = groups(work.cells, work)
    monkeypatch.setattr(room, "making", lambda group, work: 3 * GIB)
    free[0] = GIB
    with pytest.raises(InputError, match=r"bolt: .* GiB more"):
        room.check_room(of, work, own=())


FREED = """
import numpy as np, psutil
from patchcore_suite.run import kept_memory
{first}
np.ones(5 * 2**25)
kept = np.ones(2**10)
{then}
print(psutil.Process().memory_info().rss)
"""


def rss(*, first="", then=""):
    """Of a process that freed 1.25 GiB under the settings of `make`."""
    code = FREED.format(first=first, then=then)
    run = subprocess.run([sys.executable, "-c", code], env=os.environ | KEEPING, capture_output=True, check=True)
    return int(run.stdout)


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="mallopt is the GNU library's")
def test_memory_that_is_freed_goes_back():
    assert rss() > 1.25 * GIB
    assert rss(first="kept_memory.give_back(from_now_on=True)") < 0.7 * GIB
    assert rss(then="kept_memory.give_back(from_now_on=False)") < 0.7 * GIB


def test_who_rests_keeps_little(monkeypatch):
    given = []
    monkeypatch.setattr(kept_memory, "give_back", lambda **how: given.append(how))
    kept_memory.rest()
    assert given == []
    monkeypatch.setattr(kept_memory, "RESTS", 0)
    kept_memory.rest()
    assert given == [{"from_now_on": False}]
