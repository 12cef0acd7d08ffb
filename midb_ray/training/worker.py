"""What each Ray Train worker does: its share of every batch, with DeepSpeed, and rank 0 writes the booster."""

from __future__ import annotations

import json
import logging
import os
import time
import warnings
from pathlib import Path
from typing import Any

from midb_ray.training.settings import TrainSettings

logger = logging.getLogger("midb_ray")


def train_worker(task: dict[str, Any]) -> None:
    """Ray Train's `train_loop_per_worker`. `task` holds the settings, where the start model and the examples lie, and where
    the booster goes."""
    settings = TrainSettings.model_validate(task["settings"])
    if not settings.gpus_per_worker:
        os.environ.setdefault("DS_ACCELERATOR", "cpu")
    import ray.train
    import torch
    import torch.distributed as dist
    from transformers.utils import logging as transformers_logging

    from midb_ray.training import examples, export, loop, model, zero

    logging.basicConfig(level=logging.INFO, format="%(message)s")
    transformers_logging.disable_progress_bar()
    warnings.filterwarnings("ignore", category=FutureWarning, module="torch.distributed")
    context = ray.train.get_context()
    rank, workers = context.get_world_rank(), context.get_world_size()
    if not settings.gpus_per_worker:
        torch.set_num_threads(max(int(settings.cpus_per_worker), 1))
    found = [examples.Example(list(ids), answer) for ids, answer in task["examples"]]
    start = model.load_model(task["model"], settings.revision, settings.dtype)
    stepper = zero.DeepSpeedStepper(start, settings)
    started = time.monotonic()

    def total(value: float) -> float:
        summed = torch.tensor([value], dtype=torch.float64, device=stepper.device if settings.gpus_per_worker else None)
        dist.all_reduce(summed)
        return float(summed)

    def tell(report: loop.Report) -> None:
        if rank == 0:
            logger.info(
                "train: step %d of %d, loss %.4f, %.0f tokens/s, ETA %.0f s",
                *(report.step, report.steps, report.loss, report.tokens_per_second, report.eta_seconds),
            )

    steps = task["steps"]
    batches = examples.batches(found, settings.batch_size, settings.seed, steps, rank, workers)
    losses = loop.run_loop(stepper, batches, steps, settings, tell, total)
    weights = stepper.weights()
    seconds = time.monotonic() - started
    if rank == 0:
        measured = {"loss": sum(losses[-20:]) / len(losses[-20:]), "seconds": seconds, "steps": steps}
        with export.writing(task["output"]):
            export.write_model(task["target"], task["model"], settings.revision, weights)
            Path(task["measured"]).write_text(json.dumps(measured))
    ray.train.report({})  # every rank reports, or the others wait for it
