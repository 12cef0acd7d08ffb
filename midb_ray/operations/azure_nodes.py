"""Ray's nodes on Azure, without what its launcher does to a resource group: `module` of the provider in `cluster/azure.yaml`.

Ray's own start opens SSH to the world and makes every machine a contributor of the resource group. Here network, security
group and the two identities are those that the file names (`cluster/azure/group.json` makes them), and workers get an
identity that cannot start machines.
"""

from __future__ import annotations

import copy
from typing import Any

from ray.autoscaler._private._azure import config as ray_azure
from ray.autoscaler._private._azure.node_provider import AzureNodeProvider
from ray.autoscaler.tags import NODE_KIND_HEAD, TAG_RAY_NODE_KIND

_NAMED = ("subscription_id", "resource_group", "location", "subnet", "nsg", "head_identity", "worker_identity")


class Nodes(AzureNodeProvider):
    """Azure's virtual machines, with the network and the identities of the cluster file."""

    @staticmethod
    def bootstrap_config(cluster_config: dict[str, Any]) -> dict[str, Any]:
        """The cluster with a key for SSH, and nothing else added. Raises `ValueError` for a provider that lacks a name."""
        cluster = copy.deepcopy(cluster_config)
        provider = cluster["provider"]
        missing = [name for name in _NAMED if not provider.get(name)]
        if missing:
            raise ValueError(f"provider: expected {', '.join(missing)}, or Ray would make wide ones.")
        provider["unique_id"] = str(provider.get("unique_id") or cluster["cluster_name"])[: ray_azure.UNIQUE_ID_LEN]
        keyed: dict[str, Any] = ray_azure._configure_key_pair(cluster)
        return keyed

    def create_node(self, node_config: dict[str, Any], tags: dict[str, str], count: int) -> None:
        """Start machines with the identity of their kind."""
        kind = "head" if tags.get(TAG_RAY_NODE_KIND) == NODE_KIND_HEAD else "worker"
        self.provider_config["msi"] = self.provider_config[f"{kind}_identity"]
        super().create_node(node_config, tags, count)

    def cleanup_cluster_resources(self) -> None:
        """Network and identities outlive a cluster: they were there before it."""
