import resource
from types import SimpleNamespace

import pytest

from patchcore_core import InputError
from patchcore_core.common import free_memory
from patchcore_core.common.free_memory import check_free, control_groups, free_bytes

GIB = 2**30


def write(root, files):
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"{text}\n")


def test_each_control_group_of_version_2_upwards_counts_and_one_without_a_limit_does_not(tmp_path):
    write(
        tmp_path,
        {
            "proc/self/cgroup": "0::/jobs/mine",
            "sys/fs/cgroup/jobs/mine/memory.max": "max",
            "sys/fs/cgroup/jobs/mine/memory.current": 5,
            "sys/fs/cgroup/jobs/mine/memory.stat": "anon 5\ninactive_file 0",
            "sys/fs/cgroup/jobs/memory.max": 1000,
            "sys/fs/cgroup/jobs/memory.current": 700,
            "sys/fs/cgroup/jobs/memory.stat": "anon 300\ninactive_file 400",
        },
    )
    assert list(control_groups(tmp_path)) == [(1000, 300)]


def test_within_a_container_the_group_is_the_root_of_what_is_mounted(tmp_path):
    write(
        tmp_path,
        {
            "proc/self/cgroup": "0::/",
            "sys/fs/cgroup/memory.max": 4 * GIB,
            "sys/fs/cgroup/memory.current": GIB,
            "sys/fs/cgroup/memory.stat": f"anon {GIB}",
        },
    )
    assert list(control_groups(tmp_path)) == [(4 * GIB, GIB)]


def test_groups_of_version_1_whose_path_is_that_of_the_host_are_found_where_they_are_mounted(tmp_path):
    write(
        tmp_path,
        {
            "proc/self/cgroup": "9:name=systemd:/\n4:memory:/docker/0123\n1:cpu,cpuacct:/docker/0123\n0::/",
            "sys/fs/cgroup/memory/memory.limit_in_bytes": 900,
            "sys/fs/cgroup/memory/memory.usage_in_bytes": 600,
            "sys/fs/cgroup/memory/memory.stat": "inactive_file 1\ntotal_inactive_file 100",
        },
    )
    assert list(control_groups(tmp_path)) == [(900, 500)]


def test_without_control_groups_there_are_none(tmp_path):
    assert list(control_groups(tmp_path)) == []


@pytest.mark.parametrize(
    ("available", "groups", "address_space", "free"),
    [
        (8 * GIB, [], resource.RLIM_INFINITY, 8 * GIB),
        (8 * GIB, [(4 * GIB, GIB), (6 * GIB, 5 * GIB)], resource.RLIM_INFINITY, GIB),
        (8 * GIB, [(GIB, 2 * GIB)], resource.RLIM_INFINITY, 0),
        (8 * GIB, [(4 * GIB, GIB)], 3 * GIB, 2 * GIB),
        (GIB, [(4 * GIB, GIB)], 5 * GIB, GIB),
    ],
)
def test_the_least_of_all_limits_counts(monkeypatch, available, groups, address_space, free):
    monkeypatch.setattr(free_memory.psutil, "virtual_memory", lambda: SimpleNamespace(available=available))
    used = SimpleNamespace(memory_info=lambda: SimpleNamespace(vms=GIB))
    monkeypatch.setattr(free_memory.psutil, "Process", lambda: used)
    monkeypatch.setattr(free_memory, "control_groups", lambda: iter(groups))
    monkeypatch.setattr(free_memory.resource, "getrlimit", lambda _: (address_space, address_space))
    assert free_bytes() == free
    check_free(free, "these", remedy="less")
    with pytest.raises(InputError, match="these need"):
        check_free(free + 1, "these", remedy="less")
