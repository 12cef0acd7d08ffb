"""Engine speed: our boost job beside vLLM alone, a processor of ray.data.llm, and a plain transformers loop.

    python benchmarks/engines.py [--model DIRECTORY] [--input CORPUS] [--per-language 24] [--rounds 1] [--only NAME ...]

Every variant generates the same prompts with the same limits, one variant after the other. The process that computes has one
core to itself, the same one for all; everything else that belongs to a variant has the others. Tokens per second are those of a
steady window: between the moments at which a fifth and four fifths of all tokens were there. Peers are taken at the best of some
sizes, that is rows at once. Needs vLLM (`make bench-engines` uses the environment of `make test-vllm`).
"""

from __future__ import annotations

import argparse
import contextlib
import itertools
import json
import math
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

CORE = 0
OTHERS = set(range(1, psutil.cpu_count() or 1)) or {CORE}
SHARD_ROWS = 8
WINDOW = (0.2, 0.8)
SETTLING = 20  # seconds for the processes of a job to be given their cores once it computes; what they start later inherits them
FULL = 3  # times as many rows as the largest size: or the window would show a batch that only fills and empties


class Variant(NamedTuple):
    """One way to generate, at some sizes (rows at once, or in a batch): ours with engine settings, or a peer. `computes` is in the
    title of the process that has the core; none: the variant is that process."""

    name: str
    computes: str
    engine: tuple[str, ...] = ()
    peer: str = ""
    sizes: tuple[int, ...] = (64,)


VLLM, LOCAL = "VLLM::Worker", "MapWorker"
VARIANTS = (
    Variant("boost, vllm", VLLM, ("--engine.kind", "vllm", "--engine.vllm.rows", "64")),
    Variant("vLLM LLM.generate", VLLM, peer="offline", sizes=(32, 64)),
    Variant("ray.data.llm", VLLM, peer="ray", sizes=(8, 16)),
    Variant(
        "boost, vllm, lookups of 4",
        VLLM,
        ("--engine.kind", "vllm", "--engine.vllm.rows", "64", "--engine.vllm.lookup-tokens", "4"),
    ),
    Variant("boost, transformers, continuous", LOCAL, ("--engine.threads", "1", "--engine.batching", "continuous")),
    Variant("boost, transformers, static", LOCAL, ("--engine.threads", "1", "--engine.batching", "static")),
    Variant("transformers loop", "", peer="loop", sizes=(16, 32)),
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
    parser.add_argument("--per-language", type=int, default=24, help="rows of each language")
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--only", nargs="*", help="names of variants")
    arguments = parser.parse_args()
    scratch = Path(tempfile.mkdtemp(prefix="midb-bench-engines-"))
    try:
        rows = engine_rows.make(scratch, arguments.model, arguments.input, arguments.per_language)
        os.sched_setaffinity(0, OTHERS)  # looking at a job with many processes would cost it time
        print(
            f"{rows.total} rows, {rows.prompt:.0f} tokens of prompt, at most {rows.answer:.0f} of answer on average",
            flush=True,
        )
        largest = max(size for one in VARIANTS for size in one.sizes)
        if rows.total < FULL * largest:
            raise SystemExit(f"{rows.total} rows are too few for {largest} at once; give more with --per-language.")
        wanted = [one for one in VARIANTS if not arguments.only or one.name in arguments.only]
        speeds: dict[str, list[float]] = {}
        sizes = {variant.name: variant.sizes for variant in wanted}  # after the first round the best one
        for _, variant in itertools.product(range(arguments.rounds), wanted):
            best = max((run(scratch, rows, variant, size), size) for size in sizes[variant.name])
            sizes[variant.name] = (best[1],)
            speeds.setdefault(variant.name, []).append(best[0])
            print(f"{variant.name:34} {best[0]:8,.0f} tokens/s (size {best[1]})", flush=True)
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
    events = _ours(scratch, rows, variant) if variant.engine else _peer(scratch, rows, variant, size)
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
    _call([*command, rows.requests, rows.model, str(size), str(target)], scratch, variant.computes)
    return [(moment, tokens) for moment, tokens in json.loads(target.read_text())]


def _ours(scratch: Path, rows: engine_rows.Rows, variant: Variant) -> list[tuple[float, int]]:
    output = scratch / "run"
    shutil.rmtree(output, ignore_errors=True)
    engine = {"max_new_tokens": engine_rows.LIMIT, "answer_floor": 32, "device": "cpu", "dtype": "float32"}
    settings = [f"--engine.{name.replace('_', '-')}={value}" for name, value in engine.items()]
    command = [
        *(sys.executable, "-m", "midb_ray.cli", "boost", "--input", rows.corpus, "--output", str(output)),
        *("--engine.model", rows.model, *settings, *variant.engine, "--shard-rows", str(SHARD_ROWS)),
        *("--limit", str(rows.per_language)),
    ]
    _call(command, scratch, variant.computes)
    events = []
    for part in (output / "pairs").glob("part-*.parquet"):
        tokens = sum(one or 0 for one in pq.read_table(part, columns=["answer_tokens"]).column(0).to_pylist())
        events.append((part.stat().st_mtime, tokens))
    return events


def _call(command: list[str], scratch: Path, computes: str) -> None:
    """Run to the end, each process on the cores that are its own."""
    environment: dict[str, Any] = {
        **os.environ,
        "VLLM_CPU_KVCACHE_SPACE": "4",
        "VLLM_CPU_OMP_THREADS_BIND": str(CORE),
        "VLLM_LOGGING_LEVEL": "ERROR",
        "VLLM_WORKER_MULTIPROC_METHOD": "spawn",
        "OMP_NUM_THREADS": "1",
    }
    log, placed = scratch / "log.txt", set[tuple[int, bool]]()
    with log.open("wb") as sink:
        anywhere = ("taskset", "-c", ",".join(map(str, {CORE, *OTHERS})))  # else this process's own place is inherited
        process = subprocess.Popen([*anywhere, *command], env=environment, stdout=sink, stderr=subprocess.STDOUT)
        settled = math.inf
        while process.poll() is None:
            if time.monotonic() < settled and _place(process.pid, computes, placed):
                settled = min(settled, time.monotonic() + SETTLING)
            time.sleep(0.5)
    if process.returncode:
        raise SystemExit(f"{' '.join(command[:6])}… failed:\n{log.read_text(errors='replace')[-3000:]}")


def _place(pid: int, computes: str, placed: set[tuple[int, bool]]) -> bool:
    """Give each thread its cores that has not got them, once there is a process that computes: a start may use all. Whether there
    is one."""
    with contextlib.suppress(psutil.NoSuchProcess):
        job = psutil.Process(pid)
        titles = {one: _title(one) for one in (job, *job.children(recursive=True))}
        engines = {one for one, title in titles.items() if computes in title} if computes else {job}
        for one in titles if engines else ():
            with contextlib.suppress(psutil.NoSuchProcess, ProcessLookupError):
                for thread in one.threads():
                    if (thread.id, one in engines) not in placed:
                        os.sched_setaffinity(thread.id, {CORE} if one in engines else OTHERS)
                        placed.add((thread.id, one in engines))
        return bool(engines)
    return False


def _title(process: psutil.Process) -> str:
    try:
        return " ".join(process.cmdline())
    except (psutil.NoSuchProcess, psutil.ZombieProcess):
        return ""


if __name__ == "__main__":
    main()
