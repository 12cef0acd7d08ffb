"""Engine speed: our boost job beside vLLM alone, a processor of ray.data.llm, and a plain transformers loop.

    python benchmarks/engines.py [--model DIRECTORY] [--input CORPUS] [--per-language 16] [--rounds 1] [--only NAME ...]

Every variant generates the same prompts with the same limits, each in a process of its own whose engine has one core. Tokens
per second are those of a steady window: between the moments at which a fifth and four fifths of all tokens were there. The
sides are taken at the best of some sizes. Needs vLLM (`make bench-engines` uses the environment of `make test-vllm`).
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, NamedTuple

import engine_rows
import psutil
import pyarrow.parquet as pq

CORE = 0  # the one that vLLM's CPU build takes first
SHARD_ROWS = 8
WINDOW = (0.2, 0.8)
FULL = 3  # times as many rows as the largest size: or the window would show a batch that only fills and empties


class Variant(NamedTuple):
    """One way to generate, at some sizes (rows at once): ours with engine settings, or a peer."""

    name: str
    engine: tuple[str, ...] = ()
    peer: str = ""
    sizes: tuple[int, ...] = (0,)


VARIANTS = (
    Variant("boost, vllm", ("--engine.kind", "vllm"), sizes=(32, 64)),
    Variant("boost, vllm, lookups of 4", ("--engine.kind", "vllm", "--engine.vllm.lookup-tokens", "4"), sizes=(32, 64)),
    Variant("vLLM LLM.generate", peer="offline", sizes=(32, 64)),
    Variant("ray.data.llm", peer="ray", sizes=(16, 32, 64)),
    Variant(
        "boost, transformers, continuous", ("--engine.threads", "1", "--engine.batching", "continuous"), sizes=(64,)
    ),
    Variant("boost, transformers, static", ("--engine.threads", "1", "--engine.batching", "static"), sizes=(64,)),
    Variant("transformers loop", peer="loop", sizes=(8, 16, 32)),
)
RATIOS = (
    ("boost, vllm", "vLLM LLM.generate", 0.95),
    ("boost, vllm", "ray.data.llm", 1.1),
    ("boost, transformers, continuous", "transformers loop", 1.5),
    ("boost, transformers, static", "transformers loop", 1.5),
    ("boost, vllm, lookups of 4", "boost, vllm", None),
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", help="directory of a booster; none: random weights, which end no answer")
    parser.add_argument("--input", help="a corpus; none: the samples, made longer")
    parser.add_argument("--per-language", type=int, default=16, help="rows of each language")
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--only", nargs="*", help="names of variants")
    arguments = parser.parse_args()
    scratch = Path(tempfile.mkdtemp(prefix="midb-bench-engines-"))
    try:
        rows = engine_rows.make(scratch, arguments.model, arguments.input, arguments.per_language)
        print(
            f"{rows.total} rows, {rows.prompt:.0f} tokens of prompt, at most {rows.answer:.0f} of answer on average",
            flush=True,
        )
        largest = max(size for one in VARIANTS for size in one.sizes)
        if rows.total < FULL * largest:
            raise SystemExit(f"{rows.total} rows are too few for {largest} at once; give more with --per-language.")
        wanted = [one for one in VARIANTS if not arguments.only or one.name in arguments.only]
        speeds: dict[str, list[float]] = {}
        for _, variant in itertools.product(range(arguments.rounds), wanted):
            best = max((run(scratch, rows, variant, size), size) for size in variant.sizes)
            speeds.setdefault(variant.name, []).append(best[0])
            at = f" ({best[1]} rows at once)" if best[1] else ""
            print(f"{variant.name:34} {best[0]:8,.0f} tokens/s{at}", flush=True)
        for mine, theirs, aim in RATIOS:
            if mine in speeds and theirs in speeds:
                each = [one / other for one, other in zip(speeds[mine], speeds[theirs], strict=True)]
                told = f" (aim {aim})" if aim else ""
                print(
                    f"{mine} / {theirs}: {statistics.median(each):.2f}{told} {[round(one, 2) for one in each]}",
                    flush=True,
                )
    finally:
        shutil.rmtree(scratch)


def run(scratch: Path, rows: engine_rows.Rows, variant: Variant, size: int) -> float:
    """Tokens per second of one pass."""
    events = _ours(scratch, rows, variant, size) if variant.engine else _peer(scratch, rows, variant, size)
    return steady(events)


def steady(events: list[tuple[float, int]]) -> float:
    """Tokens per second between a fifth and four fifths of all tokens."""
    events = sorted(events)
    total = sum(tokens for _, tokens in events)
    first, last = (share * total for share in WINDOW)
    counted, begin, inside, end = 0, None, 0, 0.0
    for moment, tokens in events:
        counted += tokens
        if begin is None:
            if counted >= first:
                begin = moment
            continue
        inside, end = inside + tokens, moment
        if counted >= last:
            break
    if begin is None or end <= begin:
        raise SystemExit("Too few rows for a steady window; give more.")
    return inside / (end - begin)


def _peer(scratch: Path, rows: engine_rows.Rows, variant: Variant, size: int) -> list[tuple[float, int]]:
    target = scratch / "events.json"
    command = [sys.executable, str(Path(__file__).with_name("engine_peers.py")), variant.peer]
    pinned = ["taskset", "-c", str(CORE)] if variant.peer == "loop" else []
    _call([*pinned, *command, rows.requests, rows.model, str(size), str(target)], scratch)
    return [(moment, tokens) for moment, tokens in json.loads(target.read_text())]


def _ours(scratch: Path, rows: engine_rows.Rows, variant: Variant, size: int) -> list[tuple[float, int]]:
    output = scratch / "run"
    shutil.rmtree(output, ignore_errors=True)
    engine = {"max_new_tokens": engine_rows.LIMIT, "answer_floor": 32, "device": "cpu", "dtype": "float32"}
    settings = [f"--engine.{name.replace('_', '-')}={value}" for name, value in engine.items()]
    command = [
        *(sys.executable, "-m", "midb_ray.cli", "boost", "--input", rows.corpus, "--output", str(output)),
        *("--engine.model", rows.model, *settings, *variant.engine, "--shard-rows", str(SHARD_ROWS)),
        *("--pool.shards-in-flight", str(size // SHARD_ROWS), "--limit", str(rows.per_language)),
    ]
    _call(command, scratch, pin="vllm" not in variant.engine)
    events = []
    for part in (output / "pairs").glob("part-*.parquet"):
        tokens = sum(one or 0 for one in pq.read_table(part, columns=["answer_tokens"]).column(0).to_pylist())
        events.append((part.stat().st_mtime, tokens))
    return events


def _call(command: list[str], scratch: Path, pin: bool = False) -> None:
    """Run to the end, with the engine's process pinned to its core where it does not do so itself."""
    environment: dict[str, Any] = {
        **os.environ,
        "VLLM_CPU_KVCACHE_SPACE": "4",
        "VLLM_LOGGING_LEVEL": "ERROR",
        "VLLM_WORKER_MULTIPROC_METHOD": "spawn",
        "OMP_NUM_THREADS": "1",
    }
    log = scratch / "log.txt"
    with log.open("wb") as sink:
        process = subprocess.Popen(command, env=environment, stdout=sink, stderr=subprocess.STDOUT)
        while process.poll() is None:
            if pin:
                _pin(process.pid)
            time.sleep(0.2)
    if process.returncode:
        raise SystemExit(f"{' '.join(command[:6])}… failed:\n{log.read_text(errors='replace')[-3000:]}")


def _pin(pid: int) -> None:
    for child in psutil.Process(pid).children(recursive=True):
        try:
            if "MapWorker" in "".join(child.cmdline()):
                for thread in child.threads():  # the engine's is not the process's first
                    os.sched_setaffinity(thread.id, {CORE})
        except (psutil.NoSuchProcess, ProcessLookupError):
            continue


if __name__ == "__main__":
    main()
