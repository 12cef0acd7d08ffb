"""The fit on Ray Train: workers that are placed, watched and started again from their last checkpoint."""

from __future__ import annotations

import logging
import os
import secrets
from pathlib import PurePosixPath
from typing import Any

from midb_ray.errors import UserError
from midb_ray.runs import claim, cluster, storage
from midb_ray.training import capacity, checkpoints
from midb_ray.training.settings import TrainSettings
from midb_ray.training.task import Outcome, Task
from midb_ray.training.worker import ray_worker

logger = logging.getLogger("midb_ray")

_ALLOCATOR = {  # what keeps workers flat that take one shard after another costs training a third: every large tensor is a new one
    "MALLOC_MMAP_THRESHOLD_": str(32 << 20),
    "MALLOC_TRIM_THRESHOLD_": str(1 << 30),
}
_PLACING = 15  # seconds for workers to be placed. Ray Train learns only every 20 s how many a cluster that lost a node can hold
_STARTS = 2 * 3600 // _PLACING  # times that they are tried to be placed: spot nodes may take hours to come back


def fit(settings: TrainSettings, task: Task, mine: claim.Claim, own: bool) -> Outcome:
    """Train to the end, in as many fits as nodes are taken away in between. `own` is a cluster that ends with the job.

    Raises `UserError` for what the user can mend.
    """
    while True:
        task = task._replace(session=secrets.token_hex(8), checkpoint=checkpoints.mend(task.run))
        try:
            returned = _fit(settings, task, own)
        finally:
            cluster.note(task.session, None)
        mine.check()
        if "refused" in returned:
            raise UserError(returned["refused"])
        outcome = Outcome(**returned)
        if not outcome.leaving:
            return outcome
        logger.warning(
            "Node(s) %s are about to leave: a checkpoint was kept after step %d of %d, and training goes on with the others.",
            *(", ".join(node[:8] for node in outcome.leaving), outcome.step, outcome.steps),
        )
        capacity.refuse(settings)


def _fit(settings: TrainSettings, task: Task, own: bool) -> dict[str, Any]:
    """One fit; what the first worker returned."""
    os.environ.setdefault("RAY_TRAIN_ENABLE_PRINT_PATCH", "0")
    os.environ.setdefault("RAY_TRAIN_WORKER_GROUP_START_TIMEOUT_S", str(_PLACING))
    from ray.train import CheckpointConfig, FailureConfig, LoggingConfig, ScalingConfig
    from ray.train.torch import TorchConfig

    from midb_ray.training.gloo import GlooConfig
    from midb_ray.training.run_config import NamedRun

    on_gpu = settings.device == "cuda"
    system, path = storage.resolve(task.run)
    fewest, most = settings.workers[0], settings.workers[-1]
    trainer = _trainer(own)(
        ray_worker,
        train_loop_config=task._asdict(),
        torch_config=TorchConfig(backend="nccl") if on_gpu else GlooConfig(),
        scaling_config=ScalingConfig(
            num_workers=fewest if fewest == most else (fewest, most),
            use_gpu=on_gpu,
            resources_per_worker={
                "CPU": settings.cpus_per_worker,
                **({"GPU": settings.gpus_per_worker} if on_gpu else {}),
            },
            label_selector=settings.nodes or None,
        ),
        run_config=NamedRun(
            name=f"train {PurePosixPath(path).name}",
            worker_runtime_env={"env_vars": _ALLOCATOR},
            logging_config=LoggingConfig(log_level="WARNING"),
            storage_path=path,
            storage_filesystem=None if storage.is_local(task.run) else system,
            failure_config=FailureConfig(max_failures=settings.max_failures, controller_failure_limit=_STARTS),
            checkpoint_config=CheckpointConfig(
                num_to_keep=settings.checkpoint.keep,
                checkpoint_score_attribute="validation_loss",
                checkpoint_score_order="min",
            ),
        ),
    )
    try:
        result = trainer.fit()
    except Exception as error:
        raise cluster.original(error) from error
    if result.error is not None:
        raise cluster.original(result.error)
    returned: dict[str, Any] = result.return_value
    return returned


def _trainer(own: bool) -> Any:
    """Ray Train's trainer; on a cluster that ends with the job, without the actor that would clean up behind a dead controller: it
    asks the dashboard, which such a cluster goes without, and loses its way on a machine with several clusters."""
    from ray.train.torch import TorchTrainer
    from ray.train.v2._internal.callbacks.placement_group_callback import PlacementGroupCleanerCallback

    class Trainer(TorchTrainer):
        def _create_default_callbacks(self) -> list[Any]:
            made = super()._create_default_callbacks()
            return [each for each in made if not (own and isinstance(each, PlacementGroupCleanerCallback))]

    return Trainer
