"""Whether a cluster can hold the training workers, now or ever: a job that waits for what cannot come says nothing for days."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import NamedTuple

from midb_ray.errors import UserError
from midb_ray.runs import cluster, growth, labels
from midb_ray.training.settings import TrainSettings

logger = logging.getLogger("midb_ray")


class Room(NamedTuple):
    """What there is for training workers: how many there can ever be, and the bytes of memory that each of `wanted` would have, on
    its GPU or of its machine, where that is known. `local`: on this machine, whose cluster has not been started."""

    workers: int
    memory: int | None
    local: bool


_ROUNDING = 1e-4  # Ray counts resources in ten-thousandths


def refuse(settings: TrainSettings) -> None:
    """Raise `UserError` if the cluster can never hold the fewest workers. Where an autoscaler may bring nodes, its limits count."""
    wanted = _resources(settings)
    now = count(wanted, settings.nodes)
    if now >= settings.workers[0]:
        return
    groups = growth.groups()
    ever = most(groups, wanted, settings.nodes)
    shape = " and ".join(f"{amount:g} {name}" for name, amount in wanted.items())
    if ever is None or ever >= settings.workers[0]:
        logger.warning(
            "The cluster can hold %d of %d workers (%s each) at present; waiting for the autoscaler%s.",
            *(now, settings.workers[0], shape, ", which does not tell what it may bring" if ever is None else ""),
        )
        return
    told = f" on nodes of label_selector {json.dumps(settings.nodes)}"
    kept_off = len(cluster.alive(settings.nodes)) < len(cluster.alive()) or ever < (most(groups, wanted) or 0)
    where = told if kept_off else ""
    if "GPU" in wanted and not any(node["Resources"].get("GPU") for node in cluster.alive(settings.nodes)) and not ever:
        raise UserError(
            f"Training wants {settings.workers[0]} GPU(s), and the cluster has none{where}; set gpus_per_worker to 0 to train on "
            "CPUs, or name another cluster with --address."
        )
    most_ever = f"{max(ever, now)} of them even when all its nodes are there" if ever else f"{now} of them"
    raise UserError(
        f"workers is {settings.workers[0]}, each with {shape}, but the cluster can hold {most_ever}{where}; set workers to that "
        "or less, change cpus_per_worker or gpus_per_worker, or add nodes."
    )


def room(settings: TrainSettings) -> Room:
    """What the job of these settings would find. Starts nothing. Raises `UserError` if its cluster does not answer."""
    wanted = _resources(settings)
    if cluster.target_of(settings.address) != "local":
        with cluster.connected(settings.address):
            ever = most(growth.groups(), wanted, settings.nodes)
            if ever is None:  # nothing is known against it
                ever = settings.workers[-1]
            return Room(max(count(wanted, settings.nodes), ever), None, False)
    import psutil
    import torch

    cards = torch.cuda.device_count()
    workers = _fits({"CPU": cluster.local_cpus(), "GPU": cards}, wanted)
    if settings.device == "cuda":
        return Room(workers, int(torch.cuda.get_device_properties(0).total_memory) if cards else None, True)
    return Room(workers, int(psutil.virtual_memory().total) // settings.workers[0], True)


def count(wanted: dict[str, float], nodes: Mapping[str, str] = MappingProxyType({})) -> int:
    """Workers that the living nodes which the label selector allows could hold if nothing else ran there."""
    return sum(_fits(node["Resources"], wanted) for node in cluster.alive(nodes))


def most(
    groups: Sequence[growth.Group] | None, wanted: dict[str, float], nodes: Mapping[str, str] = MappingProxyType({})
) -> int | None:
    """Workers that the nodes which an autoscaler may bring and the label selector allows could hold; None if it does not tell."""
    if groups is None:
        return None
    return sum(
        group.most * _fits(group.resources, wanted)
        for group in groups
        if group.labels is None or labels.allow(nodes, group.labels)
    )


def _fits(there: dict[str, float], wanted: dict[str, float]) -> int:
    return int(min((there.get(name, 0.0) + _ROUNDING) // amount for name, amount in wanted.items()))


def _resources(settings: TrainSettings) -> dict[str, float]:
    needed = {"CPU": settings.cpus_per_worker, "GPU": settings.gpus_per_worker}
    return {name: amount for name, amount in needed.items() if amount}
