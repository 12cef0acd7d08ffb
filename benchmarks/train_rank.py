"""One of the two workers of the training benchmark: both sides by turns, in one process.

    python benchmarks/train_rank.py PLAN.json RANK RESULTS.jsonl

Started by `training.py`, with the variables that torch.distributed reads.
"""

from __future__ import annotations

import gc
import json
import sys
import time
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist

from midb_ray.training import loop, model, setup, zero
from midb_ray.training.batches import Schedule
from midb_ray.training.examples import Examples
from midb_ray.training.settings import TrainSettings


def main(plan_path: str, rank: str, results: str) -> None:
    plan = json.loads(Path(plan_path).read_text())
    settings = TrainSettings.model_validate(plan["settings"])
    setup.process(settings)
    for each in plan["passes"]:
        found = _pass(settings, plan, each)
        summed = torch.tensor([float(found["passed"]), float(found["processor"])], dtype=torch.float64)
        dist.all_reduce(summed)
        found["passed"], found["processor"] = int(summed[0]), float(summed[1])
        if rank == "0":
            with Path(results).open("a") as file:
                file.write(json.dumps(each | found) + "\n")
        gc.collect()
    dist.destroy_process_group()


def _pass(settings: TrainSettings, plan: dict[str, Any], each: dict[str, Any]) -> dict[str, Any]:
    epochs = int(each.get("epochs", 1))
    if each["side"] == "ours":
        return ours(settings.model_copy(update={"micro_tokens": each["size"]}), plan["start"], each["path"], epochs)
    import train_peer

    tell = bool(each.get("tell"))
    return train_peer.epoch(
        settings, plan["start"], each["path"], each["size"], each["strategy"], epochs, plan["scratch"], tell
    )


def ours(settings: TrainSettings, start: str, path: str, epochs: int = 1) -> dict[str, Any]:
    """Train one epoch on the examples at `path`, with the core's loop. Returns as `train_peer.epoch` does."""
    examples = Examples(path)
    schedule = Schedule(examples.lengths, epochs, settings.batch_size, None, settings.seed)
    stepper = zero.DeepSpeedStepper(model.load_model(start, None, settings.dtype), settings)
    stepper.module.train()
    dist.barrier()
    began, used = time.perf_counter(), time.process_time()
    steps = [loop.run_step(stepper, examples, schedule, step, settings) for step in range(schedule.steps)]
    seconds, processor = time.perf_counter() - began, time.process_time() - used
    stepper.close()
    tokens = sum(step.tokens for step in steps) if stepper.rank == 0 else 0
    losses = [step.loss for step in steps]
    return {"seconds": seconds, "processor": processor, "passed": tokens, "losses": losses}


if __name__ == "__main__":
    main(*sys.argv[1:])
