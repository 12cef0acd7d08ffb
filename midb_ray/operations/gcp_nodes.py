"""Ray's nodes on Google Cloud, without what its launcher does to a project: `module` of the provider in `cluster/gcp.yaml`.

Ray's own start makes a service account that may administrate all machines and objects of the project, and takes the first
subnet that it finds. Here accounts and subnet are those that the file names (`cluster/gcp/project.sh` makes them).
"""

from __future__ import annotations

import copy
from typing import Any

from ray.autoscaler._private.gcp import config as ray_gcp
from ray.autoscaler._private.gcp.node_provider import GCPNodeProvider


class Nodes(GCPNodeProvider):
    """Google Compute Engine, with the accounts and the network of the cluster file."""

    @staticmethod
    def bootstrap_config(cluster_config: dict[str, Any]) -> dict[str, Any]:
        """The cluster with a key for SSH, and nothing else added. Raises `ValueError` for a machine without account or network."""
        cluster = copy.deepcopy(cluster_config)
        for name, machine in cluster["available_node_types"].items():
            for field in ("serviceAccounts", "networkInterfaces"):
                if not machine["node_config"].get(field):
                    raise ValueError(
                        f"available_node_types.{name}.node_config: expected {field}, or Ray would take wide ones."
                    )
        _, _, compute, _ = ray_gcp.construct_clients_from_provider_config(cluster["provider"])
        keyed: dict[str, Any] = ray_gcp._configure_key_pair(cluster, compute)
        return keyed
