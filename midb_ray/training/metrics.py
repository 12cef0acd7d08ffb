"""What a training run tells while it goes on: metrics.jsonl, progress.json, a line in the log, TensorBoard, Prometheus."""

from __future__ import annotations

import contextlib
import json
import logging
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from midb_ray import logs
from midb_ray.runs import folder, storage, transfer
from midb_ray.runs.metrics import Metrics
from midb_ray.runs.timeline import Timeline
from midb_ray.training.flops import Work
from midb_ray.training.loop import Step

logger = logging.getLogger("midb_ray")

_TENSORBOARD, _PROGRESS = "tensorboard", "progress.json"
_GAUGES = {  # for Prometheus, what they show of `Meter.latest`
    "midb_ray_training_steps_done": "step",
    "midb_ray_training_loss": "loss",
    "midb_ray_training_gradient_norm": "gradient_norm",
    "midb_ray_training_learning_rate": "learning_rate",
    "midb_ray_training_tokens_per_second": "tokens_per_second",
    "midb_ray_training_memory_bytes": "memory_bytes",
}


class Meter:
    """Counts steps, and tells of them at every `every`th; the first worker's alone writes.

    `work` are the operations of a token, `peak` the operations of a second that the workers' devices could do, if known.
    """

    def __init__(self, run: str, steps: int, first: int, every: int, work: Work, peak: float | None) -> None:
        self._run, self._steps, self._first, self._every = run, steps, first, every
        self._work, self._peak = work, peak
        self._timeline = Timeline(run)
        self._metrics = Metrics(job_name="train", run=run)
        self._metrics.set("midb_ray_training_steps_planned", steps)
        self._metrics.set("midb_ray_training_steps_done", first)
        self._metrics.count("midb_ray_training_tokens", 0)
        before: list[dict[str, Any]] = []
        with _not_worth_a_run():
            before = self._timeline.rewind(first)
        self._board: Any = None
        self._board_folder: tempfile.TemporaryDirectory[str] | None = None
        self._started = self._told = time.monotonic()
        self._paused = 0.0
        self._waiting: list[Step] = []
        self.latest: dict[str, Any] = next((one for one in reversed(before) if "loss" in one), {})

    def open_board(self) -> None:
        """Write for TensorBoard too."""
        from tensorboardX import SummaryWriter

        local = storage.is_local(self._run)
        if not local:
            self._board_folder = tempfile.TemporaryDirectory(prefix="midb-tensorboard-")
        place = storage.absolute(storage.join(self._run, _TENSORBOARD)) if local else self._board_folder.name  # type: ignore[union-attr]
        self._board = SummaryWriter(place, purge_step=self._first + 1)

    def add(self, number: int, step: Step) -> None:
        """Count step `number` (from 1)."""
        self._waiting.append(step)
        if number % self._every and number != self._steps:
            return
        now = time.monotonic()
        seconds = max(now - self._told - self._paused, 1e-9)
        tokens = sum(one.tokens for one in self._waiting)
        answers = sum(one.answer_tokens for one in self._waiting)
        operations = self._work.operations(tokens, answers)
        left = (now - self._started) / (number - self._first) * (self._steps - number)
        self.latest = {
            "step": number,
            "steps": self._steps,
            "loss": sum(one.loss * one.answer_tokens for one in self._waiting) / answers,
            "gradient_norm": step.gradient_norm,
            "learning_rate": step.learning_rate,
            "examples": sum(one.examples for one in self._waiting),
            "tokens": tokens,
            "answer_tokens": answers,
            "seconds": seconds,
            "tokens_per_second": tokens / seconds,
            "flops_utilisation": None if self._peak is None else operations / seconds / self._peak,
            "memory_bytes": memory_bytes(),
            "eta_seconds": left,
        }
        self._told, self._paused, self._waiting = now, 0.0, []
        self._tell(self.latest)
        self._metrics.count("midb_ray_training_tokens", tokens)
        for name, key in _GAUGES.items():
            self._metrics.set(name, self.latest[key])
        logger.info(line(self.latest), extra=logs.figures(self.latest))

    def validated(self, number: int, losses: dict[str, float], mean: float, seconds: float) -> None:
        """Tell of a look at the validation set after step `number`, which took `seconds`."""
        self._paused += seconds
        entry = {"step": number, "validation_loss": mean, "validation": losses}
        self._tell(entry)
        for language, loss in losses.items():
            self._metrics.set("midb_ray_validation_loss", loss, language=language)
        said = f"train: step {number:,} of {self._steps:,}, validation loss {mean:.4f}"
        logger.info(said, extra=logs.figures(entry))

    def paused(self, seconds: float) -> None:
        """Leave the time of a checkpoint out of the speed."""
        self._paused += seconds

    def close(self) -> None:
        """Write what waits."""
        with _not_worth_a_run():
            self._timeline.flush()
            if self._board is not None:
                self._board.close()
                if self._board_folder is not None:
                    transfer.upload(Path(self._board_folder.name), storage.join(self._run, _TENSORBOARD))
                    self._board_folder.cleanup()

    def _tell(self, entry: dict[str, Any]) -> None:
        with _not_worth_a_run():
            self._timeline.add(entry)
            known = {"job": "train", "state": "running", "updated": time.time(), **self.latest}
            folder.write_json(self._run, _PROGRESS, known)
        if self._board is not None:
            flat = {**entry, **{f"validation/{name}": loss for name, loss in entry.get("validation", {}).items()}}
            for name, value in flat.items():
                if isinstance(value, (int, float)) and name not in ("step", "steps"):
                    self._board.add_scalar(name, value, entry["step"])


@contextlib.contextmanager
def _not_worth_a_run() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        logger.warning("Cannot write metrics: %s", error)


@contextlib.contextmanager
def state(run: str) -> Iterator[None]:
    """Say in progress.json how the block ended: workers cannot know."""
    try:
        yield
    except BaseException:
        _write_state(run, "stopped")
        raise
    _write_state(run, "finished")


def _write_state(run: str, ended: str) -> None:
    try:
        known = json.loads(storage.read_bytes(storage.join(run, _PROGRESS)))
        folder.write_json(run, _PROGRESS, {**known, "state": ended, "updated": time.time()})
    except FileNotFoundError:  # no worker came as far as its first step
        return
    except (OSError, ValueError, TypeError) as error:
        logger.warning("Cannot write %s: %s", _PROGRESS, error)


def line(figures: dict[str, Any]) -> str:
    """One plain line for logs."""
    used = figures["flops_utilisation"]
    minutes, seconds = divmod(int(figures["eta_seconds"]), 60)
    hours, minutes = divmod(minutes, 60)
    return (
        f"train: step {figures['step']:,} of {figures['steps']:,}, loss {figures['loss']:.4f}, gradient norm "
        f"{figures['gradient_norm']:.2f}, {figures['tokens_per_second']:,.0f} tokens/s, "
        + ("" if used is None else f"{used:.1%} of peak, ")
        + f"{figures['memory_bytes'] / 2**30:.1f} GiB, ETA {hours}:{minutes:02d}:{seconds:02d}"
    )


def memory_bytes() -> int:
    """The most memory that this worker has used: of its GPU, or of its process without one."""
    import torch

    if torch.cuda.is_available() and torch.cuda.is_initialized():
        return int(torch.cuda.max_memory_allocated())
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
