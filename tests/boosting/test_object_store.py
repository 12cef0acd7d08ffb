"""The whole job against a real S3 endpoint: input, staging and output are objects; the driver is killed on the way."""

from __future__ import annotations

import gzip
import io
import json
import subprocess
import sys
import time

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from midb_ray.runs import storage

pytestmark = pytest.mark.slow

ROWS, SHARD_ROWS = 300, 10


def test_a_job_from_s3_to_s3_survives_its_driver(s3: str, make_corpus, tmp_path) -> None:
    storage.write_bytes(f"{s3}/in/a.jsonl", make_corpus(ROWS).read_bytes())
    storage.write_bytes(f"{s3}/in/b.jsonl.gz", gzip.compress(make_corpus(ROWS, first=ROWS).read_bytes()))
    command = [
        *(sys.executable, "-m", "midb_ray.cli", "boost", "--input", f"{s3}/in", "--output", f"{s3}/out"),
        *("--engine.kind", "echo", "--engine.echo-delay", "0.02", "--shard-rows", str(SHARD_ROWS)),
    ]
    job = subprocess.Popen(command)
    deadline = time.monotonic() + 120
    while len(committed := parts(s3)) < 6:
        assert job.poll() is None, "the job ended before it could be disturbed"
        assert time.monotonic() < deadline, "the job did not get far enough to be disturbed"
        time.sleep(0.1)
    job.kill()
    job.wait()
    assert len(committed) < 2 * ROWS // SHARD_ROWS
    time.sleep(3)  # the workers of a dead driver leave by themselves
    committed = parts(s3)

    assert subprocess.run(command, check=False, timeout=150).returncode == 0
    after = parts(s3)
    assert {uri: after[uri] for uri in committed} == committed  # what was done is not done again
    rows = [row for uri in after for row in read(uri).column("row").to_pylist()]
    assert sorted(rows) == sorted(
        f"{s3}/in/{name}:{line}" for name in ("a.jsonl", "b.jsonl.gz") for line in range(1, ROWS + 1)
    )
    summary = json.loads(storage.read_bytes(f"{s3}/out/summary.json"))
    assert (summary["complete"], summary["rows_in"]) == (True, 2 * ROWS)
    assert storage.list_files(f"{s3}/out/attempts") == []


def parts(s3: str) -> dict[str, str]:
    """The committed files and when each was written."""
    return {file.uri: file.version for file in storage.list_files(f"{s3}/out/pairs")}


def read(uri: str) -> pa.Table:
    return pq.read_table(io.BytesIO(storage.read_bytes(uri)))
