"""What an autoscaler may bring: as a service reports it, and as a cluster file says it (a real one: test_capacity.py)."""

from __future__ import annotations

from typing import Any

import pytest
import ray
from ray.core.generated.autoscaler_pb2 import ClusterConfig

from midb_ray.runs import growth


def test_what_a_service_reports_of_its_nodes_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    told = ClusterConfig()
    told.node_group_configs.add(resources={"CPU": 4, "GPU": 1}, max_count=2)
    told.node_group_configs.add(resources={"CPU": 64}, max_count=1)
    monkeypatch.setattr(ray._private.state.state, "get_cluster_config", lambda: told)
    small, large = growth.Group(2, {"CPU": 4, "GPU": 1}, None), growth.Group(1, {"CPU": 64}, None)
    assert growth.groups() == [small, large]  # it says nothing of labels
    told.node_group_configs[1].max_count = -1
    assert (growth.groups() or [])[1].most > 10**9


def test_a_cluster_file_is_read_as_the_autoscaler_reads_it() -> None:
    kinds: dict[str, Any] = {"head": {"resources": {"CPU": 0}}, "a": {"resources": {"CPU": 4}, "labels": {"x": "y"}}}
    content = {"head_node_type": "head", "max_workers": 3, "available_node_types": kinds}
    assert growth.of_file(content) == [growth.Group(1, {"CPU": 0}, {}), growth.Group(3, {"CPU": 4}, {"x": "y"})]
    kinds["a"]["max_workers"] = 2
    assert (growth.of_file(content) or [])[1].most == 2
    del kinds["a"]["resources"]  # found out when a machine of it is there
    assert growth.of_file(content) is None
