"""One worker of the train job, started by hand: what Ray Train's workers run, without Ray.

python benchmarks/train_hand.py TASK.json RANK
"""

from __future__ import annotations

import contextlib
import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from midb_ray.training import setup, worker
from midb_ray.training.settings import TrainSettings
from midb_ray.training.task import Task


class ByHand:
    """One of several processes that keep no checkpoints; see `training.world.World`."""

    def __init__(self, rank: int, workers: int) -> None:
        self.rank, self.workers = rank, workers

    @contextlib.contextmanager
    def checkpoint(self) -> Iterator[Path | None]:
        yield None

    def save(self, metrics: dict[str, Any], write: Callable[[Path], None]) -> None:
        pass

    def wants_to_know(self) -> bool:
        return False

    def leaving(self) -> list[str]:
        return []


def main(task_path: str, rank: str) -> None:
    given = json.loads(Path(task_path).read_text())
    task = Task(**{**given, "digests": tuple(given["digests"])})
    setup.process(TrainSettings.model_validate(task.settings))
    import torch.distributed as dist

    worker.run(task, ByHand(int(rank), dist.get_world_size()))
    dist.destroy_process_group()


if __name__ == "__main__":
    main(*sys.argv[1:])
