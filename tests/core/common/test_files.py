import fcntl
import hashlib
import json
import os
import stat

import pytest

from patchcore_core import InputError
from patchcore_core.common.files import atomic_path, sha256_file, sha256_json, write_json, write_text


def contents(folder):
    return {path.name: path.read_text() for path in folder.iterdir()}


def test_a_file_takes_its_name_when_it_is_whole(tmp_path):
    path = tmp_path / "deep" / "er" / "result.txt"
    with atomic_path(path) as temporary:
        temporary.write_text("half")
        assert temporary.parent == path.parent
        assert temporary.suffix == ".txt"  # libraries choose the format by it
        assert temporary.name.startswith(".")  # no pattern takes it for a result
        assert not path.exists()
    assert contents(path.parent) == {"result.txt": "half"}


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt, SystemExit])
def test_a_failure_leaves_the_file_from_before_and_nothing_else(tmp_path, error):
    path = tmp_path / "result.txt"
    path.write_text("before")

    def write():
        with atomic_path(path) as temporary:
            temporary.write_text("half")
            raise error

    with pytest.raises(error):
        write()
    assert contents(tmp_path) == {"result.txt": "before"}


def test_two_writers_do_not_meet(tmp_path):
    path = tmp_path / "result.txt"
    with atomic_path(path) as first, atomic_path(path) as second:
        assert first != second
        first.write_text("first")
        second.write_text("second")
    assert contents(tmp_path) == {"result.txt": "first"}  # the one that finished last


@pytest.mark.parametrize("blocked", ["result.txt", "folder/result.txt", "folder/deeper/result.txt"])
def test_what_is_in_the_way_is_an_error_that_names_file_reason_and_room(tmp_path, blocked, monkeypatch):
    if blocked == "result.txt":
        (tmp_path / blocked / "full").mkdir(parents=True)
    else:
        (tmp_path / "folder").write_text("a file")
    monkeypatch.chdir(tmp_path)
    for path in (blocked, tmp_path / blocked):
        with pytest.raises(InputError, match=rf"{blocked} cannot be written: .*; [\d,]+ MiB are free there\nRemedy: "):
            write_text(path, "x")
    assert not [path for path in tmp_path.rglob(".*")]


def test_what_is_no_file_is_not_replaced(tmp_path):
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    with pytest.raises(InputError, match="pipe cannot be written: what is there is no file"):
        write_text(pipe, "text")
    assert stat.S_ISFIFO(pipe.stat().st_mode)
    assert os.listdir(tmp_path) == ["pipe"]


def test_a_full_disk_is_named_wherever_it_shows(tmp_path):
    full = pytest.raises(InputError, match=r"result\.txt cannot be written: No space left on device")
    with full, atomic_path(tmp_path / "result.txt"), open("/dev/full", "w") as file:
        file.write("x")
    assert contents(tmp_path) == {}


def test_other_errors_stay_what_they_are(tmp_path):
    with pytest.raises(FileNotFoundError), atomic_path(tmp_path / "deep/result.txt"):
        (tmp_path / "other" / "none.txt").read_text()


def test_a_temporary_file_is_locked_as_long_as_its_writer_lives(tmp_path):
    with atomic_path(tmp_path / "result.txt") as temporary:
        with temporary.open() as file, pytest.raises(BlockingIOError):
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        temporary.write_text("whole")
    with (tmp_path / "result.txt").open() as file:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)


def test_files_can_be_read_by_others(tmp_path):
    write_text(tmp_path / "result.txt", "x")
    assert stat.S_IMODE((tmp_path / "result.txt").stat().st_mode) == 0o644


def test_text_is_utf_8_with_unix_line_ends(tmp_path):
    write_text(tmp_path / "result.txt", "σ\nμ\n")
    assert (tmp_path / "result.txt").read_bytes() == b"\xcf\x83\n\xce\xbc\n"


def test_the_bytes_of_json_depend_on_the_value_alone(tmp_path):
    write_json(tmp_path / "a.json", {"b": [1, 2.5, None], "a": "σ"})
    write_json(tmp_path / "b.json", {"a": "σ", "b": [1, 2.5, None]})
    assert (tmp_path / "a.json").read_bytes() == (tmp_path / "b.json").read_bytes()
    assert json.loads((tmp_path / "a.json").read_text(encoding="utf-8")) == {"a": "σ", "b": [1, 2.5, None]}
    assert sha256_json({"b": 1, "a": 2}) == sha256_json({"a": 2, "b": 1}) != sha256_json({"a": 1, "b": 2})


def test_a_value_that_json_does_not_know_leaves_the_file_from_before(tmp_path):
    write_json(tmp_path / "a.json", 1)
    with pytest.raises(TypeError):
        write_json(tmp_path / "a.json", {"a": object()})
    assert contents(tmp_path) == {"a.json": "1\n"}


def test_sha256_by_hand(tmp_path):
    (tmp_path / "abc").write_bytes(b"abc")
    known = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"  # FIPS 180-2, appendix B.1
    assert sha256_file(tmp_path / "abc") == known
    assert sha256_json("abc") == hashlib.sha256(b'"abc"').hexdigest()


def test_sha256_of_a_file_larger_than_a_buffer(tmp_path):
    content = os.urandom(3 * 2**20 + 1)
    (tmp_path / "large").write_bytes(content)
    assert sha256_file(tmp_path / "large") == hashlib.sha256(content).hexdigest()
