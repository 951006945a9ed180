import fcntl
import os
import subprocess
import sys
import time

import pytest
from dvc.fs import localfs
from dvc.rwlock import RWLockFileCorruptedError, rwlock

from patchcore_core.common.files import atomic_path
from patchcore_suite.run import leftovers, sources
from patchcore_suite.run.leftovers import clear_reports, free_dvc, locked, remove_leftovers

HALF = """
import os, signal, sys
from pathlib import Path
from patchcore_core.common.files import atomic_path
with atomic_path(Path(sys.argv[1])) as temporary:
    temporary.write_text("half")
    os.kill(os.getpid(), signal.SIGKILL)
"""


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_what_a_killed_process_was_writing_goes_at_once(tmp_path, capsys):
    subprocess.run([sys.executable, "-c", HALF, tmp_path / "page.ipynb"])
    (left,) = names(tmp_path)
    assert left.startswith(".page.")
    remove_leftovers(tmp_path, ".page.*")
    assert names(tmp_path) == []
    assert capsys.readouterr().err == f"deleted what a killed run left in {tmp_path}: 1\n"


def test_what_a_live_process_writes_stays(tmp_path, capsys):
    (tmp_path / ".folder-live").mkdir()
    with atomic_path(tmp_path / "page.ipynb") as temporary, locked(tmp_path / ".folder-live"):
        remove_leftovers(tmp_path, ".*")
        assert names(tmp_path) == sorted([temporary.name, ".folder-live"])
    remove_leftovers(tmp_path, ".*")
    assert names(tmp_path) == ["page.ipynb"]
    remove_leftovers(tmp_path, ".*")
    assert capsys.readouterr().err.count("deleted") == 1  # nothing is said where nothing was left


def test_only_hidden_names_that_match_go_and_no_link_is_followed(tmp_path):
    own = tmp_path / "own"
    own.mkdir()
    (own / "image.png").write_text("own")
    folder = tmp_path / "data"
    folder.mkdir()
    for name in ("page.x", ".other.x", ".page.x"):
        (folder / name).write_text("")
    (folder / ".page.link").symlink_to(own)
    remove_leftovers(folder, ".page.*", "page.*")
    assert names(folder) == [".other.x", ".page.link", "page.x"]
    assert names(own) == ["image.png"]


@pytest.mark.parametrize(("age", "left"), [(1, [".page.x"]), (25, [])])
def test_without_locks_what_was_not_written_for_a_day_goes(tmp_path, monkeypatch, age, left):
    def no_locks(*arguments):
        raise OSError("no locks available")

    monkeypatch.setattr(leftovers.fcntl, "flock", no_locks)
    path = tmp_path / ".page.x"
    path.write_text("half")
    then = time.time() - age * 3600
    os.utime(path, (then, then))
    remove_leftovers(tmp_path, ".*")
    assert names(tmp_path) == left


def test_a_pipe_does_not_hold_up_a_run(tmp_path):
    os.mkfifo(tmp_path / ".page.x")
    remove_leftovers(tmp_path, ".*")
    assert names(tmp_path) == []


def test_reports_are_cleared_of_what_killed_runs_left_and_of_nothing_else(scored):
    reports = scored.root / "reports"
    (reports / "tables").mkdir()
    left = [".index.ab12cd_9.html", "tables/.t1.ab12cd_9.csv", "scores/toy/.index.abcdefgh.json", "tables/.x.abcdefgh"]
    kept = ["tables/t1.csv", "tables/.gitkeep", "tables/.own.csv", "tables/t1.abcdefgh.csv"]
    for name in left + kept:
        (reports / name).write_text("")
    clear_reports(scored.toy.project)
    assert [name for name in left if (reports / name).exists()] == []
    assert [name for name in kept if not (reports / name).exists()] == []


@pytest.mark.parametrize(
    ("content", "stays"), [("", False), ('{"read": {', False), ('{"read": {}, "write": {}}', True)]
)
def test_a_lock_of_dvc_that_a_killed_run_wrote_by_half_goes(tmp_path, content, stays):
    listed = tmp_path / ".dvc/tmp/rwlock"
    listed.parent.mkdir(parents=True)
    listed.write_text(content)
    with listed.with_suffix(".lock").open("a") as held:
        fcntl.flock(held, fcntl.LOCK_EX)  # a live DVC is at it
        free_dvc(tmp_path)
    assert listed.exists()
    free_dvc(tmp_path)
    assert listed.exists() == stays


def test_what_dvc_says_after_a_kill_is_mended_by_one_command(project, monkeypatch):
    root = project.toy.project.root
    listed = root / ".dvc/tmp/rwlock"
    listed.parent.mkdir(parents=True)
    listed.write_text('{"read": {')
    monkeypatch.chdir(root)
    with (
        pytest.raises(RWLockFileCorruptedError, match=r"Unable to read RWLock-file .*JSON structure is corrupted"),
        rwlock(str(listed.parent), localfs, "dvc repro", [], ["out"], False),
    ):
        pass
    monkeypatch.setattr("sys.argv", ["python -m patchcore_suite.run.sources"])
    sources.main()
    with rwlock(str(listed.parent), localfs, "dvc repro", [], ["out"], False):
        assert "dvc repro" in listed.read_text()


def test_where_dvc_never_ran_there_is_nothing_to_free(tmp_path):
    free_dvc(tmp_path)
    assert names(tmp_path) == []
