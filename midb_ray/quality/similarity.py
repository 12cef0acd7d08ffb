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


def comparisons(pairs: Sequence[Pair], sources: Sequence[Text | None]) -> list[Comparison | None]:
    """Two for each pair, None for one without a source: what it asks, then its response, each beside that of the source."""
    found: list[Comparison | None] = []
    for pair, source in zip(pairs, sources, strict=True):
        if source is None:
            found += [None, None]
            continue
        found.append(Comparison(_question(pair.instruction, pair.input), _question(source.instruction, source.input)))
        found.append(Comparison(pair.response, source.response))
    return found


def nearness(found: Sequence[Similarity | None]) -> list[Nearness]:
    """What the similarities of `comparisons` say of each pair."""
    return [_worse(*both) for both in zip(found[::2], found[1::2], strict=True)]


def unlike(found: Sequence[Nearness], texts: Sequence[dict[str, str]], least: float) -> list[Finding | None]:
    """The finding of each pair, whose sections are `texts`, that is less like its source than `least`."""
    return [
        Finding("unlike", one.section, 0, len(text[one.section]), cut(text[one.section]))
        if one.cosine is not None and one.cosine < least
        else None
        for one, text in zip(found, texts, strict=True)
    ]


def _question(instruction: str, given: str) -> str:
    return _BREAK.join(filter(None, (instruction, given)))


def _worse(asks: Similarity | None, answers: Similarity | None) -> Nearness:
    if asks is None or answers is None:
        return Nearness()
    if error := asks.error or answers.error:
        return Nearness(error=error)
    if asks.cosine < answers.cosine:
        return Nearness(asks.cosine, "instruction")
    return Nearness(answers.cosine)
