"""What a model's probabilities say of a pair: how hard its response is to foresee, and how far its source explains it.

Each measure compares a text with itself: once behind what should lead to it, once behind the same frame with nothing in it. The
text is cut into tokens by itself, so both sides are sums over the same tokens, and what stands before it is no part of them.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from itertools import islice
from typing import Final, NamedTuple

from midb_ray.engines.base import Continuation, Likelihood
from midb_ray.engines.encoding import PromptEncoder
from midb_ray.engines.requests import Loaded
from midb_ray.locales import Locale
from midb_ray.pairs import Pair, Text, heard
from midb_ray.quality.findings import Finding, cut

_BREAK: Final = "\n\n"
_TRANSLATE: Final = "Translate this text into {name}.\n\n"
_MOST: Final = 700.0  # nats of a token that `exp` still takes


class Measures(NamedTuple):
    """What models found of a pair; None where that was not asked for or is not to be had, and `error` says why."""

    perplexity: float | None = None
    ifd: float | None = None
    explained: float | None = None
    similarity: float | None = None
    error: str | None = None


class Asked(NamedTuple):
    """What an engine is to measure of some pairs, the same number of texts for each, and why it is not asked, by pair."""

    continuations: list[Continuation | None]
    errors: list[str | None]


class Asker(NamedTuple):
    """Makes texts to measure of pairs: for `difficulty` the response with and without the instruction, for `explained` the whole
    pair with and without its source."""

    loaded: Loaded
    difficulty: bool
    explained: bool

    def ask(self, pairs: Sequence[Pair], locales: Sequence[Locale], sources: Sequence[Text | None]) -> Asked:
        """The texts of pairs. `sources` are None where there is none; then nothing is asked and nothing is wrong."""
        sides: list[list[_Side | None]] = []
        if self.difficulty:
            sides.append([_Side(_question(pair), "", pair.response) for pair in pairs])
        if self.explained:
            sides.append([_translated(*one) for one in zip(pairs, locales, sources, strict=True)])
        found = [self._continuations(side) for side in sides]
        asked = Asked([], [])
        for of_pair in zip(*found, strict=True):
            asked.continuations.extend(one for side in of_pair for one in side.continuations)
            asked.errors.append(next((side.error for side in of_pair if side.error is not None), None))
        return asked

    def _continuations(self, sides: Sequence[_Side | None]) -> Iterator[_Both]:
        """Texts with what leads to them and without it."""
        encoder, prompts = self.loaded.encoder, _encoded(self.loaded.encoder, sides)
        for side in sides:
            if side is None:
                yield _NOTHING
                continue
            given, alone = next(prompts), next(prompts)
            yield self._both(given, alone, encoder.plain(side.text))

    def _both(self, given: list[int], alone: list[int], ids: list[int]) -> _Both:
        if not ids:
            return _Both((None, None), "there is no text to measure")
        tokens, context = len(given) + len(ids) + 1, self.loaded.context  # an engine generates a token behind the text
        if context is not None and tokens > context:
            return _Both((None, None), f"{tokens} tokens to measure exceed the context of {context}")
        return _Both((Continuation(given, ids), Continuation(alone, ids)), None)


def measures(
    likelihoods: Sequence[Likelihood | None], errors: Sequence[str | None], difficulty: bool, explained: bool
) -> list[Measures]:
    """What an engine's likelihoods of `Asked.continuations` say of each pair."""
    one_by_one = iter(likelihoods)
    found = []
    for error in errors:
        hard = _gained(*islice(one_by_one, 2)) if difficulty else _NO_GAIN
        told = _gained(*islice(one_by_one, 2)) if explained else _NO_GAIN
        reason = error or hard.error or told.error
        found.append(Measures(hard.perplexity, hard.ifd, told.gain, error=reason))
    return found


def unexplained(found: Sequence[Measures], responses: Sequence[str], least: float) -> list[Finding | None]:
    """The finding of each pair that its source explains less than `least`."""
    return [
        Finding("unexplained", "response", 0, len(response), cut(response))
        if one.explained is not None and one.explained < least
        else None
        for one, response in zip(found, responses, strict=True)
    ]


class _Side(NamedTuple):
    """A text, what leads to it, and what stands in the place of that otherwise."""

    given: str
    alone: str
    text: str


class _Both(NamedTuple):
    """A text with what leads to it and without it, or why it cannot be measured."""

    continuations: tuple[Continuation | None, Continuation | None]
    error: str | None


_NOTHING: Final = _Both((None, None), None)


class _Gain(NamedTuple):
    """Nats per token that a text wins by what leads to it, and by how much each token is missed even so."""

    gain: float | None = None
    missed: float | None = None
    error: str | None = None

    @property
    def perplexity(self) -> float | None:
        return None if self.missed is None else math.exp(min(self.missed, _MOST))

    @property
    def ifd(self) -> float | None:
        return None if self.gain is None else math.exp(min(-self.gain, _MOST))


_NO_GAIN: Final = _Gain()


def _gained(given: Likelihood | None, alone: Likelihood | None) -> _Gain:
    if given is None or alone is None:
        return _NO_GAIN
    if error := given.error or alone.error:
        return _Gain(error=error)
    if not (math.isfinite(given.total) and math.isfinite(alone.total)):
        return _Gain(error="the model gives no finite probabilities")
    return _Gain((given.total - alone.total) / given.tokens, -given.total / given.tokens)


def _encoded(encoder: PromptEncoder, sides: Sequence[_Side | None]) -> Iterator[list[int]]:
    """The prompts of each side, one after the other."""
    return iter(encoder.questions([text for side in sides if side is not None for text in (side.given, side.alone)]))


def _question(pair: Pair) -> str:
    """All that a response answers: in a conversation what was said before it, by whomever, too."""
    said = (turn.content for turn in heard(pair.context))
    return _BREAK.join(filter(None, (*said, pair.instruction, pair.input)))


def _translated(pair: Pair, locale: Locale, source: Text | None) -> _Side | None:
    if source is None:
        return None
    heading = _TRANSLATE.format(name=locale.name)
    text = _BREAK.join(filter(None, (pair.instruction, pair.input, pair.response)))
    return _Side(f"{heading}{_BREAK.join(filter(None, source))}", heading, text)
