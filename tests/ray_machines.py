"""A Ray cluster whose machines are groups of processes of this one."""

import os
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ray.cluster_utils import Cluster

OBJECTS = 2**27  # bytes
# On a busy machine Ray gives up too early, and its workers, who let all others go first, hardly begin.
SURROUNDINGS = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_worker_niceness": "0",
    "RAY_raylet_start_wait_time_s": "120",
}
STARTS = 3


@contextmanager
def started(machines: int, environment: Mapping[str, str]) -> Iterator[str]:
    """Start machines with a core each; the cluster's address.

    Args:
        environment: of the workers.
    """
    before = dict(os.environ)
    os.environ |= {**environment, **SURROUNDINGS}
    from ray.cluster_utils import Cluster

    with tempfile.TemporaryDirectory(dir="/tmp", prefix="pr-", ignore_cleanup_errors=True) as folder:
        cluster = Cluster()
        try:
            for machine in range(machines):
                _add(cluster, {"temp_dir": folder} if machine == 0 else {})
            yield cluster.address
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
