"""A Ray cluster whose machines are groups of processes of this one."""

import os
import socket
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ray.cluster_utils import Cluster

OBJECTS = 2**27  # bytes
# On a busy machine Ray gives up too early, and its workers, who let all others go first, hardly begin. It does so for
# good where its agent takes more than 15 seconds to begin, which nothing can make longer: then another start helps.
SURROUNDINGS = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_worker_niceness": "0",
    "RAY_raylet_start_wait_time_s": "60",
}
STARTS = 6


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
    for tries_left in reversed(range(STARTS)):
        try:
            cluster.add_node(num_cpus=1, object_store_memory=OBJECTS, include_dashboard=False, **options)
            return
        except Exception:  # of no kind of its own
            if not tries_left:
                raise


def _free_port() -> int:
    with socket.create_server(("", 0)) as held:
        return held.getsockname()[1]
