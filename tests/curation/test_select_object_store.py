"""The select job against a real S3 endpoint: runs, buckets and selection are objects; the driver is killed on the way."""

from __future__ import annotations

import io
import json
import subprocess
import sys
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from midb_ray.runs import storage
from tests.boosting.jobs import wait_until
from tests.curation.select_runs import row, scored, text

pytestmark = pytest.mark.slow


def test_a_selection_from_s3_to_s3_survives_its_driver_and_leaves_no_buckets(tmp_path: Path, s3: str) -> None:
    rows = [
        row(number, score=float(number % 97), instruction="Tell me.", response=text(number % 2_000, 30))
        for number in range(2_400)
    ]
    given, out = scored(f"{s3}/scored", rows, 300), f"{s3}/selected"
    command = [sys.executable, "-m", "midb_ray.cli", "select", "--input", given, "--output", out, "--keep", "0.5"]
    job = subprocess.Popen(command)
    wait_until(lambda: any("/units/" in file.uri for file in storage.list_files(f"{out}/buckets", recursive=True)), job)
    job.kill()
    job.wait()
    assert storage.info(f"{out}/summary.json") is None
    assert subprocess.run(command, check=False, timeout=250).returncode == 0
    names = [file.uri.removeprefix(f"{out}/") for file in storage.list_files(out, recursive=True)]
    assert not [name for name in names if name.startswith("buckets")]
    told = json.loads(storage.read_bytes(f"{out}/summary.json"))
    assert (told["complete"], told["rows"]) == (True, 2_400)
    found = [
        name
        for folder in ("pairs", "excluded")
        for file in storage.list_files(f"{out}/{folder}")
        for name in pq.read_table(io.BytesIO(storage.read_bytes(file.uri))).column("row").to_pylist()
    ]
    assert sorted(found) == sorted(one["row"] for one in rows)
    assert told["reasons"]["duplicate"] == 400
