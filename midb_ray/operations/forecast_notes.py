"""What of a forecast a reader has to know beside its figures: where the pilot is biased, too small, or of another kind."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from midb_ray.operations.estimates import Strata
from midb_ray.operations.forecast_pool import Needs
from midb_ray.operations.forecast_settings import PlanSettings
from midb_ray.operations.look import Look
from midb_ray.operations.pace import Pace
from midb_ray.operations.pilot import Pilot

_FEW_PAIRS = 200
_LONGER = 0.1  # difference of mean lengths that is told
_FAILED = 0.01  # share of requests on which the pilot's engine failed


def notes(settings: PlanSettings, tried: Pilot, seen: Look, strata: Strata, pace: Pace, needs: Needs) -> list[str]:
    """The notes, most important first."""
    return [*_about_sample(tried, seen, strata), *_about_pace(settings, tried, pace, needs), *_about_look(seen)]


def _about_sample(tried: Pilot, seen: Look, strata: Strata) -> Iterator[str]:
    if (limit := tried.settings.get("limit")) is not None:
        yield (
            f"The pilot took the first {limit:,} rows of each language (limit) and not rows from all over the input. How many rows "
            "there are of each language and length is taken from the whole input, but later rows may be of another kind, which no "
            "interval here covers: make the pilot with --sample instead."
        )
    if not {file.uri for file in tried.files} & {file.uri for file in seen.files}:
        yield "The pilot read none of these input files: the forecast holds as far as they are of the same kind."
    if tried.sample.size < _FEW_PAIRS:
        yield f"The pilot has only {tried.sample.size:,} pairs; with {_FEW_PAIRS:,} or more the intervals mean what they say."
    if strata.borrowed:
        yield (
            f"The pilot has no pair in {', '.join(strata.borrowed)}: those of the other languages stand for them, and tokens per "
            "character differ between languages."
        )
    theirs, ours = tried.sample.characters.mean(), seen.sample.characters.mean()
    if abs(theirs / ours - 1) > _LONGER:
        word = "longer" if theirs > ours else "shorter"
        yield f"The pilot's pairs are {abs(theirs / ours - 1):.0%} {word} than those of the input; lengths are allowed for."
    errors, requests = tried.figures.engine_errors
    if errors > _FAILED * requests:
        yield f"The pilot's engine failed on {errors:,} of {requests:,} requests; what failed took less than an answer would."


def _about_pace(settings: PlanSettings, tried: Pilot, pace: Pace, needs: Needs) -> Iterator[str]:
    if not pace.steady:
        yield (
            "The pilot was too short to fill its engines (it takes some times the rows that are in flight: pool.rows_in_flight), "
            "so the rate is that of filling and emptying ones: the whole run may well be faster."
        )
    if pace.steady and pace.waited and not pace.feeding.value:
        yield (
            f"The pilot's engines had work for {pace.busy:.0%} of their time, while the processes that read were starting: the "
            "pilot is too short to tell whether the engines of a long run would wait too."
        )
    if pace.feeding.value:
        yield (
            f"The pilot's engines had work for {pace.busy:.0%} of their time only: reading, preparing or storage held them back. "
            "More replicas do not help beyond that; more CPUs for the tasks that read do."
        )
    before: dict[str, Any] = tried.settings["pool"]
    if needs.gpus != before["gpus_per_replica"]:
        yield (
            f"The pilot's replicas had {before['gpus_per_replica']:g} GPUs each and those of the forecast have {needs.gpus:g}: the "
            "rate is the pilot's all the same."
        )
    if len(before["replicas"]) > 1 and settings.pool.replicas is None:
        yield f"The pool may grow from {before['replicas'][0]} to {before['replicas'][1]} replicas; it is forecast at its largest."
    yield (
        "The rate was measured on the machine of the pilot. For another machine it is a guess, unless `speed` in the table of "
        "prices says how much faster that is."
    )


def _about_look(seen: Look) -> Iterator[str]:
    if not seen.counted:
        yield (
            "Not all files were counted (count_gigabytes): the number of rows is estimated from their sizes, and no interval "
            "covers that."
        )
    if seen.dead:
        yield f"{seen.dead:,} of the {seen.read:,} rows that were looked at are no pairs: they become dead letters."
