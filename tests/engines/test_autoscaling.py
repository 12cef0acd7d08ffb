"""A pool between bounds on a cluster that can grow: nodes come with the queue and go after it."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from benchmarks.growing_cluster import GrowingCluster
from tests.boosting.conftest import RunBooks

pytestmark = pytest.mark.slow

ROWS, MOST = 2400, 4


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[GrowingCluster]:
    cluster = GrowingCluster(tmp_path, MOST)
    yield cluster
    cluster.close()


def tell(started: float, what: str) -> None:
    """A line of the time line, seen with `pytest -s`."""
    sys.stderr.write(f"{time.monotonic() - started:4.0f} s: {what}\n")


def test_a_pool_grows_with_the_queue_and_shrinks_after_it(tmp_path: Path, cluster: GrowingCluster) -> None:
    corpus, output = tmp_path / "corpus.jsonl", tmp_path / "run"
    with corpus.open("w", encoding="utf-8") as file:
        for number in range(ROWS):
            row = {"id": str(number), "instruction": f"Frage {number}", "input": "", "output": "Die  Antwort"}
            file.write(json.dumps({**row, "language": "de"}) + "\n")
    command = [sys.executable, "-m", "midb_ray.cli", "boost", "--input", str(corpus), "--output", str(output)]
    command += ["--engine.kind", "echo", "--engine.echo-delay", "0.1", "--shard-rows", "10", "--progress-seconds", "5"]
    command += ["--pool.replicas", "1", str(MOST), "--pool.gpus-per-replica", "1", "--pool.shards-in-flight", "2"]
    sizes = [cluster.size()]
    job = subprocess.Popen([*command, "--address", cluster.address], env=cluster.environment)
    started, ended = time.monotonic(), None
    try:
        while ended is None or (sizes[-1].workers and time.monotonic() < ended + 180):
            time.sleep(1)
            if cluster.size() != sizes[-1]:
                sizes.append(cluster.size())
                tell(started, f"{sizes[-1].actors} actors, {sizes[-1].workers} workers")
            if ended is None and job.poll() is not None:
                ended = time.monotonic()
                tell(started, "the job is through")
            assert time.monotonic() < started + 400
    finally:
        job.kill()
    assert job.returncode == 0
    actors = [size.actors for size in sizes]
    assert max(actors) == MOST
    assert max(size.workers for size in sizes) >= MOST
    assert 1 in actors[: actors.index(MOST)]  # it began with the lower bound
    assert sizes[0] == sizes[-1] == (0, 0, 0)
    assert not any(size.trainers for size in sizes)
    books = RunBooks(output)
    assert books.rows == sorted(f"{corpus}:{line}" for line in range(1, ROWS + 1))
    assert len(books.summary["engines"]) >= MOST
