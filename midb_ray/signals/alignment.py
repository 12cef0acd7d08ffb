"""Source and translation laid side by side, line by line and sentence by sentence.

Machine translation keeps lines, and sentences nearly always; where the numbers of them agree they are paired as they stand. Where
they do not, the pairing that fits best by length is taken, in which a stretch may also stand alone, and two sentences for one
(W. A. Gale and K. W. Church, A Program for Aligning Sentences in Bilingual Corpora, 1993).
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Final, NamedTuple

from midb_ray.signals.sentences import Span, lines, sentences

_LINES: Final = {(1, 1): 0.0, (1, 0): 4.0, (0, 1): 4.0, (2, 1): 3.5, (1, 2): 3.5}
"""What the kinds of pairs of lines cost, in the measure of a squared deviation: -ln of how rare they are, roughly."""

_SENTENCES: Final = {**_LINES, (2, 1): 2.5, (1, 2): 2.5, (3, 1): 4.5, (1, 3): 4.5}
"""The same for sentences, of which translators make one of two."""

_SPREAD: Final = 6.8  # variance of a translation's length for each character of its source, as Gale and Church found it
_MOST: Final = 400  # stretches of a side; beyond that they are paired as they stand
_BAND: Final = 30  # places by which the two sides may be apart


_Moves = Mapping[tuple[int, int], float]


class Pairing(NamedTuple):
    """A stretch of the source and what stands for it in the translation; None where nothing does. `whole` says that it is a single
    sentence on each side, and not a stretch that could not be divided alike."""

    source: Span | None
    target: Span | None
    whole: bool


def pairings(source: str, target: str, ratio: float) -> Iterator[Pairing]:
    """Sentences of `source` beside those of `target`, in order. `ratio` is how many characters of a translation stand for one of
    the source."""
    for before, after in _paired(lines(source), lines(target), ratio, _LINES):
        if before is None or after is None:
            yield Pairing(before, after, False)
            continue
        left, right = sentences(source, before), sentences(target, after)
        if len(left) == len(right):
            yield from (Pairing(one, other, True) for one, other in zip(left, right, strict=True))
        else:
            yield from (Pairing(one, other, False) for one, other in _paired(left, right, ratio, _SENTENCES))


def _paired(
    left: Sequence[Span], right: Sequence[Span], ratio: float, moves: _Moves
) -> Iterator[tuple[Span | None, Span | None]]:
    if len(left) == len(right) or max(len(left), len(right)) > _MOST:
        for place in range(max(len(left), len(right))):
            yield left[place] if place < len(left) else None, right[place] if place < len(right) else None
        return
    for first, last, begin, end in _best([_size(span) for span in left], [_size(span) for span in right], ratio, moves):
        yield (
            Span(left[first].start, left[last - 1].end) if last > first else None,
            Span(right[begin].start, right[end - 1].end) if end > begin else None,
        )


def _best(left: list[int], right: list[int], ratio: float, moves: _Moves) -> list[tuple[int, int, int, int]]:
    """The cheapest way through both sides: ranges of `left` beside ranges of `right`."""
    band = _BAND + abs(len(left) - len(right))
    costs: dict[tuple[int, int], tuple[float, tuple[int, int]]] = {(0, 0): (0.0, (0, 0))}
    for row in range(len(left) + 1):
        for column in range(max(0, row - band), min(len(right), row + band) + 1):
            options = []
            for (down, across), rarity in moves.items():
                before = costs.get((row - down, column - across))
                if before is not None:
                    apart = _apart(sum(left[row - down : row]), sum(right[column - across : column]), ratio)
                    options.append((before[0] + rarity + apart, (down, across)))
            if options:
                costs[row, column] = min(options)
    found, row, column = [], len(left), len(right)
    while row or column:
        down, across = costs[row, column][1]
        found.append((row - down, row, column - across, column))
        row, column = row - down, column - across
    return found[::-1]


def _apart(source: int, target: int, ratio: float) -> float:
    """How badly two lengths fit: half the square of their deviation in standard deviations."""
    if not source or not target:
        return 0.0
    expected = source * ratio
    return (target - expected) ** 2 / (2 * _SPREAD * max(expected, 1.0) * max(ratio, 0.1)) if expected else math.inf


def _size(span: Span) -> int:
    return span.end - span.start
