"""Ray, on this machine or on a cluster: found, started, left; and the workers that its machines have room for."""

import importlib.util
import logging
import os
import secrets
import socket
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import dataclass
from itertools import chain, zip_longest
from pathlib import Path
from typing import TYPE_CHECKING

import psutil

from patchcore_core.common.errors import InputError
from patchcore_suite.run.leftovers import locked, remove_leftovers
from patchcore_suite.settings.execution import Ray

if TYPE_CHECKING:
    from types import ModuleType

STARTS = 5  # of Ray on one machine: it gives up for good where its own agent takes more than 15 seconds to begin
PATIENCE = 60  # seconds that a start may take
ANSWER = 5  # seconds in which a cluster must answer
CLIENT = "ray://"
OBJECTS = 2**27  # bytes for what Ray carries on one machine: no results, which go to the store
SHORT = Path("/tmp")  # sockets lie below, whose paths may have 107 bytes
SESSION = ".patchcore-ray-"  # how the folder of Ray's own files begins
LAST_STARTED = "ray/ray_current_cluster"  # in which Ray notes the cluster of a machine
TOKEN = "RAY_AUTH_TOKEN"  # that all of a cluster know
# Something that can be asked without consequence of a cluster, and of its server for clients from outside.
ASKED = {False: "/ray.rpc.NodeInfoGcsService/CheckAlive", True: "/ray.rpc.RayletDriver/ClusterInfo"}


@dataclass(frozen=True)
class Node:
    """A machine of the cluster, or what Ray takes for one.

    Attributes:
        id: Ray's.
        name: address and name, for people.
        workers: that it has room for.
    """

    id: str
    name: str
    workers: int


def check_installed() -> None:
    """Refuse to go on without Ray.

    Raises:
        InputError: it is not installed.
    """
    absent = [name for name in ("ray", "grpc") if importlib.util.find_spec(name) is None]
    if absent:
        raise InputError(
            f"execution.engine=ray in params.yaml, and {' and '.join(absent)} cannot be imported",
            remedy="pip install -c constraints.txt -e '.[ray]', or set execution.engine to processes",
        )


@contextmanager
def connected(settings: Ray) -> Iterator["ModuleType"]:
    """Ray, connected to its cluster; one that was started here, or a connection, ends with the block.

    A connection that the caller has made already is used, and kept.

    Raises:
        InputError: it is not installed, or there is no such cluster.
    """
    check_installed()
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"  # nothing is told to anybody
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")  # else each worker without a GPU warns of it
    os.environ.setdefault("RAY_raylet_start_wait_time_s", str(PATIENCE))
    import ray  # after these, which it reads
    import ray.util.scheduling_strategies

    if ray.is_initialized():
        yield ray
        return
    quiet = {"log_to_driver": False, "logging_level": logging.ERROR}
    with _session() if settings.address is None else nullcontext() as folder:
        if folder is None:
            _check_answers(settings.address)
            options = {"address": settings.address}
        else:
            os.environ.setdefault(TOKEN, secrets.token_hex())  # else Ray leaves one in the home folder
            cores = None if settings.workers is None else settings.workers * settings.cpus
            own = {"num_cpus": cores, "object_store_memory": OBJECTS, "include_dashboard": False}
            options = {"address": "local", "_temp_dir": str(folder), **own}
        try:
            _begin(ray, settings.address, {**options, **quiet})
            yield ray
        finally:
            ray.shutdown()


def _begin(ray: "ModuleType", address: str | None, options: Mapping[str, object]) -> None:
    """Start Ray, or connect to it; on a busy machine a start may fail for no other reason, and Ray is asked again.

    So is a cluster from outside, which starts a process for each client.

    Raises:
        InputError: it cannot be had.
    """
    before = set(psutil.Process().children(recursive=True))
    for tries_left in reversed(range(STARTS if address is None or address.startswith(CLIENT) else 1)):
        try:
            ray.init(**options)
            return
        except Exception as error:  # of every kind, this one too
            ray.shutdown()
            for process in set(psutil.Process().children(recursive=True)) - before:  # it leaves what it had started
                with suppress(psutil.Error):
                    process.kill()
            if not tries_left:
                raise _no_cluster(address, _said(error)) from None


def _said(error: Exception) -> str:
    """What an error of Ray says, in a line: the first, and the last where that announces what a server said."""
    first, *others = list(filter(None, str(error).split("\n"))) or [type(error).__name__]
    return f"{first} {others[-1]}" if others and first.endswith(":") else first


@contextmanager
def _session() -> Iterator[Path]:
    """A folder for the files of Ray on this machine; what killed runs left of theirs is deleted."""
    home = SHORT if os.access(SHORT, os.W_OK) else Path(tempfile.gettempdir())
    remove_leftovers(home, f"{SESSION}*")
    made = tempfile.TemporaryDirectory(dir=home, prefix=SESSION, ignore_cleanup_errors=True)
    with made as folder, locked(Path(folder)):
        yield Path(folder)


def _check_answers(address: str) -> None:
    """Refuse an address at which no cluster answers: Ray itself would look for one for minutes.

    Raises:
        InputError: nobody answers.
    """
    where = address
    if address == "auto":
        where = os.environ.get("RAY_ADDRESS", "")
        with suppress(OSError):
            where = where or (SHORT / LAST_STARTED).read_text().strip()
    host, _, port = where.removeprefix(CLIENT).rpartition(":")
    if not port.isdecimal():
        return  # Ray says at once that it has none
    host = host.strip("[]")
    try:
        with socket.create_connection((host, int(port)), timeout=ANSWER):
            pass
    except (OSError, OverflowError) as error:
        raise _no_cluster(address, f"{where}: {getattr(error, 'strerror', None) or error}") from None
    if os.environ.get("RAY_USE_TLS") != "1":
        _check_speaks(address, where)


def _check_speaks(address: str, where: str) -> None:
    """Refuse what does not speak as Ray does, or asks for a token that would not be sent.

    Raises:
        InputError: it is so.
    """
    import grpc

    with grpc.insecure_channel(where.removeprefix(CLIENT)) as channel:
        try:
            grpc.channel_ready_future(channel).result(timeout=ANSWER)
            channel.unary_unary(ASKED[where.startswith(CLIENT)])(b"", timeout=ANSWER)
        except grpc.FutureTimeoutError:
            raise _no_cluster(address, f"{where}: something else than Ray answers") from None
        except grpc.RpcError as error:
            # Ray sends a token to an address that is given only if it is told to; without one it waits in vain.
            asks = error.code() == grpc.StatusCode.UNAUTHENTICATED
            if asks and address != "auto" and os.environ.get("RAY_AUTH_MODE") != "token":
                raise InputError(
                    f"the Ray cluster at execution.ray.address={address} in params.yaml asks for a token",
                    remedy="export RAY_AUTH_MODE=token, and copy ~/.ray/auth_token of its first machine to the same "
                    "place here; docs/cluster.md says more",
                ) from None


def _no_cluster(address: str | None, why: str) -> InputError:
    if address is None:
        return InputError(
            f"Ray does not start on this machine: {why}",
            remedy="try again when the machine is less busy, or set execution.engine to processes in params.yaml",
        )
    return InputError(
        f"execution.ray.address={address} in params.yaml, and no Ray cluster can be used there: {why}",
        remedy="start one (`ray start --head`), correct the address, or set it to null for this machine alone; from "
        "outside of the cluster it is ray://HOST:10001; docs/cluster.md says more",
    )


def pinned(ray: "ModuleType", node: Node) -> object:
    """What tells Ray to run something on one machine and no other."""
    return ray.util.scheduling_strategies.NodeAffinitySchedulingStrategy(node.id, soft=False)


def room_for_workers(ray: "ModuleType", settings: Ray, *, gpus: float) -> list[Node]:
    """The machines of the cluster that have room for workers.

    Raises:
        InputError: there is none.
    """
    found = []
    for node in filter(lambda node: node["Alive"], ray.nodes()):
        there = node["Resources"]
        room = int(there.get("CPU", 0) // settings.cpus)
        room = min(room, _with_gpus(there.get("GPU", 0), gpus)) if gpus else room
        if room:
            host = node["NodeManagerHostname"]
            found.append(Node(node["NodeID"], f"{node['NodeManagerAddress']} ({host})", room))
    if not found:
        each = f"{settings.cpus} cores" + (f" and {gpus:g} GPUs" if gpus else "")
        raise InputError(
            f"no machine of the Ray cluster has the {each} of a worker",
            remedy="start machines that have, or lower execution.ray.cpus and gpus in params.yaml",
        )
    return found


def _with_gpus(there: float, each: float) -> int:
    """Workers that share GPUs: of less than one GPU each, several share one, but none has parts of two."""
    return int(there // each) if each >= 1 else int(there) * int(1 / each + 1e-9)


def shared_out(nodes: Sequence[Node], wanted: int | None) -> list[Node]:
    """The machine of each worker, in turns over all that have room; all of the room unless fewer are wanted."""
    turns = zip_longest(*([node] * node.workers for node in nodes))
    places = [node for node in chain.from_iterable(turns) if node is not None]
    if wanted is not None and wanted > len(places):
        print(f"note: the Ray cluster has room for {len(places)} workers, not {wanted}", file=sys.stderr)
    return places[:wanted]
