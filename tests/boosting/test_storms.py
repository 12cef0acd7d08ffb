"""What a run lives through without being told: storage that is gone for a while or slow, an object store that is full, a
node whose cable is pulled and plugged in again. Every row comes out exactly once, and the job ends well."""

from __future__ import annotations

import io
import json
import os
import sys
import time
from pathlib import Path
from typing import Any

import boto3
import pyarrow.parquet as pq
import pytest

from midb_ray.runs import storage
from tests.boosting.jobs import wait_until
from tests.namespaces import Nodes

pytestmark = pytest.mark.slow
GONE = 30.0  # seconds
ROWS, NODE_ROWS, SHARD_ROWS, REPLICAS, IN_FLIGHT = 360, 960, 12, 2, 2


def command(corpus: Path, output: object, *more: str, delay: float = 0.05) -> list[str]:
    return [
        *(sys.executable, "-m", "midb_ray.cli", "boost", "--input", str(corpus), "--output", str(output)),
        *("--engine.kind", "echo", "--engine.echo-delay", str(delay), "--shard-rows", str(SHARD_ROWS)),
        *("--pool.replicas", str(REPLICAS), "--pool.shards-in-flight", str(IN_FLIGHT)),
        *("--progress-seconds", "1", *more),
    ]


class Bucket:
    """An output folder on S3, looked at without the wire that the job uses."""

    def __init__(self, port: int, name: str) -> None:
        self._name = name
        self._client = boto3.client("s3", endpoint_url=f"http://127.0.0.1:{port}", region_name="us-east-1")

    def names(self, folder: str) -> list[str]:
        listed = self._client.list_objects_v2(Bucket=self._name, Prefix=f"run/{folder}/")
        keys = [each["Key"] for each in listed.get("Contents", [])]
        return [key for key in keys if not key.endswith("/")]  # what pyarrow leaves where a folder was

    def rows(self) -> list[str]:
        tables = [pq.read_table(io.BytesIO(self._read(name)), columns=["row"]) for name in self.names("pairs")]
        return sorted(row for table in tables for row in table.column("row").to_pylist())

    def summary(self) -> dict[str, Any]:
        return dict(json.loads(self._read("run/summary.json")))

    def _read(self, name: str) -> bytes:
        return bytes(self._client.get_object(Bucket=self._name, Key=name)["Body"].read())


@pytest.fixture
def bucket(s3: str, s3_port: int) -> Bucket:
    return Bucket(s3_port, s3.removeprefix("s3://"))


def expected(corpus: Path, rows: int = ROWS) -> list[str]:
    return sorted(f"{corpus}:{line}" for line in range(1, rows + 1))


def test_storage_that_is_gone_for_half_a_minute_and_then_slow_costs_time_and_nothing_else(
    s3: str, wire, bucket: Bucket, make_corpus, start, tell
) -> None:
    corpus = make_corpus(ROWS)
    job = start(command(corpus, f"{s3}/run"))
    wait_until(lambda: len(bucket.names("pairs")) >= 8, job)
    wire.cut()
    time.sleep(GONE)
    before = len(bucket.names("pairs"))
    assert job.poll() is None
    wire.mend()
    mended = time.monotonic()
    wait_until(lambda: len(bucket.names("pairs")) >= before + 1, job)
    tell(f"From the mended wire to the next commit: {time.monotonic() - mended:.0f} s")

    wire.pause = 0.5  # the engines wait for it, and nothing piles up before them
    inside = []
    while job.poll() is None:
        inside.append(len(bucket.names("attempts")))
        time.sleep(0.5)
    assert 0 < max(inside) <= REPLICAS * IN_FLIGHT
    assert job.wait() == 0
    assert bucket.rows() == expected(corpus)
    assert bucket.summary()["complete"]
    assert bucket.names("attempts") == []


def test_an_object_store_much_smaller_than_what_goes_through_it(tmp_path: Path, books, start, other_cluster) -> None:
    corpus, output, rows = tmp_path / "corpus.jsonl", tmp_path / "run", 1200
    with corpus.open("w", encoding="utf-8") as file:
        for number in range(rows):
            long = f"Satz {number} steht hier für viele andere und sagt nichts. " * 2000
            row = {
                "id": f"id-{number}",
                "instruction": "Fasse zusammen.",
                "input": long,
                "output": "Gern",
                "language": "de",
            }
            file.write(json.dumps(row) + "\n")
    cluster = other_cluster(num_cpus=4, object_store_memory=80 << 20)
    job = start(command(corpus, output, "--guard.language", "false"), {**os.environ, "RAY_ADDRESS": cluster.address})
    assert job.wait(timeout=500) == 0
    assert books(output).rows == expected(corpus, rows)


def test_a_node_that_is_cut_off_and_comes_back_loses_nothing(tmp_path: Path, make_corpus, books, start, tell) -> None:
    """The shards take so long that the other nodes cannot do all of them before the cable is back."""
    delay = 2 * REPLICAS * IN_FLIGHT * GONE / NODE_ROWS  # half of the rows while it is gone
    corpus, output = make_corpus(NODE_ROWS), tmp_path / "run"
    parts = output / "pairs"

    def committed() -> int:
        return len(list(parts.glob("part-*.parquet")))

    with Nodes(3, 3, 3) as nodes:
        job = start(
            [*nodes.within(0), *command(corpus, output, "--pool.cpus-per-replica", "2", delay=delay)],
            {**os.environ, "RAY_ADDRESS": nodes.address},
        )
        wait_until(lambda: committed() >= 8, job, 300)
        nodes.cut(1)
        cut = time.monotonic()
        time.sleep(GONE)
        before = committed()
        nodes.mend(1)
        wait_until(lambda: committed() >= before + 1, job, 300)
        tell(f"From the cut to the first commit after it was mended: {time.monotonic() - cut:.0f} s")
        assert job.wait(timeout=400) == 0
    assert books(output).rows == expected(corpus, NODE_ROWS)
    assert books(output).left_over == []
    assert storage.is_local(str(output))
