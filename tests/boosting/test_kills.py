"""Processes are killed for real in the middle of a run; every row comes out exactly once all the same."""

from __future__ import annotations

import itertools
import json
import os
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
import ray

from tests.boosting.earlier_runs import finished_run
from tests.boosting.jobs import NOTICE_DEATH_SOON, below, wait_until

pytestmark = pytest.mark.slow

ROWS, SHARD_ROWS, REPLICAS, IN_FLIGHT = 960, 12, 2, 2


def command(corpus: Path, output: Path, *more: str) -> list[str]:
    return [
        *(sys.executable, "-m", "midb_ray.cli", "boost", "--input", str(corpus), "--output", str(output)),
        *("--engine.kind", "echo", "--engine.echo-delay", "0.02", "--shard-rows", str(SHARD_ROWS)),
        *("--pool.replicas", str(REPLICAS), "--pool.shards-in-flight", str(IN_FLIGHT), "--progress-seconds", "1"),
        *more,
    ]


@pytest.fixture
def shared(ray_cluster: None) -> dict[str, str]:
    """The environment of a job that uses the session's cluster, which stays when the job is killed."""
    return environment(ray.get_runtime_context().gcs_address)


def environment(address: str) -> dict[str, str]:
    return {**os.environ, "RAY_ADDRESS": address}


def committed(output: Path) -> dict[str, int]:
    """The committed shards and when each was written."""
    return {path.name: path.stat().st_mtime_ns for path in (output / "pairs").glob("part-*.parquet")}


def pause(output: Path, since: float) -> str:
    """The longest time without a commit after that moment, in words."""
    moments = sorted(when / 1e9 for when in committed(output).values() if when / 1e9 > since)
    longest = max(later - sooner for sooner, later in itertools.pairwise([since, *moments]))
    return f"no shard was committed for {longest:.1f} s at most, of {moments[-1] - since:.0f} s to the end"


def actors(job: subprocess.Popen[bytes]) -> list[psutil.Process]:
    """The engine actors below a job's process."""
    return below(job, "MapWorker")


def test_a_killed_driver_resumes_and_repeats_only_what_was_inside_the_actors(
    tmp_path, make_corpus, books, start, shared
) -> None:
    corpus, output = make_corpus(ROWS), tmp_path / "run"
    job = start(command(corpus, output), shared)
    wait_until(lambda: len(committed(output)) >= 10, job)
    job.kill()
    job.wait()
    time.sleep(3)  # the workers of a dead driver leave by themselves
    before = committed(output)
    begun = list((output / "attempts").glob("*.json"))
    assert len(before) < ROWS // SHARD_ROWS
    assert len(begun) <= REPLICAS * IN_FLIGHT

    assert start(command(corpus, output), shared).wait(timeout=120) == 0
    assert {name: committed(output)[name] for name in before} == before
    run = books(output)
    assert run.rows == sorted(f"{corpus}:{line}" for line in range(1, ROWS + 1))
    assert run.summary["complete"]
    assert run.left_over == []


def test_a_run_that_is_tried_again_survives_its_driver(tmp_path, books, start, shared) -> None:
    earlier, output = finished_run(tmp_path / "earlier", ROWS, SHARD_ROWS, dead_every=10), tmp_path / "run"
    before = books(earlier)
    again = command(earlier, output, "--only", "kept_original", "boosted")
    job = start(again, shared)
    wait_until(lambda: len(committed(output)) >= 8, job, seconds=240)
    job.kill()
    job.wait()
    time.sleep(3)  # the workers of a dead driver leave by themselves
    done = committed(output)
    assert len(done) < ROWS // SHARD_ROWS // 2

    assert start(again, shared).wait(timeout=120) == 0
    assert {name: committed(output)[name] for name in done} == done
    run = books(output)
    assert run.rows == before.rows
    assert run.dead_letters.to_pylist() == before.dead_letters.to_pylist()
    tried = [row for row in before.pairs.to_pylist() if row["decision"] in ("kept_original", "boosted")]
    after = {row["row"]: row for row in run.pairs.to_pylist()}
    assert {after[row["row"]]["answer_tokens"] for row in tried} == {0}  # echo's; the earlier run's counts are not
    assert all(after[row["row"]] == row for row in before.pairs.to_pylist() if row not in tried)
    assert run.left_over == []


def test_a_driver_that_is_killed_at_its_cap_leaves_no_halt_behind(tmp_path, make_corpus, books, start, shared) -> None:
    corpus, output = make_corpus(ROWS), tmp_path / "run"
    job = start(command(corpus, output, "--engine.echo-delay", "0.2", "--caps.hours", "0.003"), shared)
    wait_until(lambda: (output / "halt").exists(), job, seconds=240)
    job.kill()
    job.wait()
    time.sleep(3)
    done = committed(output)
    assert len(done) < ROWS // SHARD_ROWS
    capped = start(command(corpus, output, "--caps.hours", "0.0001"), shared)
    assert capped.wait(timeout=120) == 4  # what was spent before the kill counts
    assert start(command(corpus, output, "--caps.hours", "1"), shared).wait(timeout=120) == 0
    assert {name: committed(output)[name] for name in done} == done
    run = books(output)
    assert run.rows == sorted(f"{corpus}:{line}" for line in range(1, ROWS + 1))
    assert run.summary["complete"]
    assert 0.003 <= run.summary["spent"]["hours"] < 1


def test_a_killed_actor_is_replaced_and_nothing_is_lost(tmp_path, make_corpus, books, start, tell) -> None:
    corpus, output = make_corpus(ROWS), tmp_path / "run"
    job = start(command(corpus, output))
    wait_until(lambda: len(committed(output)) >= 10, job)
    victim = actors(job)[0]
    victim.kill()
    killed = time.time()
    assert job.wait(timeout=120) == 0
    tell(f"After the kill of an actor {pause(output, killed)}")
    run = books(output)
    assert run.rows == sorted(f"{corpus}:{line}" for line in range(1, ROWS + 1))
    assert "engine_crash" not in json.dumps(run.summary)
    assert run.left_over == []


def test_a_killed_node_loses_nothing(tmp_path, make_corpus, books, start, tell, other_cluster) -> None:
    corpus, output = make_corpus(ROWS), tmp_path / "run"
    cluster = other_cluster(num_cpus=3, _system_config=NOTICE_DEATH_SOON)
    nodes = [cluster.add_node(num_cpus=2) for _ in range(2)]
    job = start(command(corpus, output, "--pool.cpus-per-replica", "2"), environment(cluster.address))
    wait_until(lambda: len(committed(output)) >= 10, job)
    raylet = nodes[1].all_processes["raylet"][0].process
    raylet.kill()
    killed = time.time()
    assert job.wait(timeout=150) == 0
    tell(f"After the kill of a node {pause(output, killed)}")
    run = books(output)
    assert run.rows == sorted(f"{corpus}:{line}" for line in range(1, ROWS + 1))
    assert run.summary["complete"]
