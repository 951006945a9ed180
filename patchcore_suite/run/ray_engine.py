"""Groups of cells on the workers of Ray; raw results do not depend on who computes them."""

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from types import ModuleType

import torch

from patchcore_core.backbones.weights import WEIGHTS_VARIABLE
from patchcore_core.common.errors import InputError
from patchcore_suite.run.cells import Cell, Plan
from patchcore_suite.run.groups import Group
from patchcore_suite.run.node_check import INSTALL, Look, expected, probed
from patchcore_suite.run.own_networks import project_networks
from patchcore_suite.run.ray_cluster import Node, connected, pinned, room_for_workers, shared_out
from patchcore_suite.run.ray_crew import Crew, Slot
from patchcore_suite.run.room import check_room
from patchcore_suite.run.schedule import Schedule
from patchcore_suite.settings.execution import INSTALLED
from patchcore_suite.settings.project import Project

TRIES = 3  # of a group whose worker died: machines of a cluster may be taken away


def compute_on_ray(groups: Sequence[Group], work: Plan, *, looked: Callable[[], None]) -> None:
    """Compute groups on the workers of `execution.ray`, once each machine has been found to have what they need.

    Workers that see the store write into it; the results of others come back through Ray. A group that fails does not
    stop the others; one whose worker dies is tried again.

    Args:
        looked: called whenever files may have been finished, at least twice a second.

    Raises:
        InputError: there is no such cluster, its machines lack something, or groups failed; all that is wrong is
            listed, and what was finished is in the store.
    """
    work = _whole_paths(work)
    settings, device = work.dataset.execution.ray, torch.device(work.dataset.execution.device)
    gpus = (settings.gpus or 1) if device.type == "cuda" else 0
    with connected(settings) as ray:
        nodes = shared_out(room_for_workers(ray, settings, gpus=gpus), settings.workers)[: len(groups)]
        looks = _checked(ray, dict.fromkeys(nodes), work, [cell for group in groups for cell in group.cells])
        free = {node.id: float("inf") if gpus else min(look["free"], work.memory) for node, look in looks.items()}
        if not gpus:
            own = project_networks(work.dataset.project, expected=work.networks_sha256).modules
            check_room(groups, work, own=own, free=max(free.values()))
        schedule = Schedule(list(groups), work, free=free, tries=TRIES)
        options = {"num_cpus": settings.cpus, "num_gpus": gpus}
        crew = Crew(ray, schedule, options, looked)
        try:
            crew.run([Slot(node, apart=settings.send_results or not looks[node]["sees_store"]) for node in nodes])
        except (ConnectionError, ray.exceptions.RayError) as error:
            raise InputError(
                f"the Ray cluster is gone: {' '.join(str(error).split())[:300]}",
                remedy="start it, and run it again: what was finished is kept",
            ) from None
        finally:
            crew.dismiss()
    schedule.raise_problems()


def _whole_paths(work: Plan) -> Plan:
    """A plan that means the same in whatever folder and with whatever variables it is read."""
    params = work.dataset.project.params
    weights = params.execution.own_weights or os.environ.get(WEIGHTS_VARIABLE)
    weights = str(Path(weights).expanduser().absolute()) if weights else INSTALLED
    networks = params.execution.own_networks
    networks = str(params.path(networks).absolute()) if networks else INSTALLED
    params = replace(params, execution=replace(params.execution, weights=weights, networks=networks))
    return replace(work, dataset=replace(work.dataset, project=Project(params)), store=work.store.absolute())


def _checked(ray: ModuleType, nodes: Mapping[Node, None], work: Plan, cells: Sequence[Cell]) -> dict[Node, Look]:
    """Look at each machine.

    Raises:
        InputError: some lack what cells are computed from; each is named.
    """

    # It travels by value, being within a function: so it runs where this package is not installed.
    def look(there: Mapping[str, str], given: Sequence[object], remedy: str) -> Look:
        import ray

        try:
            from patchcore_suite.run.node_check import look as looked
        except ImportError as error:
            return {"problems": [f"this package or what it needs cannot be imported: {error}"], "remedy": remedy}
        return looked(there, lambda: ray.get(given[0]))

    task = ray.remote(num_cpus=0, max_retries=TRIES - 1)(look)
    with probed(work.store) as store:
        given, there = [ray.put((work, cells, store))], expected()  # within a list it is not read yet
        asked = {
            node: task.options(scheduling_strategy=pinned(ray, node)).remote(there, given, INSTALL) for node in nodes
        }
        found: dict[Node, Look] = {}
        for node, reference in asked.items():
            try:
                found[node] = ray.get(reference)
            except ray.exceptions.RayError as error:
                lines = str(error).strip().splitlines()  # a traceback ends in its error; others begin with it
                why = lines[-1 if isinstance(error, ray.exceptions.RayTaskError) else 0]
                problem = f"it cannot be looked at: {why}"
                found[node] = {"problems": [problem], "remedy": "end or repair that machine"}
    problems = [f"{node.name}: {problem}" for node, look in found.items() for problem in look["problems"]]
    if problems:
        remedies = [look["remedy"] for look in found.values() if look["problems"]]
        raise InputError(
            f"machines of the Ray cluster do not have what the cells of {work.dataset.name} are computed from",
            offenders=problems,
            remedy="; ".join(dict.fromkeys(remedies)),
        )
    return found
