"""The settings of `midb-ray plan`."""

from __future__ import annotations

import pydantic

from midb_ray.config import Settings


class PlannedPool(Settings):
    """The pool that the whole run would have; what is left out is the pilot's."""

    replicas: int | None = pydantic.Field(None, ge=1)
    """Number of engine actors; none: the pilot's, at its largest."""
    gpus_per_replica: float | None = pydantic.Field(None, ge=0)
    """GPUs of each actor; none: the pilot's."""
    cpus_per_replica: float | None = pydantic.Field(None, gt=0)
    """CPUs of each actor; none: the pilot's."""


class PlanSettings(Settings):
    """Forecast what a whole run takes, from a finished pilot of it: tokens, engine hours, time, memory and money."""

    pilot: str = pydantic.Field(min_length=1)
    """Run folder of a finished boost or score job over a part of the input; --sample 0.02 makes the best pilot."""
    input: tuple[str, ...] = pydantic.Field(min_length=1)
    """The whole input, as the run would get it: files, folders or patterns."""
    pool: PlannedPool = PlannedPool()
    prices: str | None = None
    """YAML file of machines and their prices; none: the one that is shipped, which is a beginning and no offer."""
    machine: tuple[str, ...] = ()
    """Machines of that file to look at; none: all of them."""
    deadline: float | None = pydantic.Field(None, gt=0)
    """Hours in which the run is to be done; says how large a pool has to be."""
    budget: float | None = pydantic.Field(None, gt=0)
    """The most that the run may cost, in the currency of the prices."""
    look: int = pydantic.Field(50_000, ge=1)
    """Rows of the input that are read, all over it, to learn languages, lengths and repetitions; all rows where it has no more."""
    count_gigabytes: float = pydantic.Field(50, gt=0)
    """Input files of so many gigabytes are counted row by row; what is beyond is estimated from sizes."""
    write: str | None = None
    """File for the forecast as JSON."""
