"""What becomes of workers and their work, with a Ray that does at once what it is asked for, in this process."""

from types import SimpleNamespace

import pytest

from patchcore_core import InputError
from patchcore_suite.run import ray_crew
from patchcore_suite.run.cells import plan
from patchcore_suite.run.groups import groups
from patchcore_suite.run.ray_cluster import Node
from patchcore_suite.run.ray_crew import Crew, Slot
from patchcore_suite.run.schedule import Schedule

SHAPES = {2: (40, 8, 8), 3: (112, 4, 4)}
A, B = Node("a", "10.0.0.1 (a)", 1), Node("b", "10.0.0.2 (b)", 1)


class RayError(Exception):
    pass


class RayTaskError(RayError):
    def __init__(self, cause):
        super().__init__(str(cause))
        self.cause = cause


class Asked:
    """Something that is asked of a worker, or the worker's class; `options` change nothing here."""

    def __init__(self, function):
        self._function = function

    def options(self, **_):
        return self

    def remote(self, *given):
        return self._function(*given)


class Actor:
    def __init__(self, ray, worker):
        self._ray, self._worker = ray, worker

    def __getattr__(self, name):
        return Asked(lambda *given: self._ray.answer(lambda: getattr(self._worker, name)(*given)))


class AtOnce:
    """As much of Ray as the crew asks for; an answer is there at the second look."""

    exceptions = SimpleNamespace(RayError=RayError, RayTaskError=RayTaskError)
    util = SimpleNamespace(
        scheduling_strategies=SimpleNamespace(NodeAffinitySchedulingStrategy=lambda node, soft: node)
    )

    def __init__(self):
        self._answers, self._seen, self.started, self.killed = {}, set(), [], []

    def put(self, value):
        return value

    def remote(self, **_):
        return lambda kind: Asked(lambda *given: self._start(kind, given))

    def _start(self, kind, given):
        self.started.append(Actor(self, kind(*given)))
        return self.started[-1]

    def kill(self, actor):
        self.killed.append(actor)

    def answer(self, function):
        reference = object()
        try:
            self._answers[reference] = function(), None
        except RayError as died:
            self._answers[reference] = None, died
        except Exception as error:
            self._answers[reference] = None, RayTaskError(error)
        return reference

    def wait(self, references, *, timeout, num_returns=1):
        assert references, "nothing is awaited, and something waits"
        done = [reference for reference in references if reference in self._seen][:num_returns]
        self._seen |= {*references}
        return done, [reference for reference in references if reference not in done]

    def get(self, reference):
        answer, error = self._answers.pop(reference)
        if error is not None:
            raise error
        return answer


class Obedient:
    """A worker that finishes whatever it is asked for."""

    def __init__(self, work, threads, apart):
        self.work, self.apart = work, apart

    def begin(self):
        pass

    def make(self, of, category, hierarchies):
        return SHAPES

    def compute(self, group):
        files = [(f"{cell.key}.safetensors", cell.key.encode()) for cell in group.cells]
        if self.apart is not None:
            return files
        for name, content in files:
            self.work.store.mkdir(parents=True, exist_ok=True)
            (self.work.store / name).write_bytes(content)
        return []

    def take(self):
        return []

    def tidy(self):
        pass


@pytest.fixture
def run(project, monkeypatch):
    """Let workers of a class compute the project; gives Ray, the schedule and the names of finished cells."""
    project.variants = {"tenth": {"coreset_fraction": 0.1}, "third": {"hierarchies": [3]}}

    def with_workers(kind, *slots):
        monkeypatch.setattr(ray_crew, "RayWorker", kind)
        work, ray = plan(project.toy), AtOnce()
        schedule = Schedule(groups(work.cells, work), work, free=dict.fromkeys("ab", 1e12), tries=3)
        crew = Crew(ray, schedule, {"num_cpus": 1}, lambda: None)
        try:
            crew.run(slots)
        finally:
            crew.dismiss()
            project.finished = {cell.variant for cell in work.cells if work.path(cell).is_file()}
        return ray, schedule, work

    return with_workers


@pytest.mark.parametrize("apart", [False, True])
def test_all_cells_are_finished_whether_workers_see_the_store_or_not(run, apart):
    ray, schedule, work = run(Obedient, Slot(A, apart), Slot(B, apart))
    assert all(work.path(cell).read_bytes() == cell.key.encode() for cell in work.cells)
    assert schedule.problems == []
    assert ray.killed == ray.started


def test_a_group_whose_workers_die_is_given_up_and_all_others_are_finished(run, project):
    class Dying(Obedient):
        def compute(self, group):
            if group.cells[0].variant == "third":
                raise RayError("killed")
            return super().compute(group)

    ray, schedule, _ = run(Dying, Slot(A, False), Slot(B, False))
    assert project.finished == {"tenth"}
    assert {category for category, _ in schedule.problems} == {"bolt", "nut"}
    assert "third: the process that computed it died" in str(schedule.problems[0][1])
    assert len(ray.started) == 2 + 2 * 3 - 1  # one more for each that died, while something waited


def test_a_worker_that_dies_once_costs_nothing(run, project):
    deaths = []

    class Unlucky(Obedient):
        def compute(self, group):
            if not deaths:
                deaths.append(group)
                raise RayError("killed")
            return super().compute(group)

    _, schedule, _ = run(Unlucky, Slot(A, False))
    assert project.finished == {"tenth", "third"}
    assert schedule.problems == []


def test_an_error_of_a_group_stops_no_other_and_reaches_who_asked_as_it_was(run, project):
    class Refusing(Obedient):
        def compute(self, group):
            if group.cells[0].variant == "third":
                raise InputError("too few rows", remedy="more images")
            return super().compute(group)

    _, schedule, _ = run(Refusing, Slot(A, False))
    assert project.finished == {"tenth"}
    with pytest.raises(InputError, match="bolt: too few rows; more images"):
        schedule.raise_problems()


def test_a_machine_on_which_no_worker_begins_is_left_and_the_others_go_on(run, project):
    class OnOne(Obedient):
        def begin(self):
            if self.apart is not None:
                raise RayError("no room for sockets")

    ray, schedule, _ = run(OnOne, Slot(A, True), Slot(B, False))
    assert project.finished == {"tenth", "third"}
    assert len(ray.started) == 1 + ray_crew.STARTS
    assert list(schedule.free) == ["b"]


def test_a_machine_without_room_for_results_is_left_and_its_work_is_done_by_others(run):
    tidied = []

    class Full(Obedient):
        def compute(self, group):
            if self.apart.endswith("-a"):
                raise InputError(f"/tmp/{self.apart}/cells/1 cannot be written: No space left", remedy="make room")
            return super().compute(group)

        def tidy(self):
            tidied.append(self.apart[-1])

    _, schedule, work = run(Full, Slot(A, True), Slot(A, True), Slot(B, True))
    assert all(work.path(cell).is_file() for cell in work.cells)
    assert schedule.problems == []
    assert list(schedule.free) == ["b"]
    assert tidied == ["a", "b"]
    with pytest.raises(InputError, match=r"(?s)no worker .* is left; .*10\.0\.0\.1 \(a\): .*No space left; make room"):
        run(Full, Slot(A, True))


def test_what_a_worker_finished_before_it_failed_is_kept(run):
    class Failing(Obedient):
        files = ()

        def compute(self, group):
            self.files = super().compute(group)[:1]
            raise InputError("no more", remedy="none")

        def take(self):
            files, self.files = self.files, ()
            return files

    _, schedule, work = run(Failing, Slot(A, True))
    assert len([*work.store.iterdir()]) == len(schedule.problems) == len(groups(work.cells, work))


def test_where_no_worker_is_left_each_reason_is_told(run, project):
    class Nowhere(Obedient):
        def begin(self):
            raise InputError("a worker can use no GPU", remedy="install a driver")

    with pytest.raises(InputError) as error:
        run(Nowhere, Slot(A, False), Slot(B, False))
    assert "10.0.0.1 (a): a worker can use no GPU" in str(error.value)
    assert "10.0.0.2 (b): " in str(error.value)
    assert str(error.value).count("Remedy:") == 1


def test_what_could_not_be_sent_back_is_told_and_no_cell_counts_as_finished(run):
    class Forgetful(Obedient):
        def take(self):
            raise OSError("the disk is gone")

    _, schedule, _ = run(Forgetful, Slot(A, True))
    with pytest.raises(RayTaskError, match="the disk is gone"):
        schedule.raise_problems()


def test_results_that_do_not_show_in_the_store_are_told(run, project, monkeypatch):
    monkeypatch.setattr(ray_crew, "SEEN", 0)

    class Elsewhere(Obedient):
        def compute(self, group):
            return []

    _, schedule, _ = run(Elsewhere, Slot(A, False))
    assert project.finished == set()
    with pytest.raises(InputError, match=r"results that 10\.0\.0\.1 \(a\) wrote do not show.*send_results"):
        schedule.raise_problems()
