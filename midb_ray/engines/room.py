"""Whether a cluster can ever hold a pool: what cannot be placed would wait for ever, without a word."""

from __future__ import annotations

import json
import logging
import math
from typing import NamedTuple

from midb_ray.engines.pool_settings import PoolSettings
from midb_ray.errors import UserError
from midb_ray.runs import cluster

logger = logging.getLogger("midb_ray")

_ROUNDING = 1e-6  # ten tenths are one


class Node(NamedTuple):
    """What a node has in all, whether or not it is in use."""

    cpus: float
    gpus: float


def check(pool: PoolSettings, own: bool) -> None:
    """Raise `UserError` if the cluster, one of our `own` on this machine, has no room for the pool at its smallest and
    a task that reads for it; on another cluster nodes may still come, so a warning has to do."""
    found, there = [node["Resources"] for node in cluster.alive(pool.nodes)], len(cluster.alive())
    lack = missing(pool, [Node(one.get("CPU", 0), one.get("GPU", 0)) for one in found])
    if lack is None:
        return
    if len(found) < there:
        lack += f" (of {there} nodes {len(found)} may do this work, by pool.label_selector {json.dumps(pool.nodes)})"
    if own:
        raise UserError(f"{lack}, and the job would wait for ever; change that, or name a cluster with --address.")
    logger.warning("%s: the job waits until more come.", lack)


def missing(pool: PoolSettings, nodes: list[Node]) -> str | None:
    """What is wanting for the pool at its smallest, None if nothing is."""
    cpus, gpus, replicas = pool.cpus_per_replica, pool.gpus_per_replica, pool.replicas[0]
    most = max((node.gpus for node in nodes), default=0.0)
    if most < gpus:
        return f"pool.gpus_per_replica is {gpus:g}, but no node has more than {_count(most, 'GPU')}"
    most = max((node.cpus for node in nodes), default=0.0)
    for name, wanted in (("cpus_per_replica", cpus), ("cpus_per_task", pool.cpus_per_task)):
        if most < wanted:
            return f"pool.{name} is {wanted:g}, but no node has more than {_count(most, 'CPU')}"
    most_actors = sum(places(node, cpus, gpus) for node in nodes)
    if most_actors < replicas:
        each = _count(cpus, "CPU") + (f" and {_count(gpus, 'GPU')}" if gpus else "")
        return f"pool.replicas is {replicas}, each with {each}, but there is room for {most_actors}"
    total = sum(node.cpus for node in nodes)
    if total < replicas * cpus + pool.cpus_per_task - _ROUNDING:
        return (
            f"pool.replicas is {replicas}, each with {_count(cpus, 'CPU')}, and the tasks that read for them need "
            f"{pool.cpus_per_task:g} (pool.cpus_per_task), but there are {_count(total, 'CPU')}"
        )
    return None


def _count(number: float, unit: str) -> str:
    return f"{number:g} {unit}{'' if number == 1 else 's'}"


def places(node: Node, cpus: float, gpus: float) -> int:
    """Actors that fit on a node."""
    shares = [node.cpus / cpus, *([node.gpus / gpus] if gpus else [])]
    return math.floor(min(shares) + _ROUNDING)
