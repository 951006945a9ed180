import fcntl
import resource
from dataclasses import replace

import pytest

from patchcore_core import InputError
from patchcore_suite.run import node_check
from patchcore_suite.run.cells import plan
from patchcore_suite.run.node_check import expected, look, probed


def looked(work, *, there=None, store=None, cells=None):
    return look(there or expected(), lambda: (work, work.cells if cells is None else cells, store))


def test_a_machine_that_has_everything_is_found_so_with_the_memory_that_is_free(project):
    found = looked(plan(project.toy))
    assert found["problems"] == []
    assert found["free"] > 2**20


def test_another_version_or_other_code_is_named_with_both_values_and_nothing_else_is_read():
    def unread():
        raise AssertionError("what other code wrote cannot be read")

    there = expected() | {"torch": "0.1", "code of patchcore_core and patchcore_suite": "0123456789ab"}
    found = look(there, unread)
    own = expected()["torch"]
    assert f"torch: {own} there, 0.1 here" in found["problems"]
    assert any(problem.startswith("code of") and "0123456789ab here" in problem for problem in found["problems"])
    assert len(found["problems"]) == 2
    assert "install the same" in found["remedy"]


def test_a_library_that_only_one_machine_knows_is_named():
    assert look(expected() | {"new-library": "1"}, lambda: None)["problems"] == ["new-library: None there, 1 here"]


def test_images_that_are_missing_or_other_ones_are_named_with_both_hashes(project):
    work = plan(project.toy)
    missing, changed = (work.manifest.records(category)[0].image for category in ("bolt", "nut"))
    missing.unlink()
    changed.write_bytes(b"something else")
    bolt, nut = looked(work)["problems"]
    assert bolt.startswith("images of toy/bolt: 1 files are not")
    assert f"{missing}: missing there, " in bolt
    assert f"{changed}: SHA-256 " in nut
    recorded, found = work.manifest.changes("nut")[changed]
    assert found[:12] in nut
    assert recorded[:12] in nut


def test_only_images_of_the_cells_that_are_computed_are_looked_at(project):
    work = plan(project.toy)
    work.manifest.records("nut")[0].image.unlink()
    assert looked(work, cells=[cell for cell in work.cells if cell.category == "bolt"])["problems"] == []


def test_weights_that_are_missing_or_other_ones_are_named_with_both_hashes(project, monkeypatch):
    work = plan(project.toy)

    def missing(name, **_):
        raise InputError(f"weights missing for backbone {name!r}", remedy="copy them")

    monkeypatch.setattr(node_check, "backbone_weights", missing)
    (problem,) = looked(work)["problems"]
    sha256 = work.cells[0].stamp["weights"][0]["sha256"]
    assert problem.startswith(f"weights of tf_efficientnet_lite0: missing there, {sha256[:12]} here: ")
    monkeypatch.undo()
    real = node_check.backbone_weights
    monkeypatch.setattr(node_check, "backbone_weights", lambda *a, **o: replace(real(*a, **o), sha256="f" * 64))
    (problem,) = looked(work)["problems"]
    assert f"SHA-256 {'f' * 12} there" in problem
    assert f"{sha256[:12]} here" in problem


# Whether a machine sees the store


def test_a_store_is_seen_where_file_secret_and_lock_are_the_same(project):
    work = plan(project.toy)
    with probed(work.store) as store:
        assert looked(work, store=store)["sees_store"]
    assert list(work.store.iterdir()) == []


@pytest.mark.parametrize("change", ["another folder", "another file of this name", "locks of its own", "read only"])
def test_a_store_is_not_seen_where_one_of_them_differs(project, monkeypatch, tmp_path, change):
    work = plan(project.toy)
    with probed(work.store) as store:
        if change == "another folder":
            store = store._replace(probe=tmp_path / store.probe.name)
        elif change == "another file of this name":
            store = store._replace(secret="another")
        elif change == "locks of its own":  # of a file system that two machines mount without common locks
            monkeypatch.setattr(fcntl, "flock", lambda *_: None)
        else:
            monkeypatch.setattr(node_check.tempfile, "TemporaryFile", read_only)
        assert not looked(work, store=store)["sees_store"]


def test_a_store_without_room_is_told_and_nothing_stays_behind(project):
    store = plan(project.toy).store
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, hard))
    try:
        with (
            pytest.raises(InputError, match=r"cells cannot be written: File too large; .*\nRemedy: make room"),
            probed(store),
        ):
            pass
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert list(store.iterdir()) == []


def read_only(**_):
    raise OSError("read-only file system")
