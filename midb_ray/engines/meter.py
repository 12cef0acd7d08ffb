"""How busy an engine is: for the driver with each shard's figures, and for Prometheus as Ray's metrics.

An engine is busy while at least one shard is at it. Each shard that is committed takes along the seconds since the one before, so
sums over shards are neither doubled nor lost when actors are restarted or runs go on; what a killed actor had not told is no
longer counted on either side.
"""

from __future__ import annotations

import contextlib
import platform
import threading
import time
from collections.abc import Iterator
from typing import NamedTuple

from midb_ray.engines.base import Charged, Engine
from midb_ray.runs.figures import NO_USAGE, EngineFigures, Usage
from midb_ray.runs.metrics import Metrics


class Told(NamedTuple):
    """Seconds, up and busy, that a shard takes along, and what a server counted meanwhile."""

    up: float
    busy: float
    usage: Usage = NO_USAGE


class Meter:
    """One engine's. Used from the event loop and from threads."""

    def __init__(self, run: str = "") -> None:
        """Before the engine is loaded, so that one that dies over it is seen too. `run` is the URI of the run folder."""
        self._lock = threading.Lock()
        self._charged: Charged | None = None
        self._usage = NO_USAGE  # that no shard has taken along yet
        self._inside = 0
        self._looked = time.monotonic()
        self._up = self._busy = 0.0  # seconds that no shard has taken along yet
        self.name = _name()
        self._metrics = Metrics(run=run, engine_node=self.name[0], engine_actor=self.name[1]) if self.name[1] else None
        if self._metrics:
            self.count(0, 0, Told(0.0, 0.0))
            self._metrics.set("midb_ray_shards_in_flight", 0)
            self._metrics.set("midb_ray_engine_restarts", _restarts())

    def begin(self, engine: Engine | None) -> None:
        """The engine is loaded, if it can be: what is counted begins."""
        with self._lock:
            self._charged = engine if isinstance(engine, Charged) else None
            self._looked = time.monotonic()

    @contextlib.contextmanager
    def at_engine(self) -> Iterator[None]:
        """Around a shard's time at the engine."""
        self._change(1)
        try:
            yield
        finally:
            self._change(-1)

    def take(self) -> Told:
        """What came together since the last call."""
        with self._lock:
            self._look()
            usage = self._usage if self._charged is None else self._usage.plus(self._charged.usage())
            told, self._up, self._busy, self._usage = Told(self._up, self._busy, usage), 0.0, 0.0, NO_USAGE
        return told

    def give_back(self, told: Told) -> None:
        """The shard that took them could not be committed."""
        with self._lock:
            self._up += told.up
            self._busy += told.busy
            self._usage = self._usage.plus(told.usage)

    def figures(self, rows: int, errors: int, tokens: int, told: Told) -> dict[tuple[str, str], EngineFigures]:
        """What a shard says of its engine."""
        return {self.name: EngineFigures(1, rows, tokens, told.up, told.busy, errors, told.usage)}

    def count(self, rows: int, tokens: int, told: Told) -> None:
        """A shard is committed."""
        if self._metrics:
            self._metrics.count("midb_ray_rows", rows)
            self._metrics.count("midb_ray_generated_tokens", tokens)
            self._metrics.count("midb_ray_busy_seconds", told.busy)
            self._metrics.count("midb_ray_up_seconds", told.up)

    def _change(self, by: int) -> None:
        with self._lock:
            self._look()
            self._inside += by
            if self._metrics:
                self._metrics.set("midb_ray_shards_in_flight", self._inside)

    def _look(self) -> None:
        now = time.monotonic()
        passed, self._looked = now - self._looked, now
        self._up += passed
        if self._inside:
            self._busy += passed


def _name() -> tuple[str, str]:
    """The node's address and the actor's id, which stays the same over restarts; the host and nothing outside an actor."""
    import ray

    if not ray.is_initialized():
        return platform.node(), ""
    return ray.util.get_node_ip_address(), (ray.get_runtime_context().get_actor_id() or "")[:12]


def _restarts() -> int:
    """How often Ray has started this actor's process again."""
    import ray
    from ray._private import state

    return int(state.actors(ray.get_runtime_context().get_actor_id()).get("NumRestarts", 0))
