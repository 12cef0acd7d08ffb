"""What a cluster's autoscaler may bring. Ray does not tell, so it is read where the autoscaler has its orders: on the head node."""

from __future__ import annotations

import logging
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

logger = logging.getLogger("midb_ray")

_PATIENCE = 60  # seconds for a process on the head node to begin and answer


class Group(NamedTuple):
    """Nodes of a kind: how many there may be, and what each has. `labels`: None if nobody knows."""

    most: int
    resources: dict[str, float]
    labels: dict[str, str] | None


def groups() -> list[Group] | None:
    """The kinds of nodes that the cluster may have at most; empty where nothing scales it, None where something does that does not
    tell its limits (KubeRay's autoscaler is in a container of its own)."""
    import ray
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    told = ray._private.state.state.get_cluster_config()  # of managed services; Ray's own autoscaler leaves it empty
    if told is not None and told.node_group_configs:
        return [
            Group(sys.maxsize if group.max_count < 0 else group.max_count, dict(group.resources), None)
            for group in told.node_group_configs
        ]
    alive = (node for node in ray.nodes() if node["Alive"])
    head = next((node["NodeID"] for node in alive if "node:__internal_head__" in node["Resources"]), None)
    if head is None:
        return None
    there = NodeAffinitySchedulingStrategy(head, soft=False)
    asking = ray.remote(num_cpus=0)(_on_head).options(name="read limits", scheduling_strategy=there)
    try:
        found: list[Group] | None = ray.get(asking.remote(ray.get_runtime_context().gcs_address), timeout=_PATIENCE)
    except ray.exceptions.RayError as error:  # a time-out too
        logger.debug("The head node does not tell the autoscaler's limits: %s", error)
        return None
    return found


def of_file(content: Mapping[str, Any]) -> list[Group] | None:
    """The same of a cluster file; None if one of its kinds is not described."""
    found, total = [], content.get("max_workers", 0)
    for name, node in content["available_node_types"].items():
        is_head = name == content["head_node_type"]
        most = min(node.get("max_workers", 0 if is_head else total), total) + is_head
        if most and not node.get("resources"):
            return None
        found.append(Group(most, dict(node.get("resources", {})), dict(node.get("labels", {}))))
    return found


def _on_head(address: str) -> list[Group] | None:
    """By the command line of Ray's monitor, which runs the autoscaler: the one of the cluster at this address."""
    import psutil
    import yaml

    port = address.rpartition(":")[2]
    for process in psutil.process_iter(["cmdline"]):
        words = process.info["cmdline"] or []
        given = dict(word.split("=", 1) for word in words if word.startswith("--") and "=" in word)
        if not any(word.endswith("/monitor.py") for word in words):
            continue
        if given.get("--gcs-address", "").rpartition(":")[2] != port:
            continue
        if "--autoscaling-config" not in given:
            return []
        return of_file(yaml.safe_load(Path(given["--autoscaling-config"]).expanduser().read_text(encoding="utf-8")))
    return None  # every head has a monitor, if it is not kept elsewhere
