"""The settings of the engine pool; apart from the pool itself, so that settings load without Ray."""

from __future__ import annotations

import pydantic

from midb_ray.config import Settings


class PoolSettings(Settings):
    """The pool of engine actors."""

    replicas: tuple[int, ...] = (1,)
    """Number of engine actors; two numbers are the bounds of an autoscaling pool."""
    gpus_per_replica: float = pydantic.Field(0, ge=0)
    """GPUs of each actor; a fraction lets actors share one."""
    cpus_per_replica: float = pydantic.Field(1, gt=0)
    """CPUs that Ray reserves for each actor."""
    shards_in_flight: int = pydantic.Field(2, ge=1, le=64)
    """Shards inside an actor at the same time; a kill costs at most these."""
    cpus_per_task: float = pydantic.Field(0.5, gt=0)
    """CPUs that Ray reserves for each task that reads and renders a shard."""

    @pydantic.field_validator("replicas")
    @classmethod
    def _bounds(cls, value: tuple[int, ...]) -> tuple[int, ...]:
        if len(value) not in (1, 2) or min(value) < 1 or list(value) != sorted(value):
            raise ValueError("expected one number of at least 1, or a lower and an upper bound")
        return value
