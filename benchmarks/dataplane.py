"""A million pairs through everything but a model: pairs/s and peak memory, beside plain pyarrow on the same files.

    python benchmarks/dataplane.py [--pairs 1000000] [--output benchmarks.json]

Pairs are made by recombining the sample corpus to the length of machine-translated Alpaca data (about 370 characters). Each
job is a process of its own, as a user would start it; memory is read every other second: the anonymous memory of its processes
(heaps and stacks), and apart from it the pages of Ray's object store that one of them has touched. Those are shared, count as
private to whoever touched them alone, and their number grows up to the size of the store, whatever the job needs.
"""

from __future__ import annotations

import argparse
import json
import random
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from importlib import resources
from pathlib import Path
from typing import Any, NamedTuple

import psutil
import pyarrow.json
import pyarrow.parquet as pq

SHARD_ROWS, REPLICAS = 2000, 2
RUNS = 3  # of the short measurements; the long ones run once


class Measured(NamedTuple):
    """One job: wall time, seconds from its first to its last shard, and peaks of memory in MiB: anonymous, and shared at most."""

    seconds: float
    streaming: float
    driver: float
    largest_worker: float
    workers: float
    shared: float


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pairs", type=int, default=1_000_000)
    parser.add_argument(
        "--scratch", type=Path, default=None, help="folder for corpora and runs (about 3 GB for a million pairs)"
    )
    arguments = parser.parse_args()
    scratch = Path(tempfile.mkdtemp(prefix="midb-bench-", dir=arguments.scratch))
    try:
        large, small = scratch / "large", scratch / "small"
        characters = make_corpus(large, arguments.pairs)
        make_corpus(small, arguments.pairs // 10)
        print(f"{arguments.pairs:,} pairs, {characters / arguments.pairs:.0f} characters each on average")
        peer = statistics.median(plain_pyarrow(large, scratch / "peer.parquet") for _ in range(RUNS))
        report("pyarrow, read and write", arguments.pairs, peer, peer)
        guarded = boost(large, scratch / "guarded")
        report("boost, whole guard", arguments.pairs, guarded.seconds, peer, guarded)
        unguarded = boost(large, scratch / "unguarded", "--guard.language", "false")
        report("boost, no language detection", arguments.pairs, unguarded.seconds, peer, unguarded)
        tenth = boost(small, scratch / "tenth")
        report("boost, a tenth of the pairs", arguments.pairs // 10, tenth.seconds, peer / 10, tenth)
        for name in ("driver", "largest_worker", "workers"):
            print(
                f"memory of {name.replace('_', ' ')}: {getattr(guarded, name) / getattr(tenth, name):.2f} × that of a tenth"
            )
    finally:
        shutil.rmtree(scratch)


def make_corpus(folder: Path, pairs: int) -> int:
    """Write `pairs` Alpaca rows in files of 100,000; returns the number of characters in them."""
    folder.mkdir()
    source = resources.files("midb_ray").joinpath("samples/corpus.jsonl").read_bytes()
    by_language: dict[str, list[dict[str, Any]]] = {}
    for line in source.split(b"\n"):
        try:
            row = json.loads(line)
        except ValueError:
            continue
        if (
            isinstance(row, dict)
            and {"instruction", "input", "output", "language"} <= set(row)
            and "dirty" not in row["id"]
        ):
            by_language.setdefault(row["language"], []).append(row)
    languages = sorted(by_language)
    chance = random.Random(1)
    characters = 0
    for start in range(0, pairs, 100_000):
        with (folder / f"{start:09d}.jsonl").open("w", encoding="utf-8") as file:
            for number in range(start, min(start + 100_000, pairs)):
                language = chance.choice(languages)
                first, *more = chance.sample(by_language[language], k=chance.choice((2, 3, 3, 4, 6)))
                row = {
                    "id": f"{language}-{number}",
                    "instruction": first["instruction"],
                    "input": first["input"] if chance.random() < 0.4 else "",
                    "output": "\n".join(str(part["output"]) for part in (first, *more)),
                    "language": language,
                }
                characters += sum(len(row[key]) for key in ("instruction", "input", "output"))
                file.write(json.dumps(row, ensure_ascii=False) + "\n")
    return characters


def plain_pyarrow(folder: Path, target: Path) -> float:
    """Seconds to read the JSON lines and write them as Parquet, with all of pyarrow's threads."""
    started = time.monotonic()
    writer: pq.ParquetWriter | None = None
    for path in sorted(folder.iterdir()):
        table = pyarrow.json.read_json(path)
        writer = writer or pq.ParquetWriter(target, table.schema, compression="zstd", compression_level=1)
        writer.write_table(table)
    assert writer is not None
    writer.close()
    return time.monotonic() - started


def boost(corpus: Path, output: Path, *more: str) -> Measured:
    """Run the job in a process of its own and watch its memory. Raises if it fails or loses a row."""
    command = [
        *(sys.executable, "-m", "midb_ray.cli", "boost", "--input", str(corpus), "--output", str(output)),
        *("--engine.kind", "echo", "--shard-rows", str(SHARD_ROWS), "--pool.replicas", str(REPLICAS), *more),
    ]
    log = output.with_suffix(".log")
    started = time.monotonic()
    with log.open("wb") as file:
        job = subprocess.Popen(command, stdout=file, stderr=subprocess.STDOUT)
        memory = Memory(job.pid)
        code = job.wait()
    seconds = time.monotonic() - started
    memory.stop()
    if code:
        raise SystemExit(f"The job failed with {code}:\n{log.read_text()[-3000:]}")
    summary = json.loads((output / "summary.json").read_text())
    assert summary["complete"], summary
    lines = [json.loads(line) for line in (output / "metrics.jsonl").read_text().splitlines()]
    shutil.rmtree(output)
    return Measured(seconds, lines[-1]["seconds"], memory.driver, memory.largest_worker, memory.workers, memory.shared)


class Memory:
    """Peaks of anonymous memory (MiB) of a process and of the Ray workers below it, and the most that one of them shares."""

    def __init__(self, process: int) -> None:
        self.driver = self.largest_worker = self.workers = self.shared = 0.0
        self._process = psutil.Process(process)
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()

    def stop(self) -> None:
        self._ended.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._ended.wait(2):
            try:
                children = [child for child in self._process.children(recursive=True) if _is_worker(child)]
            except psutil.NoSuchProcess:
                continue
            driver, *workers = [_memory(process.pid) for process in (self._process, *children)]
            self.driver = max(self.driver, driver[0])
            self.largest_worker = max([self.largest_worker, *(anonymous for anonymous, _ in workers)])
            self.workers = max(self.workers, sum(anonymous for anonymous, _ in workers))
            self.shared = max([self.shared, driver[1], *(shared for _, shared in workers)])


def _is_worker(process: psutil.Process) -> bool:
    try:
        return bool(process.name().startswith("ray::"))
    except psutil.NoSuchProcess:
        return False


def _memory(process: int) -> tuple[float, float]:
    """Anonymous and shared memory of a process in MiB; nothing of one that has just ended."""
    try:
        lines = Path(f"/proc/{process}/status").read_text(encoding="utf-8").splitlines()
    except OSError:
        return 0.0, 0.0
    found = dict(line.split(":", 1) for line in lines)
    anonymous, shared = (int(found.get(name, "0 kB").split()[0]) / 1024 for name in ("RssAnon", "RssShmem"))
    return anonymous, shared


def report(name: str, pairs: int, seconds: float, peer: float, measured: Measured | None = None) -> None:
    text = f"{name}: {pairs / seconds:,.0f} pairs/s in {seconds:.1f} s, {seconds / peer:.1f} × pyarrow's time"
    if measured:
        text += (
            f"; while streaming {pairs / measured.streaming:,.0f} pairs/s; peak MiB: driver {measured.driver:.0f}, "
            f"largest worker {measured.largest_worker:.0f}, all workers {measured.workers:.0f}; shared {measured.shared:.0f}"
        )
    print(text, flush=True)


if __name__ == "__main__":
    main()
