"""Every task and every actor of a job asks for nodes that may do its work: without, an autoscaler starts whatever fits."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import ray
from ray.actor import ActorClass
from ray.remote_function import RemoteFunction

from midb_ray import cli
from midb_ray.engines.pool_settings import PoolSettings
from midb_ray.runs import cluster, labels
from tests.boosting.conftest import CorpusMaker, make_corpus

pytestmark = pytest.mark.usefixtures("ray_cluster")
__all__ = ["make_corpus"]  # a fixture


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, str] | None]:
    """The label selectors of all that asks for CPUs or GPUs from now on."""
    found: list[dict[str, str] | None] = []

    def record(kind: Any) -> None:
        submit = kind._remote

        def recorded(self: Any, *given: Any, **options: Any) -> Any:
            if options.get("num_cpus", 1) or options.get("num_gpus"):
                found.append(options.get("label_selector"))
            return submit(self, *given, **options)

        monkeypatch.setattr(kind, "_remote", recorded)

    record(RemoteFunction)
    record(ActorClass)
    return found


def run(asked: list[dict[str, str] | None], *arguments: object) -> list[dict[str, str] | None]:
    """Run a job; the label selectors that it asked with, each once."""
    asked.clear()
    assert cli.main([str(argument) for argument in arguments]) == 0
    assert asked
    return [selector for place, selector in enumerate(asked) if selector not in asked[:place]]


def test_all_that_a_job_starts_asks_for_its_machines(
    tmp_path: Path, make_corpus: CorpusMaker, asked: list[dict[str, str] | None]
) -> None:
    corpus, boosted, scored = make_corpus(12), tmp_path / "boosted", tmp_path / "scored"
    small = ["--shard-rows", 4]
    on_gpus = PoolSettings(gpus_per_replica=1).nodes
    pool = ["--engine.kind", "echo", "--pool.gpus-per-replica", 1]
    assert run(asked, "boost", "--input", corpus, "--output", boosted, *small, *pool) == [on_gpus]
    scoring = ["score", "--input", boosted / "pairs", "--output", scored, *small, "--sisters.on", "true"]
    assert run(asked, *scoring) == [labels.ELSE]
    own = {"machine": "!slow"}
    assert run(asked, *scoring, "--fresh", "--pool.label-selector", json.dumps(own)) == [own]


def test_work_that_no_node_may_do_is_told_and_not_only_waited_for(
    listen: Callable[[object], list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    heard = listen(cluster)
    monkeypatch.setattr(cluster, "_told", set())
    assert list(cluster.map_remotely(str, [1])) == ["1"]
    assert heard == []
    labelled = [{**node, "Labels": {labels.WORK: "train"}} for node in ray.nodes()]
    monkeypatch.setattr(ray, "nodes", lambda: labelled)
    cluster.tell_waiting(labels.but("boost"))
    assert heard == []
    assert list(cluster.map_remotely(str, [])) == []
    assert heard == []
    for _ in range(2):
        assert list(cluster.map_remotely(str, [1, 2])) == ["1", "2"]
    assert heard == [
        'No node that is there has CPUs and the labels for this work, {"midb-ray/work": "!in(boost,train)"}: it waits until one '
        "comes."
    ]
