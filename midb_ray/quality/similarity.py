"""How near a pair is in meaning to its source, by the embeddings of a sentence encoder.

Questions and responses are compared apart, and the worse of the two counts: a right question would else hide the answer to another.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

from midb_ray.engines.base import Comparison, Similarity
from midb_ray.pairs import Pair, Text
from midb_ray.quality.findings import Finding, cut

_BREAK: Final = "\n\n"


class Nearness(NamedTuple):
    """How near a pair is to its source, None where that was not asked for or is not to be had; the section whose meaning is
    further off; and why it could not be compared."""

    cosine: float | None = None
    section: str = "response"
    error: str | None = None


class Asked(NamedTuple):
    """What an encoder is to compare, two comparisons for each pair: what it asks, and its response, each beside that of its source.
    None where there is nothing to compare; `errors` say why where there should be, by pair."""

    comparisons: list[Comparison | None]
    errors: list[str | None]


def ask(pairs: Sequence[Pair], sources: Sequence[Text | None]) -> Asked:
    """What to compare of pairs. `sources` are None where there is none; then nothing is asked and nothing is wrong."""
    asked = Asked([], [])
    for pair, source in zip(pairs, sources, strict=True):
        both = [] if source is None else [_questions(pair, source), Comparison(pair.response, source.response)]
        is_empty = any(not text.strip() for one in both for text in one)
        asked.comparisons.extend([None, None] if is_empty or not both else both)
        asked.errors.append("there is no text to compare" if is_empty else None)
    return asked


def nearness(found: Sequence[Similarity | None]) -> list[Nearness]:
    """What the similarities of `Asked.comparisons` say of each pair."""
    return [_worse(*both) for both in zip(found[::2], found[1::2], strict=True)]


def unlike(found: Sequence[Nearness], texts: Sequence[dict[str, str]], least: float) -> list[Finding | None]:
    """The finding of each pair, whose sections are `texts`, that is less like its source than `least`."""
    return [
        Finding("unlike", one.section, 0, len(text[one.section]), cut(text[one.section]))
        if one.cosine is not None and one.cosine < least
        else None
        for one, text in zip(found, texts, strict=True)
    ]


def _questions(pair: Pair, source: Text) -> Comparison:
    sides = (_BREAK.join(filter(None, (one.instruction, one.input))) for one in (pair, source))
    return Comparison(*sides)


def _worse(asks: Similarity | None, answers: Similarity | None) -> Nearness:
    if asks is None or answers is None:
        return Nearness()
    if error := asks.error or answers.error:
        return Nearness(error=error)
    if asks.cosine < answers.cosine:
        return Nearness(asks.cosine, "instruction")
    return Nearness(answers.cosine)
