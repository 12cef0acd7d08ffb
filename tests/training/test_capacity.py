"""More workers than the cluster can ever hold are refused; those that an autoscaler may bring are waited for."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import ray

from benchmarks.growing_cluster import GrowingCluster
from midb_ray.errors import UserError
from midb_ray.runs import growth
from midb_ray.training import capacity
from tests.training.grid import settings

Cluster = Callable[..., None]


@pytest.fixture
def cluster(monkeypatch: pytest.MonkeyPatch) -> Cluster:
    """`cluster(nodes, limits)`: a cluster of such nodes, and what its autoscaler may bring; without `limits` it has none."""

    def make(
        nodes: list[dict[str, Any]],
        limits: Sequence[growth.Group] | None = (),
        dead: int = 0,
        works: Sequence[str] = (),
    ) -> None:
        found = [
            {"Alive": place >= dead, "Resources": node, "Labels": {"midb-ray/work": works[place]} if works else {}}
            for place, node in enumerate(nodes)
        ]
        monkeypatch.setattr(ray, "nodes", lambda: found)
        monkeypatch.setattr(growth, "groups", lambda: limits)

    return make


def group(most: int, work: str | None = None, **resources: float) -> growth.Group:
    return growth.Group(most, resources, {} if work is None else {"midb-ray/work": work})


def workers(*counts: int, cpus: float = 1, gpus: float = 0) -> Any:
    return settings(workers=list(counts), cpus_per_worker=cpus, gpus_per_worker=gpus)


def test_workers_are_counted_node_by_node(cluster: Cluster) -> None:
    cluster([{"CPU": 7.0, "GPU": 4.0}, {"CPU": 16.0, "GPU": 2.0}, {"CPU": 64.0}])
    assert capacity.count({"CPU": 3, "GPU": 1}) == 2 + 2  # 87 CPUs and 6 GPUs would do for 6
    assert capacity.count({"GPU": 1}) == 6
    assert capacity.count({"CPU": 8}) == 0 + 2 + 8
    assert capacity.count({"CPU": 0.5}) == 14 + 32 + 128


def test_shares_that_are_no_binary_fractions_are_counted_right(cluster: Cluster) -> None:
    cluster([{"CPU": 1.0}])
    assert [capacity.count({"CPU": 1 / count}) for count in (3, 5, 10)] == [3, 5, 10]
    assert capacity.count({"CPU": 0.2}) == 5


def test_as_many_as_fit_are_let_through(cluster: Cluster) -> None:
    cluster([{"CPU": 4.0}])
    capacity.refuse(workers(4))
    capacity.refuse(workers(1, 100))  # the fewest count
    capacity.refuse(workers(2, cpus=2))


def test_one_more_is_refused_in_one_sentence(cluster: Cluster) -> None:
    cluster([{"CPU": 4.0, "GPU": 2.0}, {"CPU": 1.0, "GPU": 1.0}])
    with pytest.raises(UserError) as refusal:
        capacity.refuse(workers(4, cpus=2, gpus=1))
    assert str(refusal.value) == (
        "workers is 4, each with 2 CPU and 1 GPU, but the cluster can hold 2 of them; set workers to that or less, change "
        "cpus_per_worker or gpus_per_worker, or add nodes."
    )


def test_gpus_where_there_are_none_are_refused(cluster: Cluster) -> None:
    cluster([{"CPU": 4.0}])
    with pytest.raises(UserError, match=r"wants 1 GPU.* the cluster has none; set gpus_per_worker to 0"):
        capacity.refuse(workers(1, gpus=1))


def test_machines_that_boost_hold_no_training_worker(cluster: Cluster) -> None:
    cluster([{"CPU": 8.0, "GPU": 1.0}] * 2 + [{"CPU": 96.0, "GPU": 8.0}], works=["boost", "boost", "train"])
    capacity.refuse(workers(8, gpus=1))
    with pytest.raises(
        UserError, match=r'can hold 8 of them on nodes of label_selector \{"midb-ray/work": "!in\(boost,cpu\)"\}'
    ):
        capacity.refuse(workers(9, gpus=1))
    capacity.refuse(workers(10, gpus=1).model_copy(update={"label_selector": {}}))
    capacity.refuse(workers(96))  # on CPUs all but those that boost, which may be spot machines
    with pytest.raises(
        UserError, match=r'hold 96 of them on nodes of label_selector \{"midb-ray/work": "!in\(boost\)"\}'
    ):
        capacity.refuse(workers(97))


def test_dead_nodes_hold_nobody(cluster: Cluster) -> None:
    cluster([{"CPU": 4.0}, {"CPU": 1.0}], dead=1)
    with pytest.raises(UserError, match="can hold 1 of them"):
        capacity.refuse(workers(2))


def test_what_an_autoscaler_may_bring_is_waited_for(cluster: Cluster, listen: Any) -> None:
    heard = listen(capacity)
    cluster([{"CPU": 1.0}], [group(4, CPU=2)])
    capacity.refuse(workers(8))
    assert heard == ["The cluster can hold 1 of 8 workers (1 CPU each) at present; waiting for the autoscaler."]


def test_an_autoscaler_that_does_not_tell_is_waited_for(cluster: Cluster, listen: Any) -> None:
    heard = listen(capacity)
    cluster([{"CPU": 0.0}], None)
    capacity.refuse(workers(8, gpus=1))
    assert heard == [
        "The cluster can hold 0 of 8 workers (1 CPU and 1 GPU each) at present; waiting for the autoscaler, which does not tell "
        "what it may bring."
    ]


def test_what_not_even_an_autoscaler_brings_is_refused(cluster: Cluster) -> None:
    cluster([{"CPU": 1.0}], [group(2, CPU=4, GPU=1)])
    with pytest.raises(UserError, match="the cluster can hold 2 of them even when all its nodes are there"):
        capacity.refuse(workers(3, gpus=1))
    cluster([{"CPU": 4.0}], [group(1, CPU=2)])
    with pytest.raises(UserError, match="can hold 4 of them even when"):
        capacity.refuse(workers(5))


def test_what_an_autoscaler_brings_for_others_does_not_count(cluster: Cluster) -> None:
    limits = [
        group(1, CPU=0),
        group(8, "boost", CPU=8, GPU=1),
        group(1, "train", CPU=96, GPU=8),
        group(4, "cpu", CPU=16),
    ]
    cluster([{"CPU": 0.0}], limits)
    capacity.refuse(workers(8, gpus=1))
    told = r'8 of them even when all its nodes are there on nodes of label_selector \{"midb-ray/work": "!in\(boost,cpu\)"\}'
    with pytest.raises(UserError, match=told):
        capacity.refuse(workers(16, gpus=1))
    with pytest.raises(UserError, match="can hold 4 of them even when"):  # and 96 CPUs are not enough for 5 of 20
        capacity.refuse(workers(5, cpus=20, gpus=1))
    capacity.refuse(workers(16, gpus=1).model_copy(update={"label_selector": {}}))
    cluster([{"CPU": 0.0}], limits[:2])
    with pytest.raises(UserError, match=r"wants 1 GPU\(s\), and the cluster has none on nodes of label_selector"):
        capacity.refuse(workers(1, gpus=1))


@pytest.mark.slow
def test_the_limits_of_a_real_autoscaler_count(tmp_path: Path) -> None:
    growing = GrowingCluster(tmp_path, 8)  # of one GPU each that boost, and one of four for training
    asks = "from tests.training.test_capacity import try_real; try_real()"
    try:
        environment = {**growing.environment, "RAY_ADDRESS": growing.address}
        subprocess.run([sys.executable, "-c", asks], check=True, env=environment, timeout=150)
    finally:
        growing.close()


def try_real() -> None:
    ray.init(logging_level="ERROR", log_to_driver=False)
    capacity.refuse(workers(4, gpus=1))
    with pytest.raises(UserError, match="can hold 4 of them even when all its nodes are there on nodes of"):
        capacity.refuse(workers(5, gpus=1))
    assert not [node for node in ray.nodes() if node["Resources"].get("GPU")]  # to ask starts no machine


@pytest.mark.usefixtures("ray_cluster")
def test_a_real_cluster_says_what_it_has() -> None:
    assert growth.groups() == []  # nothing scales it
    capacity.refuse(workers(4))
    capacity.refuse(workers(2, gpus=1))
    with pytest.raises(UserError, match="workers is 5, each with 1 CPU, but the cluster can hold 4 of them"):
        capacity.refuse(workers(5))
    with pytest.raises(UserError, match="workers is 3, each with 1 CPU and 1 GPU, but the cluster can hold 2 of them"):
        capacity.refuse(workers(3, gpus=1))


def test_the_room_on_this_machine_is_known_without_a_cluster(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    found = capacity.room(workers(2, cpus=1))
    assert found.local
    assert found.workers >= 4  # a local cluster has at least so many logical CPUs
    assert found.memory is not None
    assert capacity.room(workers(4, cpus=1)).memory == pytest.approx(found.memory / 2, rel=0.01)


def test_a_cluster_that_does_not_answer_is_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ray, "is_initialized", lambda: False)  # as a job begins
    with pytest.raises(UserError, match=r"^Cannot reach a Ray cluster at '127\.0\.0\.1:1'"):
        capacity.room(workers(2).model_copy(update={"address": "127.0.0.1:1"}))
