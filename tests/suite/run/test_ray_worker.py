import tempfile

import pytest

from patchcore_suite.run.cells import plan
from patchcore_suite.run.groups import groups
from patchcore_suite.run.node_check import APART
from patchcore_suite.run.ray_worker import RayWorker


@pytest.fixture
def temporary(monkeypatch, tmp_path):
    """The folder for temporary files of a machine."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "temporary"))
    (tmp_path / "temporary").mkdir()
    return tmp_path / "temporary"


def test_a_worker_that_does_not_see_the_store_sends_back_what_one_process_writes(project, temporary):
    project.score()
    work = plan(project.toy)
    alone = {work.path(cell).name: work.path(cell).read_bytes() for cell in work.cells}
    project.execution["cache_dir"] = "untouched"
    work = plan(project.toy)
    worker = RayWorker(work, 1, "run")
    worker.begin()
    sent = [file for group in groups(work.cells, work) for file in worker.compute(group)]
    assert {name: content for name, content in sent if name.endswith(".safetensors")} == alone
    assert len(sent) == 2 * len(alone)  # and the times of each
    assert worker.take() == []
    assert not (project.root / "untouched").exists()
    worker.tidy()
    assert list(temporary.glob(f"{APART}*")) == []


def test_a_worker_that_sees_the_store_writes_into_it_and_sends_nothing(project, temporary):
    work = plan(project.toy)
    worker = RayWorker(work, 1, None)
    worker.begin()
    assert [worker.compute(group) for group in groups(work.cells, work)[:1]] == [[]]
    assert len(work.pending()) < len(work.cells)
    assert list(temporary.glob(f"{APART}*")) == []
