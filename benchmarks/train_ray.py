"""What Ray Train costs per step: the whole job on a cluster of its own beside the same workers started by hand, by turns."""

from __future__ import annotations

import itertools
import json
import os
import shutil
import statistics
import subprocess
import sys
from pathlib import Path

import train_pair
import train_rows

from midb_ray.training import prepare
from midb_ray.training.prepare import EXAMPLES
from midb_ray.training.settings import TrainSettings
from midb_ray.training.task import Task

STEPS, BATCH_SIZE, WARM = 20, 16, 3


def measure(scratch: Path, settings: TrainSettings, rows: train_rows.Rows, rounds: int) -> None:
    """Print seconds per step of both, and their ratio: the median over steps, each beside the same step by hand. Once with a worker
    on every core, which Ray's own processes then share, and once with a core left for them."""
    settings = settings.model_copy(
        update={
            "revisions": (f"{rows.folder}/{prepare.REVISIONS}",),
            "model": rows.start,
            "batch_size": BATCH_SIZE,
            "epochs": STEPS * BATCH_SIZE / len(rows.lengths),
            "micro_tokens": 4096,
            "log_steps": 1,
            "card_rows": 0,
        }
    )
    for workers in (train_pair.WORKERS, 1):
        place = scratch / f"workers-{workers}"
        place.mkdir()
        _compare(place, settings.model_copy(update={"workers": (workers,)}), rows, rounds)


def _compare(scratch: Path, settings: TrainSettings, rows: train_rows.Rows, rounds: int) -> None:
    workers = settings.workers[0]
    on_ray: list[list[float]] = []
    by_hand: list[list[float]] = []
    for number in range(rounds):
        run = scratch / f"ray-{number}"
        on_ray.append(_on_ray(settings, run))
        by_hand.append(_by_hand(settings, rows, run, scratch / f"hand-{number}"))
        ratios = _ratios(on_ray[-1:], by_hand[-1:])
        print(
            f"{workers} worker(s), round {number + 1}: Ray Train / by hand {statistics.median(ratios):.3f}", flush=True
        )
    ratios = _ratios(on_ray, by_hand)
    for name, runs in (("Ray Train", on_ray), ("by hand", by_hand)):
        print(f"{name}: {statistics.median(itertools.chain(*runs)):.3f} s per step of {BATCH_SIZE} examples (median)")
    print(
        f"{workers} worker(s) of {os.cpu_count()} cores: Ray Train costs {statistics.median(ratios) - 1:+.1%} per step "
        f"(median of {len(ratios)} pairs of steps)",
        flush=True,
    )


def _ratios(on_ray: list[list[float]], by_hand: list[list[float]]) -> list[float]:
    return [
        ours / other for one, two in zip(on_ray, by_hand, strict=True) for ours, other in zip(one, two, strict=True)
    ]


def _on_ray(settings: TrainSettings, run: Path) -> list[float]:
    """Seconds of the steps of the train job, as a user starts it."""
    config = run.with_suffix(".yaml")
    config.write_text(json.dumps(settings.model_copy(update={"output": str(run)}).model_dump(mode="json")))
    command = [sys.executable, "-m", "midb_ray.cli", "train", "--config", str(config)]
    job = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False)
    if job.returncode:
        raise SystemExit(f"The job failed with {job.returncode}:\n{job.stdout.decode(errors='replace')[-4000:]}")
    return _seconds(run)


def _by_hand(settings: TrainSettings, rows: train_rows.Rows, like: Path, run: Path) -> list[float]:
    """Seconds of the same steps in two processes, with the examples of the run `like`."""
    shutil.copytree(like / EXAMPLES, run / EXAMPLES)
    (run / "nonce").write_text("hand")
    facts = json.loads((run / EXAMPLES / "facts.json").read_text())
    facts["selection_seed"] = settings.seed
    given = settings.model_copy(update={"output": str(run)}).model_dump(mode="json")
    task = Task(given, str(run), "hand", "", "hand", "hand", ("hand",), rows.start, None, facts)
    place = run / "task.json"
    place.write_text(json.dumps(task._asdict()))
    train_pair.run("train_hand.py", [str(place)], [], run / "workers.log", settings.workers[0])
    return _seconds(run)


def _seconds(run: Path) -> list[float]:
    entries = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    steps = [float(entry["seconds"]) for entry in entries if "seconds" in entry]
    if len(steps) != STEPS:
        raise SystemExit(f"{run} has {len(steps)} steps, not {STEPS}.")
    return steps[WARM:]
