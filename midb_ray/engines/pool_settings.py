"""The settings of the engine pool; apart from the pool itself, so that settings load without Ray."""

from __future__ import annotations

import math
from typing import Any, Literal, NamedTuple

import pydantic

from midb_ray.config import Settings
from midb_ray.runs import labels

MOST_IN_FLIGHT, MOST_ROWS = 64, 1_000_000
LEAST, MOST = 2, 32  # that auto takes: actors that take in many more are slow to start
ROWS_AT_ONCE = 256  # of an engine that does not say so itself
_TOGETHER, _SHARE = 64, 8  # rows of small shards that travel together, and of rows_in_flight at most one in so many


class InFlight(NamedTuple):
    """Bundles that are inside an actor at the same time, and how many rows of small shards travel as one of them."""

    bundles: int
    together: int

    def rows(self, shard_rows: float) -> int:
        """Rows that are inside, for shards of so many on average."""
        return int(self.bundles * self.bundle_rows(shard_rows))

    def bundle_rows(self, shard_rows: float) -> float:
        """Rows of one bundle, which is whole shards of so many on average, one at least."""
        return _held(self.together, shard_rows)


class PoolSettings(Settings):
    """The pool of engine actors."""

    replicas: tuple[int, ...] = (1,)
    """Number of engine actors; two numbers are the bounds of an autoscaling pool."""
    gpus_per_replica: float = pydantic.Field(0, ge=0)
    """GPUs of each actor; a fraction lets actors share one."""
    cpus_per_replica: float = pydantic.Field(1, gt=0)
    """CPUs that Ray reserves for each actor."""
    shards_in_flight: Literal["auto"] | int = "auto"
    """Shards inside an actor at the same time; a kill costs at most these. auto: as many as hold rows_in_flight rows, one
    more while others are read and written, and from 2 to 32."""
    rows_in_flight: Literal["auto"] | int = "auto"
    """Rows that an actor should have at hand, for shards_in_flight auto. auto: twice what its engine works on at once."""
    cpus_per_task: float = pydantic.Field(0.5, gt=0)
    """CPUs that Ray reserves for each task that reads and renders a shard."""
    label_selector: labels.Selector = None
    """Labels of the nodes for the run's work, as Ray's label selectors, such as {"ray.io/accelerator-type": "H100"}. none: all but
    nodes that are labelled midb-ray/work=train, or boost too if the actors take no GPUs. {}: any node."""
    loads_at_once: int = pydantic.Field(2, ge=1)
    """Engines of one node that load at the same time; the others wait for their turn."""
    start_timeout: float = pydantic.Field(1800, gt=0)
    """Seconds that an engine may take to load, its turn not counted; then the job ends with the engine's last words."""
    storage_patience: float = pydantic.Field(120, ge=0)
    """Seconds for which storage may refuse to be read or written before the job stops; it can then go on later."""
    deduplicate: Literal["shard", "run"] = "shard"
    """Where equal prompts are answered once: in each shard, or in the whole run, over all actors."""
    answers_gigabytes: float = pydantic.Field(16, gt=0)
    """Disk for the answers that are kept for deduplicate run, on one node; beyond it the oldest are forgotten."""

    @pydantic.field_validator("replicas")
    @classmethod
    def _bounds(cls, value: tuple[int, ...]) -> tuple[int, ...]:
        if len(value) not in (1, 2) or min(value) < 1 or list(value) != sorted(value):
            raise ValueError(f"expected one number of at least 1, or a lower and an upper bound, found {list(value)}")
        return value

    @pydantic.field_validator("shards_in_flight", "rows_in_flight", mode="before")
    @classmethod
    def _auto_or_number(cls, value: Any, info: pydantic.ValidationInfo) -> Any:
        most = MOST_IN_FLIGHT if info.field_name == "shards_in_flight" else MOST_ROWS
        if value != "auto" and not (str(value).isdecimal() and 1 <= int(value) <= most):
            raise ValueError(f"expected auto or a whole number from 1 to {most}, found {value!r}")
        return value

    @property
    def nodes(self) -> dict[str, str]:
        """The label selector of all that the run starts."""
        if self.label_selector is not None:
            return self.label_selector
        return labels.but("train") if self.gpus_per_replica else labels.ELSE

    def in_flight(self, shard_rows: float, at_once: int) -> InFlight:
        """What is inside an actor at the same time, for shards of so many rows on average and an engine that works on so many rows
        at once."""
        if self.shards_in_flight != "auto":
            return InFlight(self.shards_in_flight, 1)
        wanted = 2 * at_once if self.rows_in_flight == "auto" else self.rows_in_flight
        together = max(min(_TOGETHER, wanted // _SHARE), wanted // (MOST - 1), 1)
        enough = math.ceil(wanted / _held(together, shard_rows)) + 1
        return InFlight(min(max(enough, LEAST), MOST), together)


def _held(together: int, shard_rows: float) -> float:
    """Rows of a bundle: whole shards, one at least."""
    return max(together // max(shard_rows, 1), 1) * max(shard_rows, 1)
