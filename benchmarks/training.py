"""Training speed: our loop beside the Hugging Face Trainer, and what Ray Train costs per step.

    python benchmarks/training.py [--revisions PATH] [--rounds 3]     two DeepSpeed workers on this machine's CPU
    python benchmarks/training.py --gpu [--revisions PATH]            one GPU, without Ray and DeepSpeed

Both sides train the same small Llama on the same rows with the same DeepSpeed configuration and the same number of examples
in a step; that they do the same work is checked by their first losses. Tokens are counted without padding. Every side first
finds its fastest size of micro-batches; then they take turns, the Trainer also with its largest batch and with its defaults, and
ratios are those of neighbours: of time, and of the workers' time on the processor, which others on the machine disturb less.
Start-up is left out.
"""

from __future__ import annotations

import argparse
import json
import shutil
import statistics
import tempfile
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import train_pair
import train_rows

from midb_ray.training.settings import TrainSettings

BATCH_SIZE, BATCHES = 32, 4  # examples of a step, steps that are timed
OURS = (2048, 4096, 8192)  # tokens at once
PEER = (1, 2, 4, 8, 16)  # rows at once
DEFAULT = 8  # the Trainer's own
TOLERANCE = 1e-3  # of the first losses
TIMES = ("seconds", "processor")


class Variant(NamedTuple):
    """One way to train: `side` is ours or peer, `size` what goes through the model at once, `strategy` the peer's sampler."""

    name: str
    side: str
    size: int
    strategy: str = ""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--revisions", nargs="*", default=[], help="files or folders with revisions; none: the samples, made longer"
    )
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--stage", type=int, default=1, help="ZeRO stage")
    parser.add_argument("--only", choices=("trainer", "ray"), help="one half of the benchmark")
    parser.add_argument("--gpu", action="store_true", help="tokens/s and utilisation of a GPU instead")
    parser.add_argument("--parameters", type=float, default=0.7, help="billions of the model on the GPU")
    arguments = parser.parse_args()
    scratch = Path(tempfile.mkdtemp(prefix="midb-bench-train-"))
    try:
        revisions = arguments.revisions or [train_rows.lengthened(scratch / "revisions")]
        if arguments.gpu:
            import train_gpu

            train_gpu.measure(scratch, revisions, arguments.parameters, arguments.rounds)
            return
        settings = settings_of(revisions, str(scratch), arguments.stage)
        rows = train_rows.make(scratch, settings, BATCHES, train_pair.WORKERS)
        describe(rows, settings)
        if arguments.only != "ray":
            beside_trainer(scratch, settings, rows, arguments.rounds)
        if arguments.only != "trainer":
            import train_ray

            train_ray.measure(scratch, settings, rows, arguments.rounds)
    finally:
        shutil.rmtree(scratch)


def settings_of(revisions: list[str], scratch: str, stage: int) -> TrainSettings:
    """Settings of both sides."""
    return TrainSettings.model_validate(
        {
            "revisions": revisions,
            "output": scratch,
            "selection": {"validation": 0.005},
            "scratch": {"vocabulary": 8192, "hidden_size": 256, "layers": 4, "heads": 4},
            "max_tokens": 2048,
            "batch_size": BATCH_SIZE,
            "learning_rate": 1e-3,
            "schedule": "constant",
            "warmup": 0,
            "dtype": "float32",
            "zero": {"stage": stage},
            "workers": [train_pair.WORKERS],
            "gpus_per_worker": 0,
        }
    )


def describe(rows: train_rows.Rows, settings: TrainSettings) -> None:
    """Say what is trained on."""
    shown = ", ".join(f"{value:.0f}" for value in np.quantile(rows.lengths, (0.05, 0.5, 0.95, 1)))
    print(
        f"{len(rows.lengths):,} examples of {rows.lengths.mean():.0f} tokens on average (5 %, 50 %, 95 %, longest: {shown}), "
        f"{rows.answers:.0%} of them in answers; {BATCHES} steps of {settings.batch_size} are timed",
        flush=True,
    )


def beside_trainer(scratch: Path, settings: TrainSettings, rows: train_rows.Rows, rounds: int) -> None:
    """Find each side's fastest size, check that the work is the same, take turns, and print."""
    ours = [Variant(f"ours, {size:,} tokens at once", "ours", size) for size in OURS]
    peers = [
        Variant(f"Trainer, by length, {size} rows at once", "peer", size, "sequential")  # in its grouping's order
        for size in PEER
    ]
    default = Variant(f"Trainer, defaults ({DEFAULT} rows at random)", "peer", DEFAULT, "random")
    check = [{**each._asdict(), "path": rows.check, "epochs": 2, "tell": True} for each in (ours[1], peers[2])]
    swept = [{**each._asdict(), "path": rows.measured} for each in (*ours, *peers)]
    found = run(scratch, settings, rows, [*check, *swept])
    same_work(found[: len(check)])
    for result in found[len(check) :]:
        report(rows, result)
    best = {fastest(found[len(check) :], side)["name"] for side in ("ours", "peer")} | {peers[-1].name}
    turns = [each for each in (*ours, *peers) if each.name in best] + [default]
    results = run(scratch, settings, rows, [{**each._asdict(), "path": rows.measured} for each in turns * rounds])
    print(f"\nmedians of {rounds} rounds by turns:")
    first, *others = [[result for result in results if result["name"] == each.name] for each in turns]
    for parts in (first, *others):
        report(rows, {**parts[0], **{key: statistics.median(part[key] for part in parts) for key in TIMES}})
    for parts in others:
        told = []
        for key in TIMES:
            ratios = [part[key] / mine[key] for part, mine in zip(parts, first, strict=True)]
            told.append(f"{statistics.median(ratios):.2f} ({', '.join(f'{ratio:.2f}' for ratio in ratios)})")
        print(f"times the speed of {parts[0]['name']}: {told[0]}; per second of processor {told[1]}", flush=True)


def run(
    scratch: Path, settings: TrainSettings, rows: train_rows.Rows, passes: list[dict[str, Any]]
) -> list[dict[str, Any]]:
    """The passes one after the other in one pair of workers, after a short one of each side to warm up."""
    warm = [
        {"name": "", "side": side, "size": size, "strategy": "random"} for side, size in (("ours", 4096), ("peer", 4))
    ]
    plan = {
        "settings": settings.model_dump(mode="json"),
        "start": rows.start,
        "scratch": str(scratch / "trainer"),
        "passes": [*({**each, "path": rows.check} for each in warm), *passes],
    }
    place, results = scratch / "plan.json", scratch / "results.jsonl"
    place.write_text(json.dumps(plan))
    results.unlink(missing_ok=True)
    train_pair.run("train_rank.py", [str(place)], [str(results)], scratch / "workers.log")
    return [json.loads(line) for line in results.read_text().splitlines()][len(warm) :]


def same_work(found: list[dict[str, Any]]) -> None:
    """Raise SystemExit unless both sides saw the same losses, before and after their first update."""
    mine, theirs = (each["losses"] for each in found)
    worst = max(abs(one - other) / other for one, other in zip(mine, theirs, strict=True))
    print(f"losses of the same {len(mine)} steps: {mine} and {theirs}, at most {worst:.1e} apart", flush=True)
    if not worst < TOLERANCE:
        raise SystemExit("The sides do not do the same work; their speeds cannot be compared.")


def fastest(results: list[dict[str, Any]], side: str) -> dict[str, Any]:
    """By the processor's time: what else runs on the machine meanwhile counts less."""
    return min((each for each in results if each["side"] == side), key=lambda each: float(each["processor"]))


def report(rows: train_rows.Rows, result: dict[str, Any]) -> None:
    tokens, examples = rows.tokens(), BATCHES * BATCH_SIZE
    print(
        f"{result['name']:38} {tokens / result['seconds']:7,.0f} tokens/s {examples / result['seconds']:6.2f} examples/s  "
        f"{tokens / result['processor']:7,.0f} tokens per second of processor, padding {1 - tokens / result['passed']:.1%}",
        flush=True,
    )


if __name__ == "__main__":
    main()
