import importlib.util
import signal
import socket
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from patchcore_core import InputError
from patchcore_suite.run import ray_cluster
from patchcore_suite.run.ray_cluster import Node, room_for_workers, shared_out
from patchcore_suite.run.score import score_dataset
from patchcore_suite.settings.execution import Ray

WITHOUT_RAY = importlib.util.find_spec("ray") is None or importlib.util.find_spec("grpc") is None


class Machines:
    """What is asked of Ray: its machines, each with its cores and GPUs."""

    def __init__(self, *resources, alive=True):
        self._nodes = [
            {"NodeID": f"{n}", "Alive": alive, "NodeManagerAddress": f"10.0.0.{n}", "NodeManagerHostname": "host"}
            | {"Resources": {kind: value for kind, value in zip(("CPU", "GPU"), given, strict=True) if value}}
            for n, given in enumerate(resources)
        ]

    def nodes(self):
        return self._nodes


def room(machines, *, gpus=0, **settings):
    return [node.workers for node in room_for_workers(machines, Ray(**settings), gpus=gpus)]


def test_a_machine_has_room_for_as_many_workers_as_cores_and_gpus_go_into_it():
    assert room(Machines((8, 0), (3, 0), (0, 0)), cpus=2) == [4, 1]
    assert room(Machines((64, 8), (64, 2), (64, 0)), gpus=1) == [8, 2]
    assert room(
        Machines(
            (64, 8),
        ),
        gpus=2,
    ) == [4]
    assert room(
        Machines(
            (64, 2),
        ),
        gpus=0.5,
    ) == [4]
    assert room(
        Machines(
            (64, 2),
        ),
        gpus=0.4,
    ) == [4]  # two on each GPU; none has parts of two
    assert room(
        Machines(
            (3, 8),
        ),
        gpus=1,
    ) == [3]


def test_machines_without_room_and_dead_ones_are_none():
    with pytest.raises(InputError, match="no machine of the Ray cluster has the 4 cores and 1 GPUs of a worker"):
        room(Machines((8, 0), (2, 2)), gpus=1, cpus=4)
    with pytest.raises(InputError, match="Remedy: start machines"):
        room(Machines((8, 0), alive=False))


def test_workers_are_dealt_to_machines_in_turns(capsys):
    a, b = Node("a", "a", 3), Node("b", "b", 1)
    assert shared_out([a, b], None) == [a, b, a, a]
    assert shared_out([a, b], 2) == [a, b]
    assert capsys.readouterr().err == ""
    assert shared_out([a, b], 9) == [a, b, a, a]
    assert "room for 4 workers, not 9" in capsys.readouterr().err


def test_without_ray_the_remedy_is_told_before_anything_is_computed(project, monkeypatch):
    monkeypatch.setattr(ray_cluster.importlib.util, "find_spec", lambda name: None)
    project.execution["engine"] = "ray"
    with pytest.raises(InputError) as error:
        score_dataset(project.toy, show_progress=False)
    assert "ray and grpc cannot be imported" in str(error.value)
    assert "'.[ray]'" in error.value.remedy
    assert not (project.root / ".cache").exists()


def test_ray_is_not_imported_where_another_engine_computes(project):
    project.score()
    assert "ray" not in sys.modules or not WITHOUT_RAY


# No cluster


@pytest.fixture
def listening():
    """The port of a server that is none of Ray's: it takes connections and closes them."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def answer():
            while True:
                try:
                    server.accept()[0].close()
                except OSError:
                    return

        threading.Thread(target=answer, daemon=True).start()
        yield server.getsockname()[1]
        server.shutdown(socket.SHUT_RDWR)


def refusal(monkeypatch, address):
    monkeypatch.setattr(ray_cluster, "ANSWER", 1)
    monkeypatch.setattr(ray_cluster, "check_installed", lambda: None)
    with pytest.raises(InputError) as error:
        ray_cluster._check_answers(address)
    assert f"execution.ray.address={address} " in error.value.problem
    assert "ray start --head" in error.value.remedy
    return error.value.problem


@pytest.mark.parametrize("form", ["127.0.0.1:{}", "ray://127.0.0.1:{}", "[::1]:{}"])
def test_an_address_at_which_nobody_answers_is_refused_at_once(monkeypatch, form):
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        refusal(monkeypatch, form.format(unused.getsockname()[1]))


def test_a_port_that_is_none_and_a_name_that_nobody_knows_are_refused(monkeypatch):
    refusal(monkeypatch, "127.0.0.1:99999")
    refusal(monkeypatch, "no-such-machine.invalid:6379")


def test_the_cluster_that_a_machine_was_in_is_refused_once_it_is_gone(monkeypatch, tmp_path):
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        gone = f"127.0.0.1:{unused.getsockname()[1]}"
        monkeypatch.setenv("RAY_ADDRESS", gone)
        assert gone in refusal(monkeypatch, "auto")
        monkeypatch.delenv("RAY_ADDRESS")
        monkeypatch.setattr(ray_cluster, "SHORT", tmp_path)
        (tmp_path / "ray").mkdir()
        (tmp_path / ray_cluster.LAST_STARTED).write_text(f"{gone}\n")
        assert gone in refusal(monkeypatch, "auto")


@pytest.mark.skipif(WITHOUT_RAY, reason="Ray is not installed")
def test_something_else_that_answers_is_no_cluster(monkeypatch, listening):
    assert "something else than Ray answers" in refusal(monkeypatch, f"127.0.0.1:{listening}")


@pytest.mark.skipif(WITHOUT_RAY, reason="Ray is not installed")
@pytest.mark.parametrize("form", ["127.0.0.1:{}", "ray://127.0.0.1:{}"])
def test_a_cluster_that_asks_for_a_token_is_refused_until_ray_is_told_to_send_one(monkeypatch, form):
    grpc = pytest.importorskip("grpc")

    class Asks(grpc.ServerInterceptor):
        def intercept_service(self, continuation, details):
            return grpc.unary_unary_rpc_method_handler(
                lambda request, context: context.abort(grpc.StatusCode.UNAUTHENTICATED, "no token")
            )

    server = grpc.server(ThreadPoolExecutor(1), interceptors=[Asks()])
    address = form.format(server.add_insecure_port("127.0.0.1:0"))
    server.start()
    monkeypatch.delenv("RAY_AUTH_MODE", raising=False)
    with pytest.raises(InputError, match="asks for a token") as error:
        ray_cluster._check_answers(address)
    assert "RAY_AUTH_MODE=token" in error.value.remedy
    monkeypatch.setenv("RAY_AUTH_MODE", "token")
    ray_cluster._check_answers(address)
    server.stop(None)


def test_what_a_server_says_of_its_failure_is_told_in_one_line():
    failed = Exception("Initialization failure from server:\nTraceback (most recent call last):\n\nOSError: full\n")
    assert ray_cluster._said(failed) == "Initialization failure from server: OSError: full"
    assert ray_cluster._said(Exception("It timed out.\nThis could happen")) == "It timed out."
    assert ray_cluster._said(ValueError()) == "ValueError"


# On a busy machine


class Slow:
    """Ray that gives up some times, and leaves a process each time."""

    def __init__(self, times):
        self.times, self.left = times, []

    def init(self, **_):
        if len(self.left) < self.times:
            self.left.append(subprocess.Popen(["sleep", "60"]))
            raise Exception("The current node timed out during startup.\nThis could happen")

    def shutdown(self):
        pass


@pytest.mark.parametrize("address", [None, "ray://10.0.0.1:10001"])
def test_ray_is_asked_again_and_leaves_nothing_of_what_it_gave_up(address):
    ray = Slow(2)
    ray_cluster._begin(ray, address, {})
    assert [process.wait(timeout=10) for process in ray.left] == [-signal.SIGKILL] * 2


def test_where_ray_does_not_start_it_says_why():
    ray = Slow(99)
    with pytest.raises(InputError) as error:
        ray_cluster._begin(ray, None, {})
    assert len(ray.left) == ray_cluster.STARTS
    assert "Ray does not start on this machine: The current node timed out during startup." in str(error.value)
    for process in ray.left:
        process.wait(timeout=10)
