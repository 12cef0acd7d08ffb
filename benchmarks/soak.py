"""Two million pairs through four engine actors, one killed every 20 seconds: is anything lost or doubled, does memory grow?

    python benchmarks/soak.py [--pairs 2000000] [--every 20] [--scratch FOLDER]

The engine is `echo`. The victim is killed with SIGKILL by its process id, one actor after the other. At the end every row's
identity is looked up in the output, a file at a time, and the memory of the driver and of the largest worker in the first and the
last third of the run stand beside each other.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

import numpy as np
import processes
import psutil
import pyarrow.parquet as pq

SHARD_ROWS, REPLICAS = 256, 4
PAUSE = 1.0  # seconds between looks


class Look(NamedTuple):
    """Seconds since the job's first shard, MiB of anonymous memory of its driver and of its largest worker."""

    seconds: float
    driver: float
    worker: float


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pairs", type=int, default=2_000_000)
    parser.add_argument("--every", type=float, default=20, help="seconds between two kills")
    parser.add_argument(
        "--scratch", type=Path, default=None, help="folder for corpus and run (about 1 GB for a million)"
    )
    arguments = parser.parse_args()
    scratch = Path(tempfile.mkdtemp(prefix="midb-bench-", dir=arguments.scratch))
    try:
        processes.make_corpus(scratch / "corpus.jsonl", arguments.pairs)
        started = time.monotonic()
        looks, kills = soak(scratch, arguments.every)
        seconds = time.monotonic() - started
        lost, doubled = audit(scratch / "run", arguments.pairs)
        summary = json.loads((scratch / "run" / "summary.json").read_text())
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    crashed = sum(counts.get("engine_crash", 0) for counts in summary["reasons"].values())
    print(f"{arguments.pairs:,} pairs in {seconds:,.0f} s, {kills} actors killed")
    print(
        f"lost: {lost}, doubled: {doubled}, given up as engine_crash: {crashed}, books balance: {summary['complete']}"
    )
    third = max(len(looks) // 3, 1)
    for name, part in (("first", looks[:third]), ("last", looks[-third:])):
        driver, worker = (sum(values) / len(part) for values in list(zip(*part, strict=True))[1:])
        print(f"{name} third: driver {driver:,.0f} MiB, largest worker {worker:,.0f} MiB")
    if not kills or lost or doubled or crashed or not summary["complete"]:
        raise SystemExit(1)


def soak(scratch: Path, every: float) -> tuple[list[Look], int]:
    """The job in a process of its own, disturbed; what was seen, and how many actors were killed. Raises SystemExit if it fails."""
    output, log = scratch / "run", scratch / "log"
    command = [
        sys.executable,
        "-m",
        "midb_ray.cli",
        "boost",
        "--input",
        str(scratch / "corpus.jsonl"),
        "--output",
        str(output),
    ]
    command += ["--engine.kind", "echo", "--shard-rows", str(SHARD_ROWS), "--pool.replicas", str(REPLICAS)]
    command += ["--pool.cpus-per-replica", "0.5", "--guard.language", "false", "--progress-seconds", "5"]
    looks: list[Look] = []
    kills, begun, due = 0, 0.0, float("inf")
    with log.open("wb") as file:
        job = subprocess.Popen(command, stdout=file, stderr=subprocess.STDOUT)
        while job.poll() is None:
            time.sleep(PAUSE)
            now = time.monotonic()
            if not begun:
                if any((output / "pairs").glob("part-*")):
                    begun, due = now, now + every
                continue
            sizes = [processes.anonymous(worker.pid) for worker in processes.workers(job.pid)]
            looks.append(Look(now - begun, processes.anonymous(job.pid), max(sizes, default=0.0)))
            actors = processes.actors(job.pid)
            if now >= due and actors:
                with contextlib.suppress(psutil.NoSuchProcess):
                    actors[kills % len(actors)].kill()
                    kills += 1
                due = now + every
                print(
                    f"  {now - begun:,.0f} s: {kills} killed, {len(list((output / 'pairs').iterdir())):,} shards",
                    flush=True,
                )
    if job.returncode:
        raise SystemExit(f"The job failed with {job.returncode}:\n{log.read_text()[-3000:]}")
    return looks, kills


def audit(run: Path, pairs: int) -> tuple[int, int]:
    """How many rows are in no file of the output, and how many more than once."""
    seen = np.zeros(pairs, dtype=np.uint8)
    for path in (run / "pairs").iterdir():
        ids = np.array(pq.read_table(path, columns=["id"]).column("id").to_pylist(), dtype=np.int64)
        np.add.at(seen, ids, 1)
    return int((seen == 0).sum()), int((seen > 1).sum())


if __name__ == "__main__":
    main()
