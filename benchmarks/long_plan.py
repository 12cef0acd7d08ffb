"""A plan of 200,000 shards of 8 pairs through one pool that is never restarted: does anything grow with the plan?

    python benchmarks/long_plan.py [--shards 200000] [--scratch FOLDER] [--output FILE.json]

The engine is `echo`, so all of the time is the machinery's own. Reported are the seconds for a thousand shards over the run,
the resident memory of the driver beside them (heap and stacks; what it shares with Ray's object store is apart), and what a plan
of 10,000,000 shards would come to if both went on growing as they did between the first and the last quarter; what has become less
counts as not growing.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, NamedTuple

import processes
import psutil

ROWS = 8
PAUSE = 2.0  # seconds between looks
LARGE = 10_000_000  # shards to which the growth is carried on


class Look(NamedTuple):
    """What was seen at one moment: seconds since the first shard, shards committed, MiB of the driver and of all its workers."""

    seconds: float
    shards: int
    driver: float
    workers: float


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shards", type=int, default=200_000)
    parser.add_argument("--replicas", type=int, default=2)
    parser.add_argument("--scratch", type=Path, default=None, help="folder for corpus and run (20 KB for a shard)")
    parser.add_argument("--output", type=Path, default=None, help="JSON file for everything that was seen")
    arguments = parser.parse_args()
    scratch = Path(tempfile.mkdtemp(prefix="midb-bench-", dir=arguments.scratch))
    try:
        processes.make_corpus(scratch / "corpus.jsonl", arguments.shards * ROWS)
        looks = run(scratch, arguments.replicas)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    if arguments.output:
        arguments.output.write_text(json.dumps([look._asdict() for look in looks]))
    report(looks)


def run(scratch: Path, replicas: int) -> list[Look]:
    """The job in a process of its own, watched from its first shard on. Raises SystemExit if it fails or loses a row."""
    output, log = scratch / "run", scratch / "log"
    command = [
        *(sys.executable, "-m", "midb_ray.cli", "boost", "--input", str(scratch / "corpus.jsonl")),
        *("--output", str(output), "--engine.kind", "echo", "--shard-rows", str(ROWS), "--guard.language", "false"),
        *("--pool.replicas", str(replicas), "--progress-seconds", "1"),
    ]
    looks: list[Look] = []
    with log.open("wb") as file:
        job = subprocess.Popen(command, stdout=file, stderr=subprocess.STDOUT)
        while job.poll() is None:
            time.sleep(PAUSE)
            look = _look(output, job.pid)
            if look and (not looks or look.shards > looks[-1].shards):
                looks.append(look)
                if len(looks) % 15 == 1:
                    print(f"  {look.seconds:,.0f} s: {look.shards:,} shards, driver {look.driver:,.0f} MiB", flush=True)
    if job.returncode:
        raise SystemExit(f"The job failed with {job.returncode}:\n{log.read_text()[-3000:]}")
    summary = json.loads((output / "summary.json").read_text())
    assert summary["complete"], summary
    return looks


def _look(output: Path, driver: int) -> Look | None:
    try:
        state: dict[str, Any] = json.loads((output / "progress.json").read_text())
        mine = processes.anonymous(driver)
        theirs = sum(processes.anonymous(worker.pid) for worker in processes.workers(driver))
    except (OSError, ValueError, psutil.Error):
        return None
    return Look(state["seconds"], state["rows_in"] // ROWS, mine, theirs) if state["rows_in"] else None


def report(looks: list[Look]) -> None:
    """Tenths of the run beside each other, and the growth between the first and the last quarter carried on."""
    total = looks[-1].shards
    print(f"{total:,} shards of {ROWS} pairs in {looks[-1].seconds:,.0f} s after the plan was made")
    for tenth in range(10):
        part = [look for look in looks if total * tenth / 10 <= look.shards <= total * (tenth + 1) / 10]
        if len(part) > 1:
            print(
                f"  shards {part[0].shards:>9,} to {part[-1].shards:>9,}: {_pace(part):6.2f} s per 1,000 shards, "
                f"driver {_mean(part):7.1f} MiB, workers {sum(look.workers for look in part) / len(part):7.1f} MiB"
            )
    quarters = [
        [look for look in looks if low <= look.shards / total <= high] for low, high in ((0.05, 0.3), (0.75, 1))
    ]
    if min(map(len, quarters)) < 2:
        return
    distance = (sum(look.shards for look in quarters[1]) / len(quarters[1])) - (
        sum(look.shards for look in quarters[0]) / len(quarters[0])
    )
    pace = (_pace(quarters[1]) - _pace(quarters[0])) / distance
    memory = (_mean(quarters[1]) - _mean(quarters[0])) / distance
    print(
        f"growth for each 100,000 shards: {pace * 1e5:+.3f} s per 1,000 shards, driver {memory * 1e5:+.1f} MiB; carried on to "
        f"{LARGE:,} shards: {_pace(quarters[1]) + max(pace, 0) * LARGE:.2f} s per 1,000 shards, driver "
        f"{_mean(quarters[1]) + max(memory, 0) * LARGE:,.0f} MiB"
    )


def _pace(looks: list[Look]) -> float:
    """Seconds for a thousand shards."""
    return 1000 * (looks[-1].seconds - looks[0].seconds) / max(looks[-1].shards - looks[0].shards, 1)


def _mean(looks: list[Look]) -> float:
    return sum(look.driver for look in looks) / len(looks)


if __name__ == "__main__":
    main()
