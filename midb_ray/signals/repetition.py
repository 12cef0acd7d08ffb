"""Loops and doubled text: what a model does when it cannot find its end.

Probes come first: twelve short pieces of the text are counted in it, which costs a few microseconds. Only a text whose
probes stand in it again is looked at closely.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from rapidfuzz.distance import Levenshtein

WINDOW: Final = 4_096
"""Characters looked at: of a longer text its first and last halves of this. A loop that does not end reaches the end."""

PIECE: Final = 12
"""Characters of the pieces that are looked for: shorter ones recur in ordinary text, longer ones miss loops of numbered lines."""

STUTTERS: Final = 5
"""How often the same words return in a stutter; "ha ha ha" and "very, very" are none."""

_SEEN, _STEP, _PERIOD = 4, 8, 100  # characters: of a probe for stutters, between two, and in which it has to return
_SHORTEST: Final = 16  # characters of a stutter
_PROBES: Final = 12
_TURNS: Final = 4  # a piece that returns this often, with the same text in between, is a loop
_SLACK: Final = 2  # characters in which one turn may differ from the next: "9." is followed by "10."


class Repetition(NamedTuple):
    """`loop`: characters of the longest run in which the same text returns without a break, at least four times.
    `share`: share of the text's 12-character pieces, 0 to 1, that are no mere punctuation and stood in it before; not counted
    (0) where fewer than half of the probes recur, so it tells text that was written twice from text that was not."""

    loop: int
    share: float


NONE: Final = Repetition(0, 0.0)


def repetition(text: str) -> Repetition:
    """How much `text` repeats itself; `NONE` for ordinary text. Bounded by `WINDOW`, whatever the length of the text."""
    if len(text) > WINDOW:
        text = text[: WINDOW // 2] + text[-WINDOW // 2 :]
    last = len(text) - PIECE
    if last < PIECE:
        return NONE
    step = max(1, last // (_PROBES - 1))
    pieces = [text[start : start + PIECE] for start in range(last, -1, -step)]
    counts = list(map(text.count, pieces))
    again = len(counts) - counts.count(1)
    if 2 * again < len(counts) and max(counts) < _TURNS:
        return NONE
    suspects = {piece for piece, count in zip(pieces, counts, strict=True) if count >= _TURNS and _worded(piece)}
    return Repetition(
        loop=max((_loop(text, piece) for piece in suspects), default=0),
        share=_share(text) if 2 * again >= len(counts) else 0.0,
    )


def stutter(text: str) -> int:
    """Characters of the longest stretch in which the same few words return at least `STUTTERS` times without a break and without
    a change; 0 where there is none. Shorter loops than `repetition` sees. Bounded by `WINDOW`."""
    if len(text) > WINDOW:
        text = text[: WINDOW // 2] + text[-WINDOW // 2 :]
    longest = place = 0
    while place < len(text) - _SHORTEST:
        again = text.find(text[place : place + _SEEN], place + 1, place + 1 + _PERIOD)
        if again > 0 and (length := _run(text, place, again - place)) > longest:
            longest = length
        place += _STEP
    return longest


def _run(text: str, place: int, period: int) -> int:
    """Characters around `place` in which every one is the same as that a `period` before it; 0 if they are fewer than `STUTTERS`
    turns or no words."""
    turns = STUTTERS - 2  # behind the place; a loop that began before it has more
    if text[place : place + turns * period] != text[place + period : place + (turns + 1) * period]:
        return 0
    start, end = place, place + (turns + 1) * period
    while start > 0 and text[start - 1] == text[start - 1 + period]:
        start -= 1
    while end < len(text) and text[end] == text[end - period]:
        end += 1
    enough = end - start >= max(STUTTERS * period, _SHORTEST) and _worded(text[start : start + period])
    return end - start if enough and len(set(text[start : start + period])) > 1 else 0


def _worded(piece: str) -> bool:
    """Rules (-----), blanks (_____) and indentation repeat themselves by nature."""
    return any(map(str.isalnum, piece))


def _loop(text: str, piece: str) -> int:
    """Characters from the first to behind the last turn of the longest loop that `piece` is part of."""
    places = []
    place = text.find(piece)
    while place >= 0:
        places.append(place)
        place = text.find(piece, place + PIECE)
    longest = begin = 0
    for at in range(2, len(places)):
        first, second, third = places[at - 2 : at + 1]
        if not _same(text[first:second], text[second:third]):
            begin = at - 1
        elif at - begin + 1 >= _TURNS:
            longest = max(longest, third - places[begin] + third - second)
    return longest


def _same(turn: str, following: str) -> bool:
    return turn == following or int(Levenshtein.distance(turn, following, score_cutoff=_SLACK)) <= _SLACK


def _share(text: str) -> float:
    places = len(text) - PIECE + 1
    seen: set[str] = set()
    again = 0
    for start in range(places):
        piece = text[start : start + PIECE]
        again += piece in seen and _worded(piece)
        seen.add(piece)
    return again / places
