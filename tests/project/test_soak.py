"""Memory: what is predicted is enough, and what does not fit into a control group is refused before it is begun."""

import os
import re
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path

import pytest

from benchmarks import soak

ROOT = Path(__file__).parents[2]
REFUSED = re.compile(
    r"ERROR: cells of soak do not fit into the 0\.\d GiB of memory that are free:\n"
    r"  - plate: patchcore-1: \d\.\d GiB more\n"
    r"Remedy: [^\n]+"
)


@pytest.mark.slow
@pytest.mark.long
def test_a_few_hundred_images_take_no_more_memory_than_is_predicted(tmp_path, capfd):
    assert soak.soak(tmp_path, 300, 64) == []
    said = capfd.readouterr().out
    assert "240 nominal and 60 test images of 64 x 64" in said
    assert re.search(r"predicted +1,\d{3} MiB, 1\.[0-5]\d times the largest", said)


def test_more_memory_than_predicted_or_allowed_is_told(tmp_path, monkeypatch):
    made = soak.make_project
    monkeypatch.setattr(soak, "make_project", lambda *given: timed(made(*given)))
    monkeypatch.setattr(soak, "run_stage", lambda folder, stage: {"seconds": 1.0, "peak": 9e9})
    assert soak.soak(tmp_path, 20, 64) == ["more than was predicted: 8,583 MiB", "more than 8 GB: 8,583 MiB"]


def timed(dataset):
    dataset.timings.parent.mkdir(parents=True)
    dataset.timings.write_text('{"a": {"features_s": 1, "coreset_s": 2, "scoring_s": 3}}')
    return dataset


@contextmanager
def control_group(limit):
    """The folder of a new control group, v1 or v2, of so many bytes; the test is skipped where none can be made."""
    lines = dict(line.split(":", 2)[1:] for line in Path("/proc/self/cgroup").read_text().splitlines())
    kind, name = ("memory", "memory.limit_in_bytes") if "memory" in lines else ("", "memory.max")
    folder = Path("/sys/fs/cgroup") / kind / lines.get(kind, "").lstrip("/") / f"soak-{os.getpid()}"
    try:
        folder.mkdir()
    except OSError as error:
        pytest.skip(f"no control group can be made here: {error}")
    try:
        (folder / name).write_text(str(limit))
        yield folder
    except OSError as error:
        pytest.skip(f"no control group can be limited here: {error}")
    finally:
        folder.rmdir()


KEEPING = {
    "MALLOC_MMAP_THRESHOLD_": "4294967296",
    "MALLOC_TRIM_THRESHOLD_": "8589934592",
    "MALLOC_TOP_PAD_": "67108864",
}


def scored_in_a_control_group(root, engine, more="", *, images=400, settings=KEEPING):
    """Run the stage `score` of larger images in 1.1 GiB, of which most is gone before any work begins."""
    soak.make_project(root, images, 64)
    params = root / "params.yaml"
    text = params.read_text().replace("engine: local", f"engine: {engine}")
    text = re.sub("coreset_fraction: 0.01\n", f"coreset_fraction: 0.01\n{more}", re.sub(r"- 64\n", "- 256\n", text))
    params.write_text(text)
    with control_group(1100 * 2**20) as folder:
        command = [sys.executable, "-m", "benchmarks.soak", "--folder", str(root), "--stage", "score"]
        enter = 'echo $$ > "$0/cgroup.procs" && exec "$@"'
        env = {name: value for name, value in os.environ.items() if not name.startswith("MALLOC_")} | settings
        shell = ["sh", "-c", enter, str(folder), *command]
        return subprocess.run(shell, cwd=ROOT, env=env, capture_output=True, text=True)


@pytest.mark.slow
@pytest.mark.long
@pytest.mark.parametrize("engine", ["local", "processes"])
def test_what_a_control_group_has_no_room_for_is_refused_in_one_message(tmp_path, engine):
    run = scored_in_a_control_group(tmp_path, engine, more="    sampler: kmeans\n")  # holds what it learns from
    assert run.returncode == 1
    assert REFUSED.fullmatch(run.stderr.strip()), run.stderr
    assert not list((tmp_path / ".cache").rglob("*.npy"))


@pytest.mark.slow
@pytest.mark.long
def test_a_coreset_is_selected_from_disk_where_a_control_group_has_no_room_for_features(tmp_path):
    run = scored_in_a_control_group(tmp_path, "local")
    assert run.returncode == 0, run.stderr
    assert len(list((tmp_path / ".cache/cells").glob("*.safetensors"))) == 1
    assert not [path for path in (tmp_path / ".cache/rows").glob("*") if path.is_file()]


@pytest.mark.slow
@pytest.mark.long
@pytest.mark.parametrize("settings", [{}, KEEPING], ids=["given back", "kept"])
def test_processes_that_have_no_room_beside_each_other_do_not_die_of_it(tmp_path, settings):
    second = "  second:\n    coreset_fraction: 0.02\n    hierarchies: [2]\n"
    make = soak.make_project

    def with_two_variants(*given):
        made = make(*given)
        params = tmp_path / "params.yaml"
        text = params.read_text().replace("    - patchcore-1\n", "    - patchcore-1\n    - second\n")
        params.write_text(text.replace("variants:\n  patchcore-1", f"variants:\n{second}  patchcore-1"))
        return made

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(soak, "make_project", with_two_variants)
        run = scored_in_a_control_group(tmp_path, "processes", images=40, settings=settings)
    assert run.returncode == 0, run.stderr
    assert len(list((tmp_path / ".cache/cells").glob("*.safetensors"))) == 2
