"""How fast a pilot's engines were once they were at work, and what each start of a run takes beside that."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import Literal

import numpy as np

from midb_ray.engines.pool_settings import InFlight
from midb_ray.operations import occupancy
from midb_ray.operations.estimates import Estimate, ratio
from midb_ray.operations.pilot import Beat

Unit = Literal["tokens", "requests", "rows"]

_STARVED = 0.8  # busy for less of its time, an engine waits for its input or its output
_MOST = 0.8  # of the rows, that engines with a steady stretch have brought: others only looked in
_LONG = 60.0  # seconds of a steady stretch from which on waiting is more than the start of the processes that read


@dataclass(frozen=True)
class Pace:
    """Seconds of one engine for each `unit` of work, and the seconds for each that pass wherever the engines wait to be fed
    (`feeding`, however many engines there are; 0: they are fed fast enough). `fixed` are the seconds of a start: loading, the
    first shards, the last ones. `steady` says that the rate is that of full engines; `busy` is the share of their time that they
    had work."""

    unit: Unit
    seconds: Estimate
    feeding: Estimate
    fixed: float
    engines: int
    busy: float
    steady: bool

    @property
    def waited(self) -> bool:
        """Whether the engines had too little to do."""
        return self.busy < _STARVED

    def engine_seconds(self, work: Estimate) -> Estimate:
        """The time of all engines together for so much work."""
        return work.by(self.seconds)

    def wall(self, work: Estimate, replicas: int, speed: float = 1.0) -> Estimate:
        """How long a pool of so many engines, each `speed` times as fast as the pilot's, is up for so much work."""
        computed = self.engine_seconds(work).times(1 / replicas / speed)
        fed = work.by(self.feeding)
        return (computed if computed.value >= fed.value else fed).plus(self.fixed)


def measure(beats: list[Beat], inside: InFlight, shard_rows: float, up: float) -> Pace:
    """The pace of a pilot whose pool was up for so many seconds, with `inside` in flight in each engine.

    The steady stretch of an engine lies between the shards that it began with and those that it ended with, as many as are in
    flight. Where that is a minute or more, the rate is that of the stretch. A shorter one is too much of a beginning: there the
    rate is that of the time in which engines were full, with all bundles inside but the one that is read or written meanwhile.
    Where not even that is known, it is that of the stretch all the same, and without one that of the busy time.
    """
    unit: Unit = "tokens" if any(beat.tokens for beat in beats) else "requests"
    if unit == "requests" and not any(beat.requests for beat in beats):
        unit = "rows"
    by_actor: dict[tuple[str, str], list[Beat]] = defaultdict(list)
    for beat in sorted(beats, key=lambda one: one.when):
        by_actor[beat.actor].append(beat)
    engines = max(len(by_actor), 1)
    in_flight = inside.rows(shard_rows)
    middles = [_middle(mine, in_flight) for mine in by_actor.values()]
    with_middle = sum(
        beat.rows for mine, middle in zip(by_actor.values(), middles, strict=True) if middle for beat in mine
    )
    steady = sum(map(len, middles)) >= occupancy.FEWEST and with_middle >= _MOST * sum(beat.rows for beat in beats)
    taken = [beat for middle in (middles if steady else by_actor.values()) for beat in middle]
    work = np.array([getattr(beat, unit) for beat in taken], dtype=np.float64)
    ups, busies = (np.array([getattr(beat, name) for beat in taken]) for name in ("up", "busy"))
    busy = float(busies.sum() / ups.sum()) if ups.sum() else 1.0
    # Short pilots wait for processes that start; only without an engine is reading all that there is to measure.
    is_long = steady and float(ups.sum()) / engines >= _LONG
    fed = unit != "rows" and (busy >= _STARVED or not is_long)
    seconds = ratio(ups if steady and busy >= _STARVED else busies, work)
    full = None if unit == "rows" or is_long else _full(list(by_actor.values()), unit, inside, shard_rows)
    if full is not None:
        steady, seconds = True, ratio(full.seconds, full.work)
    feeding = Estimate(0.0) if fed else ratio(ups, work).times(1 / engines)
    done = float(sum(getattr(beat, unit) for beat in beats))
    working = max(done * seconds.value / engines, done * feeding.value)
    return Pace(unit, seconds, feeding, max(up - working, 0.0), engines, busy, steady)


def _full(engines: list[list[Beat]], unit: Unit, inside: InFlight, shard_rows: float) -> occupancy.Full | None:
    work = [[float(getattr(beat, unit)) for beat in beats] for beats in engines]
    bundle = inside.bundle_rows(shard_rows)
    is_one_shard = bundle < 2 * shard_rows  # whatever its rows are: what is bounded is the number of bundles
    return occupancy.full(
        engines, work, lambda beat: 1.0 if is_one_shard else beat.rows / bundle, max(inside.bundles - 1, 1)
    )


def _middle(beats: list[Beat], in_flight: int) -> list[Beat]:
    """The shards of one engine, in their order, without the first and the last rows that were in flight."""
    total = sum(beat.rows for beat in beats)
    before, found = 0, []
    for beat in beats:
        if before >= in_flight and before + beat.rows <= total - in_flight:
            found.append(beat)
        before += beat.rows
    return found
