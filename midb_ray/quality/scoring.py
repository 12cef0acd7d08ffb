"""Everything that signals find in a pair, and the scores that follow from it. Needs no engine and no Ray."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import NamedTuple

from midb_ray.locales import Locale, Locales
from midb_ray.pairs import Pair, Text, writable
from midb_ray.quality import consistency, content, culture, translation
from midb_ray.quality.findings import Finding, few
from midb_ray.quality.richness import richness
from midb_ray.quality.scores import Scores, scores
from midb_ray.quality.settings import SourceSettings
from midb_ray.quality.sisters import Told
from midb_ray.signals.gazetteer import Gazetteer
from midb_ray.signals.language import Identifier


class Scored(NamedTuple):
    """What was found in a pair, the scores by that alone and its richness (0 to 1); the source that it was compared with, if there
    was one, and in how many other languages there were translations of it, None where nobody looked for them."""

    scores: Scores
    richness: float
    source: Text | None
    sisters: int | None
    findings: list[Finding]


class Scorer:
    """Scores pairs of the languages of `locales`, with the names of a gazetteer. Raises `UserError` for a source language that is
    none of them."""

    def __init__(self, locales: Locales, source: SourceSettings, names: Gazetteer | None = None) -> None:
        self._locales, self._source, self._names = locales, source, names
        self._origin = locales.resolve(source.language)
        self._identifier = Identifier(locales, translation.FEW_LETTERS, translation.SURE)

    def score(self, pair: Pair, told: Told | None = None) -> Scored:
        """The scores of a pair, with what its sisters told, where they were looked for. A source in columns of its own comes
        first: then they have nothing to tell."""
        text = Text(pair.instruction, pair.input, pair.response)
        locale, rich = self._locales.resolve(pair.language), richness(text)
        has_none = (
            pair.turn is not None or locale.language == self._origin.language
        )  # a row has one source, not one for each turn
        source = None if has_none else source_of(pair.extra, self._source)
        if source is not None or told is None:
            found = few(self.findings(text, locale, source))
            return Scored(scores(found), rich, source, None if told is None else 0, found)
        found = few(self.findings(text, locale, told.source, told.findings))
        return Scored(scores(found), rich, told.source, told.sisters, found)

    def findings(self, text: Text, locale: Locale, source: Text | None, lost: Sequence[Finding] = ()) -> list[Finding]:
        """What is found in a pair of `locale` that stands for `source` and has `lost` something of its sisters, however often."""
        found = [*content.findings(text, locale), *translation.findings(text, locale, self._identifier)]
        if any(one.kind == "wrong_language" for one in found):
            return found  # such a pair has lost all of its source, and has the forms of its own language
        found += [*culture.findings(text, locale, self._names), *lost]
        return found if source is None else found + consistency.inconsistencies(source, text, self._origin, locale)


def source_of(extra: str | None, columns: SourceSettings) -> Text | None:
    """The source in the rest of an input row; None if the row has no instruction or no response of it."""
    if extra is None or columns.instruction not in extra:
        return None
    try:
        row = json.loads(extra)
    except (RecursionError, ValueError):  # as deep, or a number as long, as the reader just bore
        return None
    if not isinstance(row, dict):
        return None
    texts = [row.get(name) for name in (columns.instruction, columns.input, columns.response)]
    if not isinstance(texts[0], str) or not isinstance(texts[2], str):
        return None
    return Text(*(writable(one) if isinstance(one, str) else "" for one in texts))
