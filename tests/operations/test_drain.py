"""A node that is boosting is drained by `ray drain-node` and goes: its shards go elsewhere, none is lost and none held suspect."""

from __future__ import annotations

import contextlib
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import psutil
import pytest

from midb_ray.runs import commit
from tests.boosting.conftest import CorpusMaker, RunBooks, make_corpus, start
from tests.boosting.jobs import NOTICE_DEATH_SOON, wait_until

pytestmark = pytest.mark.slow
__all__ = ["make_corpus", "start"]  # fixtures

SHARD_ROWS, NODES, REPLICAS, IN_FLIGHT = 12, 3, 2, 2  # a node stays free


class Boost(NamedTuple):
    """A boost job on a cluster whose nodes have loopback addresses of their own."""

    job: subprocess.Popen[bytes]
    corpus: Path
    output: Path
    log: Path
    address: str
    nodes: dict[str, Any]
    """By address."""

    def shards(self, address: str) -> set[int]:
        """The shards that were committed so far by the engine on a node."""
        found = set()
        for path in (self.output / commit.PAIRS).glob("part-*.parquet"):
            shard = commit.shard_of(path.name)
            part = commit.read_part(str(self.output), shard)
            if part is not None and address in [node for node, _ in part.figures.engines]:
                found.add(shard)
        return found

    def one_that_works_and_one_that_does_not(self) -> tuple[str, str]:
        """Wait until all engines have answered; the addresses of a node with one of them and of the one without."""
        working: list[str] = []

        def all_work() -> bool:
            working[:] = [address for address in self.nodes if self.shards(address)]
            return len(working) == REPLICAS

        wait_until(all_work, self.job)
        (spare,) = set(self.nodes) - set(working)
        return working[0], spare

    def raylet(self, address: str) -> subprocess.Popen[bytes]:
        found: subprocess.Popen[bytes] = self.nodes[address].all_processes["raylet"][0].process
        return found

    def drain(self, address: str, *more: str) -> None:
        command = [sys.executable, "-m", "ray.scripts.scripts", "drain-node", "--address", self.address]
        command += ["--node-id", self.nodes[address].node_id, "--reason", "DRAIN_NODE_REASON_PREEMPTION"]
        subprocess.run([*command, "--reason-message", "it is taken away", *more], check=True)

    def kill(self, address: str) -> None:
        """The whole node, as a spot machine goes."""
        raylet = self.raylet(address)
        processes = psutil.Process(raylet.pid).children(recursive=True)
        raylet.kill()
        for process in processes:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()

    def ends_well(self) -> None:
        assert self.job.wait(timeout=150) == 0
        run, lines = RunBooks(self.output), len(self.corpus.read_text().splitlines())
        assert run.rows == sorted(f"{self.corpus}:{line}" for line in range(1, lines + 1))
        assert run.summary["complete"]
        assert run.left_over == []
        assert "runs alone" not in self.log.read_text()


@pytest.fixture
def boost(
    tmp_path: Path, other_cluster: Callable[..., Any], make_corpus: CorpusMaker, start: Callable[..., Any]
) -> Callable[[int, float], Boost]:
    """`boost(shards, delay)` starts a job whose engines take so many seconds for a row."""

    def begin(shards: int, delay: float) -> Boost:
        corpus, log, output = make_corpus(shards * SHARD_ROWS), tmp_path / "log", tmp_path / "run"
        cluster = other_cluster(num_cpus=1, _system_config=NOTICE_DEATH_SOON)
        nodes = [cluster.add_node(num_cpus=2, node_ip_address=f"127.0.0.{2 + number}") for number in range(NODES)]
        command = [sys.executable, "-m", "midb_ray.cli", "boost", "--input", str(corpus), "--output", str(output)]
        command += ["--engine.kind", "echo", "--engine.echo-delay", str(delay), "--shard-rows", str(SHARD_ROWS)]
        command += ["--pool.replicas", str(REPLICAS), "--pool.cpus-per-replica", "2"]
        command += ["--pool.shards-in-flight", str(IN_FLIGHT), "--address", cluster.address]
        with log.open("wb") as said:
            job = start(command, stdout=said, stderr=said)
        return Boost(job, corpus, output, log, cluster.address, {node.node_ip_address: node for node in nodes})

    return begin


def test_a_drained_node_finishes_what_it_has_and_goes_and_its_engine_goes_on_elsewhere(
    boost: Callable[[int, float], Boost],
) -> None:
    run = boost(45, 0.2)
    leaving, spare = run.one_that_works_and_one_that_does_not()
    run.drain(leaving)
    wait_until(lambda: run.raylet(leaving).poll() is not None, run.job)  # by itself: no time was set
    there = run.shards(leaving)
    wait_until(lambda: len(run.shards(spare)) >= 2, run.job)
    run.ends_well()
    assert run.shards(leaving) == there


def test_a_node_that_is_killed_at_its_deadline_loses_nothing_and_makes_no_shard_suspect(
    boost: Callable[[int, float], Boost],
) -> None:
    run, seconds = boost(12, 0.6), 6  # a shard takes longer than that
    leaving, spare = run.one_that_works_and_one_that_does_not()
    run.drain(leaving, "--deadline-remaining-seconds", str(seconds))
    time.sleep(seconds)
    run.kill(leaving)
    there = run.shards(leaving)
    run.ends_well()
    assert "shards that are done again" in run.log.read_text()  # the time did not suffice
    assert run.shards(leaving) == there
    assert run.shards(spare)
