"""`midb-ray plan`: the forecast from a pilot of 2 % against the tokens and the time of the whole run.

    python benchmarks/forecast.py --data DIRECTORY [--rows 11200] [--rounds 3] [--share 0.02] [--only echo transformers]

The corpus is made of the expert revisions in the directory, raw sides, so many rows in all. Each round has a corpus folder of
another name, hence another sample, a pilot, a forecast and a whole run of its own. Tokens are prompts and generated answers
together; the echo engine counts none, so its characters stand for them. The time is that for which the pool was up, starts
included; what the whole command took, with Python's and Ray's start and the planning, is told beside it.
"""

from __future__ import annotations

import argparse
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
import pyarrow.compute as pc
import pyarrow.parquet as pq

AIMS = {"tokens": 0.10, "time": 0.25}
ENGINES = {
    "echo": ("--engine.kind", "echo", "--engine.echo-delay", "0.1", "--shard-rows", "8", "--pool.rows-in-flight", "24"),
    "transformers": (
        *(
            "--engine.kind",
            "transformers",
            "--engine.device",
            "cpu",
            "--engine.dtype",
            "float32",
            "--engine.threads",
            "1",
        ),
        *("--engine.max-new-tokens", "64", "--engine.answer-floor", "16", "--engine.answer-budget", "0.5"),
        *("--shard-rows", "8", "--pool.rows-in-flight", "16"),
    ),
}
TINY = {
    "hidden_size": 64,
    "intermediate_size": 128,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 16,
}


class Measured(NamedTuple):
    """Tokens (or characters), seconds of the pool and of the command."""

    tokens: float
    seconds: float
    command: float


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", required=True, type=Path, help="directory with expert_revisions/*.json")
    parser.add_argument("--rows", type=int, default=11_200, help="rows of the corpus")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--share", type=float, default=0.02, help="of the pilot")
    parser.add_argument("--only", nargs="*", default=list(ENGINES), choices=list(ENGINES))
    arguments = parser.parse_args()
    scratch = Path(tempfile.mkdtemp(prefix="midb-bench-forecast-"))
    try:
        for engine in arguments.only:
            settings = list(ENGINES[engine])
            if engine == "transformers":
                settings += ["--engine.model", tiny_model(scratch, arguments.data / "expert_revisions")]
            off: dict[str, list[float]] = {"tokens": [], "time": []}
            for number in range(arguments.rounds):
                corpus = make_corpus(scratch / f"{engine}-{number}", arguments.data, arguments.rows)
                pilot, whole = f"{corpus}-pilot", f"{corpus}-whole"
                first = boost(corpus, pilot, [*settings, "--sample", str(arguments.share)])
                forecast = plan(corpus, pilot)
                found = boost(corpus, whole, settings)
                tell(engine, number, first, forecast, found, off)
            for name, values in off.items():
                median = statistics.median(map(abs, values))
                print(f"{engine}, {name}: median of {len(values)} {median:.1%} off (aim {AIMS[name]:.0%})")
    finally:
        shutil.rmtree(scratch)


def tell(
    engine: str, number: int, pilot: Measured, forecast: dict[str, Any], found: Measured, off: dict[str, list[float]]
) -> None:
    """A line of figures for a round."""
    total, hours = forecast["total"], forecast["hours"]
    tokens = total["prompt"]["value"] + total["generated"]["value"]
    seconds = hours["value"] * 3600
    off["tokens"].append(tokens / found.tokens - 1)
    off["time"].append(seconds / found.seconds - 1)
    inside = hours["low"] * 3600 <= found.seconds <= hours["high"] * 3600
    print(
        f"{engine} {number + 1}: {forecast['unit']} {tokens:,.0f} forecast, {found.tokens:,.0f} found ({off['tokens'][-1]:+.1%}); "
        f"{seconds:,.0f} s forecast ({hours['low'] * 3600:,.0f} to {hours['high'] * 3600:,.0f}), {found.seconds:,.0f} s found "
        f"({off['time'][-1]:+.1%}, {'inside' if inside else 'outside'}); pilot {pilot.seconds:,.0f} s; commands "
        f"{pilot.command:,.0f} and {found.command:,.0f} s; steady {forecast['pace']['steady']}, "
        f"busy {forecast['pace']['busy']:.0%}",
        flush=True,
    )


def make_corpus(target: Path, data: Path, rows: int) -> str:
    """Raw sides of the revisions as JSON lines, a file for each language, rows from all over it."""
    target.mkdir(parents=True)
    files = sorted((data / "expert_revisions").glob("*.json"))
    if not files:
        raise SystemExit(f"{data} has no expert_revisions/*.json.")
    each = -(-rows // len(files))
    for file in files:
        found = json.loads(file.read_text(encoding="utf-8"))
        step = max(len(found) // each, 1)
        lines = [
            json.dumps(
                {"instruction": row["Raw Instruction"], "input": row["Raw Input"], "output": row["Raw Response"]},
                ensure_ascii=False,
            )
            for row in found[::step][:each]
            if "Raw Instruction" in row  # one row of the data has its keys translated
        ]
        (target / f"{file.stem}.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return str(target)


def tiny_model(scratch: Path, revisions: Path) -> str:
    """A Llama with random weights that answers thousands of tokens a second on one core, and a tokenizer for these texts."""
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM

    start = engine_rows.random_model(scratch, str(revisions))
    config = AutoConfig.from_pretrained(start)
    config.update(TINY)
    torch.manual_seed(0)
    AutoModelForCausalLM.from_config(config).save_pretrained(start)
    return start


def boost(corpus: str, output: str, settings: list[str]) -> Measured:
    """Run the job; what it took."""
    began = time.monotonic()
    _call("boost", "--input", corpus, "--output", output, *settings)
    command = time.monotonic() - began
    summary = json.loads(Path(output, "summary.json").read_text())
    tokens = float(summary["prompt_tokens"] + summary["generated_tokens"])
    if not summary["generated_tokens"]:
        tokens = sum(map(_characters, Path(output, "pairs").glob("part-*.parquet")))
    return Measured(tokens, summary["spent"]["hours"] * 3600, command)


def plan(corpus: str, pilot: str) -> dict[str, Any]:
    """The forecast."""
    target = Path(f"{pilot}.json")
    _call("plan", "--pilot", pilot, "--input", corpus, "--write", str(target))
    found: dict[str, Any] = json.loads(target.read_text())
    return found


def _characters(part: Path) -> float:
    """Of raw and final texts, as the forecast has them for an engine that counts no tokens."""
    names = ("instruction", "input", "response")
    table = pq.read_table(part, columns=[*names, *(f"raw_{name}" for name in names)])
    return float(sum(pc.sum(pc.utf8_length(column)).as_py() or 0 for column in table.columns))


def _call(*arguments: str) -> None:
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    environment.pop("RAY_ADDRESS", None)
    done = subprocess.run(
        [sys.executable, "-m", "midb_ray.cli", *arguments], capture_output=True, text=True, check=False, env=environment
    )
    if done.returncode:
        raise SystemExit(f"midb-ray {' '.join(arguments[:5])}… failed:\n{(done.stdout + done.stderr)[-3000:]}")


if __name__ == "__main__":
    main()
