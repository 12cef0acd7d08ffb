"""`midb-ray plan`: what a whole run takes, forecast from a pilot and a look at the input."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from midb_ray.engines import registry
from midb_ray.engines.pool_settings import PoolSettings
from midb_ray.engines.settings import EngineSettings
from midb_ray.errors import UserError
from midb_ray.operations import forecast_notes, look, memory_fit, pace, pilot, prices
from midb_ray.operations import forecast_pool as pools
from midb_ray.operations.estimates import Estimate, Strata
from midb_ray.operations.forecast_pool import Needs, Offer
from midb_ray.operations.forecast_settings import PlanSettings
from midb_ray.operations.look import Look
from midb_ray.operations.memory_fit import Demand, Fit
from midb_ray.operations.pace import Pace
from midb_ray.operations.pilot import Pilot
from midb_ray.operations.prices import Machine, Prices


@dataclass(frozen=True)
class Amounts:
    """What the pairs of a language, or all of them, take. `generated` leaves out answers that stand for several pairs; `requests`
    are what the engine is asked."""

    pairs: Estimate
    skipped: Estimate
    repeated: Estimate
    prompt: Estimate
    answer: Estimate
    generated: Estimate
    requests: Estimate
    engine_hours: Estimate

    def to_dict(self) -> dict[str, dict[str, float]]:
        """As plain data."""
        return {name: getattr(self, name).to_dict() for name in self.__dataclass_fields__}


@dataclass(frozen=True)
class Forecast:
    """All that is told. `counted` says that amounts are tokens and not characters; `served` is what a server asks for them, in its
    own currency; `offers` are pools of the size that was asked for, `kept` those that keep deadline and budget, `choice` the best
    of them."""

    rows: float
    rows_are_counted: bool
    share_seen: float
    counted: bool
    languages: dict[str, Amounts]
    total: Amounts
    pace: Pace
    replicas: int
    hours: Estimate
    served: Estimate | None
    fits: dict[str, Fit]
    offers: list[Offer]
    kept: list[Offer]
    choice: Offer | None
    prices: Prices
    notes: list[str]

    def to_dict(self) -> dict[str, Any]:
        """As plain data."""
        return {
            "rows": self.rows,
            "rows_are_counted": self.rows_are_counted,
            "share_seen": self.share_seen,
            "unit": "tokens" if self.counted else "characters",
            "languages": {name: amounts.to_dict() for name, amounts in self.languages.items()},
            "total": self.total.to_dict(),
            "pace": {
                "unit": self.pace.unit,
                "engine_seconds_per_unit": self.pace.seconds.to_dict(),
                "start_seconds": self.pace.fixed,
                "engines": self.pace.engines,
                "busy": self.pace.busy,
                "steady": self.pace.steady,
            },
            "replicas": self.replicas,
            "hours": self.hours.to_dict(),
            "served_cost": None if self.served is None else self.served.to_dict(),
            "memory": {name: {"verdict": fit.verdict, "words": fit.words} for name, fit in self.fits.items()},
            "currency": self.prices.currency,
            "offers": [offer.to_dict() for offer in self.offers],
            "kept": [offer.to_dict() for offer in self.kept],
            "choice": None if self.choice is None else self.choice.to_dict(),
            "notes": self.notes,
        }


def plan(settings: PlanSettings) -> Forecast:
    """The forecast. Writes nothing. Raises `UserError` for a pilot, an input or a table that cannot be used."""
    table = prices.read(settings.prices, settings.machine)
    tried = pilot.read(settings.pilot)
    seen = look.take(settings.input, tried.settings, tried.locales, settings.look, settings.count_gigabytes * 1e9)
    return forecast(settings, table, tried, seen)


def forecast(settings: PlanSettings, table: Prices, tried: Pilot, seen: Look) -> Forecast:
    """What follows from a pilot and a look."""
    strata = Strata(seen.sample, seen.unit_rows, tried.sample, seen.rows / seen.read, seen.share)
    pool = PoolSettings.model_validate(tried.settings["pool"])
    speed = _pace(tried, pool)
    languages = {language: _amounts(strata, tried, seen, speed, language) for language in strata.languages}
    total = _amounts(strata, tried, seen, speed, None)
    work = _work(total, speed, seen)
    gpus = pool.gpus_per_replica if settings.pool.gpus_per_replica is None else settings.pool.gpus_per_replica
    needs = Needs(work, speed, gpus, settings.pool.cpus_per_replica or pool.cpus_per_replica)
    replicas = settings.pool.replicas or pool.replicas[-1]
    suitable = {name: one for name, one in table.machines.items() if one.replicas(gpus, needs.cpus)}
    fits = _fits(tried, suitable, needs)
    usable = {name: one for name, one in suitable.items() if fits[name].verdict != "too small"}
    offers = [pools.offer(name, one, table, needs, replicas, fits[name]) for name, one in usable.items()]
    kept: list[Offer] = []
    if settings.deadline is not None or settings.budget is not None:
        bounds = settings.deadline, settings.budget
        found = (pools.within(name, one, table, needs, fits[name], *bounds) for name, one in usable.items())
        kept = [one for one in found if one is not None]
    return Forecast(
        seen.rows,
        seen.counted,
        seen.share,
        tried.counted,
        languages,
        total,
        speed,
        replicas,
        speed.wall(work, replicas).times(1 / 3600),
        _served(tried, total),
        fits,
        offers,
        kept,
        pools.best(kept, settings.deadline),
        table,
        forecast_notes.notes(settings, tried, seen, strata, speed, needs),
    )


def _amounts(strata: Strata, tried: Pilot, seen: Look, speed: Pace, language: str | None) -> Amounts:
    generated = strata.amount(tried.answer, language, seen.repeats)
    asked = strata.count(~tried.skipped, language)
    # Samples are several requests for a pair; shards say how many there were.
    sent = sum(beat.requests for beat in tried.beats)
    requests = asked.times(sent / max(int((~tried.skipped).sum()), 1))
    repeated = strata.seen_count(seen.repeats, language)
    if speed.unit == "rows":  # of the input, among which dead letters are
        spent = strata.pairs(language).times(seen.read / max(strata.seen.size, 1))
    else:
        spent = generated if speed.unit == "tokens" else requests
    return Amounts(
        strata.pairs(language),
        strata.count(tried.skipped, language),
        repeated,
        strata.amount(tried.prompt, language),
        strata.amount(tried.answer, language),
        generated,
        requests,
        speed.engine_seconds(spent).times(1 / 3600),
    )


def _work(total: Amounts, speed: Pace, seen: Look) -> Estimate:
    if speed.unit == "rows":
        return Estimate(seen.rows)
    return total.generated if speed.unit == "tokens" else total.requests


def _pace(tried: Pilot, pool: PoolSettings) -> Pace:
    rows = [beat.rows for beat in tried.beats]
    shard_rows = max(float(np.mean(rows)), 1.0) if rows else 1.0
    inside = pool.in_flight(shard_rows, _rows_at_once(tried))
    return pace.measure(tried.beats, inside, shard_rows, tried.seconds)


def _rows_at_once(tried: Pilot) -> int:
    return registry.rows_at_once(EngineSettings.model_validate(tried.settings["engine"]))


def _fits(tried: Pilot, machines: dict[str, Machine], needs: Needs) -> dict[str, Fit]:
    """Whether the model fits each machine."""
    engine = tried.settings["engine"]
    try:
        found = memory_fit.footprint(engine, needs.gpus > 0)
    except UserError as error:
        return dict.fromkeys(machines, Fit("unknown", 0.0, 0, str(error).rstrip(".")))
    both = tried.prompt + tried.answer if tried.counted else np.zeros(1)
    asked = max(int((~tried.skipped).sum()), 1)
    mean = float(both.sum()) / asked
    rows = _rows_at_once(tried)
    if engine["kind"] == "transformers":
        rows = max(min(rows, int(engine["batch_tokens"] / max(mean, 1))), 1)
    demand = Demand(rows, mean, float(both.max()))
    share = float(engine["memory_share"])
    return {
        name: memory_fit.fit(found, demand, one, needs.gpus, share, one.replicas(needs.gpus, needs.cpus))
        for name, one in machines.items()
    }


def _served(tried: Pilot, total: Amounts) -> Estimate | None:
    """What a server that told its price for the pilot asks for the whole: by the tokens, prompts and answers alike."""
    cost = tried.figures.usage.cost
    base = float(tried.prompt.sum() + tried.answer.sum())
    if not cost or not base:
        return None
    tokens = Estimate(total.prompt.value + total.answer.value, total.prompt.error + total.answer.error)
    return tokens.times(cost / base)
