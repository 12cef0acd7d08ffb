"""When a pilot's engines were full, and what they did meanwhile.

A pilot of a few minutes is half beginning and end: processes start, the first shards come one by one, the last ones run out. What
an engine does with few shards inside says little of what it does with all it can take, so only its full time is looked at. The work
of a shard is spread evenly over the time that the shard was in its engine.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from midb_ray.operations.estimates import Numbers
from midb_ray.operations.pilot import Beat

FEWEST = 4  # shards' worth of work from which a rate is taken, and pieces that the time is cut into at least
_MOST = 10  # pieces; more would say no more of how much the rate varies
_TRUSTED = 0.2  # the times of commits and the engine's own clock may be so far apart, as a share
_NANO = 1e9


class Full(NamedTuple):
    """Pieces of the full time of engines: seconds and work of each."""

    seconds: Numbers
    work: Numbers


class _Span(NamedTuple):
    """A time in which the same shards were inside: how long, how many rows, work per second."""

    seconds: float
    rows: float
    rate: float


def full(engines: Sequence[Sequence[Beat]], work: Sequence[Sequence[float]], rows: float) -> Full | None:
    """The times in which an engine had at least so many rows inside; `work` is what each shard of each engine took. None if they
    hold less than four shards' work, or if the times of the commits are not those of the run, as in a folder that was copied."""
    pieces: list[Full] = []
    worth = 0.0
    for beats, amounts in zip(engines, work, strict=True):
        spans = _spans(beats, amounts)
        busy, seen = sum(beat.busy for beat in beats), sum(span.seconds for span in spans if span.rows)
        if abs(seen - busy) > _TRUSTED * busy:
            return None
        taken = [span for span in spans if span.rows >= rows]
        length = sum(span.seconds for span in taken)
        mean_work, mean_stay = float(np.mean(amounts)), float(np.mean([beat.inside for beat in beats]))
        if not (length and mean_work and mean_stay):
            continue
        worth += sum(span.seconds * span.rate for span in taken) / mean_work
        # Pieces shorter than a shard's stay would be alike, and the rate would seem surer than it is.
        pieces.append(_cut(taken, min(max(int(length / mean_stay), FEWEST), _MOST)))
    if worth < FEWEST:
        return None
    return Full(*(np.concatenate(parts) for parts in zip(*pieces, strict=True)))


def _spans(beats: Sequence[Beat], amounts: Sequence[float]) -> list[_Span]:
    """The engine's time from its first shard to its last, between the moments in which one comes in or goes out."""
    moments: list[tuple[float, float, float]] = []
    for beat, amount in zip(beats, amounts, strict=True):
        if beat.inside > 0:
            out = beat.when / _NANO
            rate = amount / beat.inside
            moments += [(out - beat.inside, beat.rows, rate), (out, -beat.rows, -rate)]
    moments.sort()
    rows = np.round(np.cumsum([moment[1] for moment in moments]), 6)
    rates = np.cumsum([moment[2] for moment in moments])
    return [
        _Span(after[0] - before[0], float(rows[place]), float(rates[place]))
        for place, (before, after) in enumerate(itertools.pairwise(moments))
    ]


def _cut(spans: Sequence[_Span], number: int) -> Full:
    """The time in so many pieces of equal length."""
    ends = np.cumsum([0.0, *(span.seconds for span in spans)])
    done = np.cumsum([0.0, *(span.seconds * span.rate for span in spans)])
    borders = np.linspace(0.0, ends[-1], number + 1)
    return Full(np.diff(borders), np.diff(np.interp(borders, ends, done)))
