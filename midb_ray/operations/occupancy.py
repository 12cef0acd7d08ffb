"""When a pilot's engines were full, and what they did meanwhile.

A pilot of a few minutes is half beginning and end: processes start, the first shards come one by one, the last ones run out. What
an engine does with few shards inside says little of what it does with all it can take, so only its full time is looked at. When a
shard left its engine is told by the engine's own clock: each commit says how long the engine was up since the one before. (Times of
files would be those of a copy, or whole seconds in an object store; only their order is used.) The work of a shard is spread
evenly over the time that the shard was inside.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from midb_ray.operations.estimates import Numbers
from midb_ray.operations.pilot import Beat

FEWEST = 4  # shards' worth of work from which a rate is taken
_PIECES = 2, 10  # that the full time is cut into at least and, for each engine, at most
_TRUSTED = 0.2  # the time with shards inside and the engine's busy time may be so far apart, as a share


class Full(NamedTuple):
    """Pieces of the full time of engines: seconds and work of each."""

    seconds: Numbers
    work: Numbers


class _Span(NamedTuple):
    """A time in which the same shards were inside: how long, how many bundles they are, work per second."""

    seconds: float
    bundles: float
    rate: float


def full(
    engines: Sequence[Sequence[Beat]], work: Sequence[Sequence[float]], shard: Callable[[Beat], float], bundles: float
) -> Full | None:
    """The times in which an engine had at least so many bundles inside, of its beats in the order in which they were committed.
    `work` is what each shard of each engine took, `shard` how much of a bundle it is.

    Engines whose shards were inside at other times than they were busy, as by a wrong order, are left out. None if what is left
    holds less than four shards' work, or not twice the time that a shard is inside.
    """
    pieces: list[Full] = []
    worth = 0.0
    for beats, amounts in zip(engines, work, strict=True):
        spans = _spans(beats, amounts, shard)
        busy, seen = sum(beat.busy for beat in beats), sum(span.seconds for span in spans if span.bundles)
        if abs(seen - busy) > _TRUSTED * busy:
            continue
        taken = [span for span in spans if span.bundles >= bundles]
        length = sum(span.seconds for span in taken)
        mean_work, mean_stay = float(np.mean(amounts)), float(np.mean([beat.inside for beat in beats]))
        if not (length > 0 and mean_work > 0 and mean_stay > 0):
            continue
        worth += sum(span.seconds * span.rate for span in taken) / mean_work
        # Pieces shorter than a shard's stay would be alike, and the rate would seem surer than it is.
        pieces.append(_cut(taken, min(max(int(length / mean_stay), 1), _PIECES[1])))
    if worth < FEWEST or sum(len(piece.seconds) for piece in pieces) < _PIECES[0]:
        return None
    return Full(*(np.concatenate(parts) for parts in zip(*pieces, strict=True)))


def _spans(beats: Sequence[Beat], amounts: Sequence[float], shard: Callable[[Beat], float]) -> list[_Span]:
    """The engine's time from its first shard to its last, between the moments in which one comes in or goes out."""
    moments: list[tuple[float, float, float]] = []
    clock = np.cumsum([beat.up for beat in beats])
    for beat, amount, out in zip(beats, amounts, clock, strict=True):
        if beat.inside > 0:
            rate, part = amount / beat.inside, shard(beat)
            moments += [(out - beat.inside, part, rate), (out, -part, -rate)]
    moments.sort()
    bundles = np.round(np.cumsum([moment[1] for moment in moments]), 6)
    rates = np.cumsum([moment[2] for moment in moments])
    return [
        _Span(after[0] - before[0], float(bundles[place]), float(rates[place]))
        for place, (before, after) in enumerate(itertools.pairwise(moments))
    ]


def _cut(spans: Sequence[_Span], number: int) -> Full:
    """The time in so many pieces of equal length."""
    ends = np.cumsum([0.0, *(span.seconds for span in spans)])
    done = np.cumsum([0.0, *(span.seconds * span.rate for span in spans)])
    borders = np.linspace(0.0, ends[-1], number + 1)
    return Full(np.diff(borders), np.diff(np.interp(borders, ends, done)))
