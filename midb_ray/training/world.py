"""Where a training process stands among the others, and who keeps its checkpoints: Ray Train, or a plain folder."""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Protocol

from midb_ray.runs import storage, transfer

_ASK = 2.0  # seconds between questions whether a node is about to leave
_PREFIX = "step-"


class World(Protocol):
    """What a training process needs to know of the others."""

    rank: int
    workers: int

    def checkpoint(self) -> contextlib.AbstractContextManager[Path | None]:
        """The latest checkpoint as a local folder, None without one."""
        ...

    def save(self, metrics: dict[str, Any], write: Callable[[Path], None]) -> None:
        """Keep a checkpoint: `write` puts this worker's part into a folder. Every worker must call it."""
        ...

    def wants_to_know(self) -> bool:
        """Whether it is time to ask if nodes leave; where it is for one worker, all must call `leaving`."""
        ...

    def leaving(self) -> list[str]:
        """The nodes of this run that are about to be taken away. Every worker must call it."""
        ...


class RayWorld:
    """A worker of Ray Train. Needs its process group, and works in a temporary folder of the node."""

    def __init__(self, begin: str | None = None) -> None:
        """`begin` is the checkpoint to go on from where Ray Train knows none; a URI."""
        import ray.train

        self._begin = begin
        context = ray.train.get_context()
        self.rank, self.workers = context.get_world_rank(), context.get_world_size()
        self._asked = time.monotonic()

    @contextlib.contextmanager
    def checkpoint(self) -> Iterator[Path | None]:
        import ray.train

        found = ray.train.get_checkpoint()
        if found is None:
            yield None if self._begin is None else transfer.local(self._begin)
            return
        with found.as_directory() as folder:
            yield Path(folder)

    def save(self, metrics: dict[str, Any], write: Callable[[Path], None]) -> None:
        import ray.train

        with tempfile.TemporaryDirectory(prefix="midb-checkpoint-") as folder:
            try:
                write(Path(folder))
            except OSError as error:
                raise storage.explain(
                    error, f"{folder} (TMPDIR may name a larger place)", "write a checkpoint to"
                ) from error
            ray.train.report(metrics, checkpoint=ray.train.Checkpoint.from_directory(folder))

    def wants_to_know(self) -> bool:
        due = time.monotonic() - self._asked > _ASK
        if due:
            self._asked = time.monotonic()
        return due

    def leaving(self) -> list[str]:
        import ray.train

        found = ray.train.get_preemption_info()
        return [] if found is None else list(found.preempted_node_ids)


class OneProcess:
    """Training in this process alone, without Ray: the latest checkpoint lies in a folder."""

    rank, workers = 0, 1

    def __init__(self, folder: Path | None = None) -> None:
        self._folder = folder

    @contextlib.contextmanager
    def checkpoint(self) -> Iterator[Path | None]:
        found = [] if self._folder is None else sorted(self._folder.glob(f"{_PREFIX}*"))
        yield found[-1] if found else None

    def save(self, metrics: dict[str, Any], write: Callable[[Path], None]) -> None:
        if self._folder is None:
            return
        before = sorted(self._folder.glob(f"{_PREFIX}*"))
        unfinished = self._folder / f".{os.getpid()}"
        write(unfinished)
        unfinished.rename(self._folder / f"{_PREFIX}{metrics['step']:08d}")
        for old in before[:-1]:
            shutil.rmtree(old)

    def wants_to_know(self) -> bool:
        return False

    def leaving(self) -> list[str]:
        return []
