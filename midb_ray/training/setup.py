"""A training process before its first step: its process group, model, optimizer, and what its last checkpoint says."""

from __future__ import annotations

import logging
import os
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from midb_ray import logs
from midb_ray.errors import UserError
from midb_ray.runs import transfer
from midb_ray.training import tools
from midb_ray.training.settings import TrainSettings

if TYPE_CHECKING:
    import torch

    from midb_ray.training.batches import Schedule
    from midb_ray.training.metrics import Meter
    from midb_ray.training.steppers import Stepper
    from midb_ray.training.task import Task


def process(settings: TrainSettings) -> None:
    """Prepare a worker process of Ray Train: logging, threads, DeepSpeed on its process group. Raises `UserError`."""
    tools.check(settings)
    if settings.device == "cpu":
        os.environ["DS_ACCELERATOR"] = "cpu"
    _log_to_stderr()
    warnings.filterwarnings("ignore", category=FutureWarning, module="torch.distributed")
    warnings.filterwarnings("ignore", category=FutureWarning, module="transformers")
    import deepspeed
    import torch
    from transformers.utils import logging as transformers_logging

    transformers_logging.disable_progress_bar()
    deepspeed.utils.logging.logger.setLevel(logging.ERROR)
    # DeepSpeed would compile its shared-memory all-reduce, which only tensor-parallel inference on CPUs uses.
    deepspeed.ops.__compatible_ops__["deepspeed_shm_comm"] = False
    deepspeed.init_distributed(dist_backend="nccl" if settings.device == "cuda" else "gloo", verbose=False)
    if settings.device == "cpu":
        torch.set_num_threads(max(int(settings.cpus_per_worker), 1))


def _log_to_stderr() -> None:
    """Our own lines go to the driver, through Ray; those of Ray Train and DeepSpeed stay in their files."""
    # Some of Ray Train's loggers are named after files, out of the reach of its own settings.
    logging.getLogger().setLevel(logging.WARNING)
    logger = logging.getLogger("midb_ray")
    if not logger.handlers:
        logger.addHandler(logs.handler())
    logger.setLevel(logging.INFO)
    logger.propagate = False


def say_no_more() -> None:
    """Keep Ray Train from printing an error that the driver tells in one sentence."""
    logging.getLogger("ray.train").setLevel(logging.CRITICAL)


def start(task: Task) -> tuple[str, str | None]:
    """Directory or hub id of the model that training starts from, and its revision."""
    if task.revision is None and "://" in task.start:
        return str(transfer.local(task.start)), None
    return task.start, task.revision


def stepper(
    task: Task,
    settings: TrainSettings,
    schedule: Schedule,
    found: Path | None,
    make: Callable[[torch.nn.Module, TrainSettings], Stepper] | None,
) -> tuple[Stepper, int]:
    """This worker's stepper, where the checkpoint left off, and after how many steps that was.

    Raises `UserError` for a model that cannot be loaded and a checkpoint of another run.
    """
    from midb_ray.training import state, zero

    network = _model(task, settings, sharded=make is None)
    made = make or zero.DeepSpeedStepper
    if found is None:
        return _ready(made(network, settings)), 0
    position = state.read_position(found)
    if position.digest not in task.digests or not (
        position.step <= schedule.steps and position.examples == schedule.offset(position.step)
    ):
        raise UserError(
            f"The checkpoint {found.name} in {task.run} was made with other settings or other data; start over with --fresh, or "
            "give another --output."
        )
    before = state.State(found)
    state.load_weights(network, before)
    ready = _ready(made(network, settings))
    ready.set_moments(position.step, before.read)
    return ready, position.step


def meter(task: Task, settings: TrainSettings, ready: Stepper, steps: int, first: int) -> Meter:
    """The first worker's meter."""
    from midb_ray.training import flops, metrics

    module: Any = getattr(ready.module, "module", ready.module)
    each = flops.peak(ready.device) if settings.dtype == "bfloat16" else None
    made = metrics.Meter(
        task.run, steps, first, settings.log_steps, flops.work(module), None if each is None else each * ready.workers
    )
    if settings.tensorboard:
        made.open_board()
    return made


def _model(task: Task, settings: TrainSettings, sharded: bool) -> torch.nn.Module:
    """The model with its adapters. Under ZeRO 3 it is split while it is loaded, so that no process ever holds all of it."""
    import torch
    from transformers.integrations import HfDeepSpeedConfig

    from midb_ray.training import lora, model, zero

    place, revision = start(task)
    split = HfDeepSpeedConfig(zero.config(settings)) if sharded and settings.zero.stage == 3 else None
    network: Any = model.load_model(place, revision, settings.dtype if sharded else "float32", settings.packing)
    del split  # transformers looks at it while it loads
    if settings.gradient_checkpointing:
        network.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})
    if settings.method == "lora":
        torch.manual_seed(settings.seed)  # every worker begins with the same adapters
        network = lora.apply(network, settings.lora)
    loaded: torch.nn.Module = network
    return loaded


def _ready(made: Stepper) -> Stepper:
    made.module.train()
    return made
