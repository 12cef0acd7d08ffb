"""When a run's driver began and whether it ended in order, for the alert that a run is lost."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator

from midb_ray.runs.metrics import Metrics


@contextlib.contextmanager
def lifetime(job: str, run: str) -> Iterator[None]:
    """Around all that a driver does, inside its session of Ray. In order: to the end, to a cap, or until it was told to stop. An
    error is not: somebody has to look."""
    metrics = Metrics(job_name=job, run=run)
    metrics.set("midb_ray_start_time_seconds", time.time())
    try:
        yield
    except KeyboardInterrupt:
        metrics.set("midb_ray_end_time_seconds", time.time())
        raise
    metrics.set("midb_ray_end_time_seconds", time.time())
