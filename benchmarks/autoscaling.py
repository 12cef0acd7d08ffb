"""boost with a pool of one to four engines on a cluster that has no worker when it begins: nodes come, and go when it is through.

    python benchmarks/autoscaling.py [--rows 1600] [--plot docs/autoscaling.svg] [--scratch FOLDER]

Ray's autoscaler runs as in a cloud; its nodes are pretended ones on this machine, each with one logical GPU. The engine is `echo`
with a pause for each row. Counts of nodes and engines are counts of processes. Fails if a pair is lost or doubled, if there was a
worker before the job, if there were never several, or if one stays.
"""

from __future__ import annotations

import argparse
import itertools
import json
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import autoscaling_plot
import processes
from autoscaling_plot import Look
from growing_cluster import IDLE_SECONDS, GrowingCluster
from soak import audit

LEAST, MOST = 1, 4
SHARD_ROWS, DELAY = 10, 0.5  # seconds for each row, so five for a shard: engines are what is short, not processors
PAUSE = 0.5  # seconds between looks
_AFTERWARDS = 180.0  # seconds that the last node may take to go
_STILL = 10  # looks without a node until it is over


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=1600)
    parser.add_argument("--plot", type=Path, default=Path("docs/autoscaling.svg"))
    parser.add_argument("--scratch", type=Path, default=None, help="folder for corpus and run")
    arguments = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that the cluster goes too
    scratch = Path(tempfile.mkdtemp(prefix="midb-bench-", dir=arguments.scratch))
    try:
        processes.make_corpus(scratch / "corpus.jsonl", arguments.rows)
        cluster = GrowingCluster(scratch, MOST)
        try:
            looks, ended = watch(cluster, scratch)
        finally:
            cluster.close()
        lost, doubled = audit(scratch / "run", arguments.rows)
        summary = json.loads((scratch / "run" / "summary.json").read_text())
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    print(f"{arguments.rows:,} pairs in {ended:,.0f} s by {len(summary['engines'])} engines")
    print(f"lost: {lost}, doubled: {doubled}, books balance: {summary['complete']}")
    told(looks, ended)
    wrong = faults(looks)
    print("\n".join(wrong), file=sys.stderr)
    if wrong or lost or doubled or not summary["complete"]:
        raise SystemExit(1)
    arguments.plot.write_text(autoscaling_plot.draw(looks, ended), encoding="utf-8")


def watch(cluster: GrowingCluster, scratch: Path) -> tuple[list[Look], float]:
    """What there was, from before the job until all its nodes are gone, and the second in which it was through. Raises SystemExit
    if the job fails."""
    output = scratch / "run"
    command = [sys.executable, "-m", "midb_ray.cli", "boost", "--address", cluster.address, "--output", str(output)]
    command += ["--input", str(scratch / "corpus.jsonl"), "--shard-rows", str(SHARD_ROWS), "--progress-seconds", "5"]
    command += ["--engine.kind", "echo", "--engine.echo-delay", str(DELAY), "--guard.language", "false"]
    command += ["--pool.replicas", str(LEAST), str(MOST), "--pool.gpus-per-replica", "1"]
    command += ["--pool.shards-in-flight", "2"]
    looks = [_look(cluster, output, 0.0)]
    ended: float | None = None
    with (scratch / "log").open("wb") as log:
        started = time.monotonic()
        job = subprocess.Popen(command, env=cluster.environment, stdout=log, stderr=subprocess.STDOUT)
        try:
            while ended is None or (_nodes(looks[-_STILL:]) and looks[-1].seconds < ended + _AFTERWARDS):
                time.sleep(PAUSE)
                if ended is None and job.poll() is not None:
                    ended = time.monotonic() - started
                looks.append(_look(cluster, output, time.monotonic() - started))
                if looks[-1][1:3] != looks[-2][1:3]:
                    print("  {:4.0f} s: {} workers, {} engines, {} shards".format(*looks[-1]), flush=True)
        finally:
            job.kill()
            job.wait()
    if job.returncode:
        raise SystemExit(f"The job failed with {job.returncode}:\n{(scratch / 'log').read_text()[-3000:]}")
    return looks, ended


def _look(cluster: GrowingCluster, output: Path, seconds: float) -> Look:
    actors, workers, trainers = cluster.size()
    if trainers:
        raise SystemExit("A machine for training came up for engines that boost.")
    return Look(seconds, workers, actors, sum(1 for _ in (output / "pairs").glob("part-*.parquet")))


def _nodes(looks: Sequence[Look]) -> bool:
    return any(look.workers for look in looks)


def faults(looks: Sequence[Look]) -> list[str]:
    """What did not go from nothing to several workers and back, a sentence each."""
    first, last, peak = looks[0], looks[-1], max(look.workers for look in looks)
    found = []
    if first.workers:
        found.append(f"There were {first.workers} workers before the job; expected none.")
    if peak < 2:
        found.append(f"There were {peak} workers at most; expected several.")
    if last.workers or last.actors:
        found.append(f"{last.workers} workers and {last.actors} engines are left; expected none.")
    return found


def told(looks: Sequence[Look], ended: float) -> None:
    """Print when there was how much, and what of it was paid for and used."""
    first, most = (
        next((look.seconds for look in looks if look.workers >= number), float("nan")) for number in (1, MOST)
    )
    spent = {
        name: sum(getattr(look, name) * (after.seconds - look.seconds) for look, after in itertools.pairwise(looks))
        for name in ("workers", "actors")
    }
    print(f"first worker after {first:.0f} s, {MOST} after {most:.0f} s")
    last = max((look.seconds for look in looks if look.workers), default=ended)
    print(f"all gone {last - ended:.0f} s after the job, with an idle time-out of {IDLE_SECONDS} s")
    print(f"{spent['workers']:,.0f} node-seconds, {spent['actors']:,.0f} of them with an engine")


if __name__ == "__main__":
    main()
