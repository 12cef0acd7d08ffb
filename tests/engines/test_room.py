"""A pool that no cluster of this size could hold is refused where nothing more can come, and told elsewhere."""

from __future__ import annotations

from typing import Any

import pytest

from midb_ray.engines import room
from midb_ray.engines.pool_settings import PoolSettings
from midb_ray.engines.room import Node
from midb_ray.errors import UserError


@pytest.mark.parametrize(
    ("pool", "nodes", "lack"),
    [
        ({"gpus_per_replica": 4}, [Node(8, 1)] * 4, "pool.gpus_per_replica is 4, but no node has more than 1 GPU"),
        ({"cpus_per_replica": 8}, [Node(4, 0)] * 4, "pool.cpus_per_replica is 8, but no node has more than 4 CPUs"),
        ({"cpus_per_task": 8}, [Node(4, 0)] * 4, "pool.cpus_per_task is 8, but no node has more than 4 CPUs"),
        ({"replicas": 3, "gpus_per_replica": 1}, [Node(9, 2)], "each with 1 CPU and 1 GPU, but there is room for 2"),
        ({"replicas": 2, "cpus_per_replica": 3}, [Node(4, 0), Node(2, 0)], "but there is room for 1"),
        ({"replicas": 4}, [Node(4, 0)], r"need 0.5 \(pool.cpus_per_task\), but there are 4 CPUs"),
        ({}, [], "but no node has more than 0 CPUs"),
    ],
)
def test_what_is_wanting_is_named(pool: dict[str, Any], nodes: list[Node], lack: str) -> None:
    found = room.missing(PoolSettings.model_validate(pool), nodes)
    assert found is not None
    with pytest.raises(UserError, match=lack):
        raise UserError(found)


@pytest.mark.parametrize(
    ("pool", "nodes"),
    [
        ({}, [Node(2, 0)]),
        ({"replicas": [3, 64]}, [Node(4, 0)]),
        ({"replicas": 4, "gpus_per_replica": 0.5, "cpus_per_replica": 0.5}, [Node(3, 2)]),
        ({"replicas": 3, "cpus_per_replica": 0.1, "cpus_per_task": 0.1}, [Node(0.3, 0), Node(0.1, 0)]),
    ],
)
def test_what_fits_lacks_nothing(pool: dict[str, Any], nodes: list[Node]) -> None:
    assert room.missing(PoolSettings.model_validate(pool), nodes) is None


@pytest.mark.usefixtures("ray_cluster")
def test_it_is_refused_on_a_cluster_of_our_own_and_a_warning_elsewhere(listen) -> None:
    heard, fits, large = listen(room), PoolSettings(gpus_per_replica=2), PoolSettings(gpus_per_replica=3)
    room.check(fits, own=True)  # the test cluster has two logical ones
    assert heard == []
    with pytest.raises(UserError, match=r"no node has more than 2 GPUs, and the job would wait for ever"):
        room.check(large, own=True)
    room.check(large, own=False)
    assert "waits until more come" in heard[0]


@pytest.mark.usefixtures("ray_cluster")
def test_nodes_that_may_not_do_the_work_do_not_count() -> None:
    pool = PoolSettings(label_selector={"midb-ray/work": "boost"})
    with pytest.raises(
        UserError, match=r"no node has more than 0 CPUs \(of 1 nodes 0 may do this work, by pool.label_selector"
    ):
        room.check(pool, own=True)


def test_pools_keep_off_the_machines_that_are_meant_for_others() -> None:
    assert PoolSettings().nodes == {"midb-ray/work": "!in(boost,train)"}
    assert PoolSettings(gpus_per_replica=1).nodes == {"midb-ray/work": "!in(train)"}
    assert PoolSettings(label_selector={}).nodes == {}
