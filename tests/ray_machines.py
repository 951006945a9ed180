"""A Ray cluster whose machines are groups of processes of this one."""

import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

import psutil

if TYPE_CHECKING:
    from ray.cluster_utils import Cluster

OBJECTS = 2**27  # bytes
LITTLE = {"include_dashboard": False, "include_log_monitor": False, "no_monitor": True}  # that takes time to begin
# On a busy machine Ray gives up too early, and its workers, who let all others go first, hardly begin. It does so for
# good where its agent takes more than 15 seconds to begin, which nothing can make longer: then another start helps.
SURROUNDINGS = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_worker_niceness": "0",
    "RAY_raylet_start_wait_time_s": "60",
}
STARTS = 6
LOOKS = 180  # for a machine that joins, half a second apart


@contextmanager
def started(machines: int, environment: Mapping[str, str], *, outside: bool = False) -> Iterator[str]:
    """Start machines with a core each; the cluster's address.

    Args:
        environment: of the workers.
        outside: whether the address is that for clients from outside.
    """
    before = dict(os.environ)
    os.environ |= {**environment, **SURROUNDINGS}
    from ray.cluster_utils import Cluster

    with tempfile.TemporaryDirectory(dir="/tmp", prefix="pr-", ignore_cleanup_errors=True) as folder:
        cluster = Cluster()
        try:
            port = {"ray_client_server_port": _free_port()} if outside else {}
            for machine in range(machines):
                _add(cluster, {"temp_dir": folder, **port} if machine == 0 else {})
            yield f"ray://127.0.0.1:{port['ray_client_server_port']}" if outside else cluster.address
        finally:
            cluster.shutdown()
            os.environ.clear()
            os.environ |= before


def _add(cluster: "Cluster", options: Mapping[str, object]) -> None:
    """Add a machine; on a busy one a start may fail for no other reason."""
    before = set(psutil.Process().children(recursive=True))
    for tries_left in reversed(range(STARTS)):
        try:
            cluster.add_node(num_cpus=1, object_store_memory=OBJECTS, **LITTLE, **options)
            return
        except Exception:  # of no kind of its own
            _kill(set(psutil.Process().children(recursive=True)) - before)
            if not tries_left:
                raise


def _kill(processes: Iterable[psutil.Process]) -> None:
    for process in processes:
        with suppress(psutil.Error):  # it has ended meanwhile
            process.kill()


def _free_port() -> int:
    with socket.create_server(("", 0)) as held:
        return held.getsockname()[1]


class Apart:
    """A machine that sees other files than this one: processes in a mount namespace of their own, which root may make.

    Args:
        process: that all others of it were started by.
    """

    def __init__(self, process: psutil.Popen) -> None:
        self._process = process

    @contextmanager
    def seeing(self, *mounted: object) -> Iterator[None]:
        """Let it see something else in a place; arguments are those of `mount`, the place is the last one."""
        enter = ["nsenter", "--mount", f"--target={self._process.pid}"]
        subprocess.run([*enter, "mount", *map(str, mounted)], check=True)
        try:
            yield
        finally:
            subprocess.run([*enter, "umount", "--lazy", str(mounted[-1])], check=True)


@contextmanager
def joined(address: str, machines: Callable[[], int]) -> Iterator[Apart]:
    """Let such a machine with a core join a cluster.

    Args:
        machines: how many the cluster has.
    """
    options = ["--num-cpus=1", f"--object-store-memory={OBJECTS}", "--block"]
    start = [sys.executable, "-m", "ray.scripts.scripts", "start", f"--address={address}", *options]
    before = machines()
    for _ in range(STARTS):
        process = psutil.Popen(["unshare", "--mount", *start], stdout=subprocess.DEVNULL, stderr=subprocess.STDOUT)
        try:
            for _ in range(LOOKS):
                if machines() > before:
                    yield Apart(process)
                    return
                if process.poll() is not None:
                    break
                time.sleep(0.5)
        finally:
            with suppress(psutil.NoSuchProcess):
                _kill([*process.children(recursive=True), process])
            process.wait()
    raise RuntimeError(f"no machine joined the cluster at {address}")
