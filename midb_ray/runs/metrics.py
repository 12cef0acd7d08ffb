"""What Prometheus can read of a job, through Ray's metrics of each node. docs/operations-metrics.md says what each means.

Ray puts `ray_` before these names, and Prometheus' convention `_total` behind those of counters.
"""

from __future__ import annotations

import sys
import threading
import time
import weakref
from collections.abc import Mapping
from typing import Any, Final, Literal, NamedTuple


class Metric(NamedTuple):
    """One of the table below."""

    kind: Literal["counter", "gauge"]
    labels: tuple[str, ...]
    meaning: str

    def series(self, name: str) -> str:
        """What Prometheus calls it."""
        return f"ray_{name}_total" if self.kind == "counter" else f"ray_{name}"


_JOB: Final = ("job_name", "run")  # a label "job" is Prometheus' own: the job of scraping
_ENGINE: Final = ("run", "engine_node", "engine_actor")

METRICS: Final[Mapping[str, Metric]] = {
    "midb_ray_start_time_seconds": Metric("gauge", _JOB, "When the driver began: seconds since 1970."),
    "midb_ray_end_time_seconds": Metric("gauge", _JOB, "When it ended in order; told once, as the last of it."),
    "midb_ray_rows_planned": Metric("gauge", _JOB, "Rows of the input."),
    "midb_ray_rows_done": Metric(
        "gauge", _JOB, "Rows that are pairs or dead letters by now, over all starts of the run."
    ),
    "midb_ray_shards_left": Metric("gauge", _JOB, "Shards that are not committed."),
    "midb_ray_pairs": Metric("counter", (*_JOB, "language", "decision"), "Pairs that came out in this start."),
    "midb_ray_dead_letters": Metric("counter", (*_JOB, "reason"), "Dead letters of this start."),
    "midb_ray_dead_letter_share": Metric("gauge", _JOB, "Dead letters among the rows done, over all starts."),
    "midb_ray_dead_letter_budget": Metric("gauge", _JOB, "The share that max_dead_letters allows."),
    "midb_ray_rows": Metric("counter", _ENGINE, "Rows that came out of the engine."),
    "midb_ray_generated_tokens": Metric("counter", _ENGINE, "Tokens that the engine has generated."),
    "midb_ray_busy_seconds": Metric("counter", _ENGINE, "Seconds with at least one shard at the engine."),
    "midb_ray_up_seconds": Metric("counter", _ENGINE, "Seconds that the engine was up, loading left out."),
    "midb_ray_shards_in_flight": Metric("gauge", _ENGINE, "Shards at the engine."),
    "midb_ray_engine_restarts": Metric("gauge", _ENGINE, "How often the engine's process was started again."),
    "midb_ray_training_steps_planned": Metric("gauge", _JOB, "Optimizer steps of the whole training."),
    "midb_ray_training_steps_done": Metric("gauge", _JOB, "Optimizer steps by now."),
    "midb_ray_training_loss": Metric("gauge", _JOB, "Mean loss of an answer token over the last steps."),
    "midb_ray_training_gradient_norm": Metric("gauge", _JOB, "Norm of the gradient at the last step told of."),
    "midb_ray_training_learning_rate": Metric("gauge", _JOB, "Learning rate at the last step told of."),
    "midb_ray_training_tokens": Metric("counter", _JOB, "Tokens trained on, over all workers."),
    "midb_ray_training_tokens_per_second": Metric("gauge", _JOB, "Their speed, without validation and checkpoints."),
    "midb_ray_training_memory_bytes": Metric("gauge", _JOB, "The most memory that the first worker has used."),
    "midb_ray_validation_loss": Metric("gauge", (*_JOB, "language"), "Loss on held-out revisions of a language."),
}


class Metrics:
    """Metrics with some of their labels known. Without Ray nobody reads them, and nothing is done."""

    def __init__(self, **labels: str) -> None:
        """`run` among the labels is the run folder's URI."""
        self._labels = labels if "run" not in labels else {**labels, "run": shown(labels["run"])}
        self._made: dict[str, Any] = {}
        self._gauges: dict[tuple[str, tuple[tuple[str, str], ...]], float] = {}
        self._lock = threading.Lock()
        self._is_read = _has_ray()
        if self._is_read:
            threading.Thread(target=_repeat, args=(weakref.ref(self),), name="metrics", daemon=True).start()

    def count(self, name: str, more: float, **labels: str) -> None:
        """Add to a counter; 0 makes it known, so that its first increase is seen as one."""
        assert METRICS[name].kind == "counter"
        self._record(name, more, labels)

    def set(self, name: str, value: float, **labels: str) -> None:
        """Say what a gauge shows from now on, until these metrics are no longer needed by anybody."""
        assert METRICS[name].kind == "gauge"
        with self._lock:
            self._gauges[name, tuple(labels.items())] = value
            self._record(name, value, labels)

    def repeat(self) -> None:
        """Say again what the gauges show."""
        with self._lock:
            for (name, labels), value in self._gauges.items():
                self._record(name, value, dict(labels))

    def _record(self, name: str, value: float, labels: Mapping[str, str]) -> None:
        if not self._is_read:
            return
        if name not in self._made:
            from ray.util import metrics

            metric = METRICS[name]
            made = (metrics.Counter if metric.kind == "counter" else metrics.Gauge)(name, metric.meaning, metric.labels)
            self._made[name] = made
        # `Counter.inc` refuses 0, and a `Gauge` does no more than this.
        self._made[name]._record(float(value), tags={**self._labels, **labels})


def shown(run: str) -> str:
    """A run folder's URI without credentials and query. A bucket's name has neither : nor @; a secret may hold @, / and ?."""
    scheme, separator, rest = run.partition("://")
    if not separator:
        return run
    if {":", "@"} & set(rest.partition("/")[0]):
        rest = rest.rpartition("@")[2]
    return f"{scheme}://{rest.partition('?')[0]}"


def _repeat(metrics: weakref.ref[Metrics]) -> None:
    """Ray passes on a gauge once, and forgets it where it hears nothing more for twice the interval at which it passes them on."""
    while True:
        time.sleep(_pause())
        known = metrics()
        if known is None or not _has_ray():
            return
        known.repeat()
        del known  # else these metrics would live as long as this thread


def _pause() -> float:
    from ray import _config

    return float(max(_config.metrics_report_interval_ms(), 1000)) / 2000  # half the interval, in seconds


def _has_ray() -> bool:
    return "ray" in sys.modules and bool(sys.modules["ray"].is_initialized())
