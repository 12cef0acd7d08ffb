"""Defects of a translation that show without its source: another language, sentences that were left in English."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from midb_ray.locales import Locale
from midb_ray.pairs import Text
from midb_ray.quality.findings import Finding, cut
from midb_ray.signals import code, language, structure
from midb_ray.signals.language import Identifier
from midb_ray.signals.sentences import Span, lines, sentences

FEW_LETTERS: Final = 12
"""Letters of a text from which on its language is told; see `language.Identifier`. With 0.5 for sure, 0.997 of the benchmark
prompts in 16 languages are identified right, and nearly all others are left open: docs/quality.md."""

SURE: Final = 0.5

_PROSE: Final = 7
"""Words of a text that is told by its letters alone, if most are in small letters. Phrases and lists of names need a word that only
another language has."""

_WORD: Final = re.compile(r"[a-z]+(?:['’][a-z]+)?")
_FUNCTION_WORDS: Final = frozenset(
    re.findall(
        r"\w+",
        "the of and to is are that with for this you it was be by from which have has not or an at as your their its we they can "
        "will should would been were what when how there these those into than then if",
    )
)
_FEW_WORDS: Final = 6  # of a sentence; fewer may be a name or a title
_TELLING: Final = 3  # different function words of English that a sentence has at least
_SHARE: Final = 0.25  # of its words


def findings(text: Text, locale: Locale, identifier: Identifier) -> list[Finding]:
    """What of a pair is not in the language of `locale`. Inputs are what tasks hand over in any language, and a pair that speaks
    of English by name may use it."""
    found = []
    for section in ("instruction", "response"):
        content = getattr(text, section)
        if _is_foreign(content, locale, identifier) and not _may_be_foreign(text, section, identifier, locale):
            found.append(Finding("wrong_language", section, 0, len(content), cut(content)))
        elif locale.language != "en":
            found += _english(section, content)
    if any(one.kind == "foreign_sentence" for one in found) and language.named(text.instruction, "en", locale):
        return [one for one in found if one.kind != "foreign_sentence"]
    return found


def _is_foreign(content: str, locale: Locale, identifier: Identifier) -> bool:
    """Whether a text is in another language, and not only its first sentence."""
    if identifier.agrees(content, locale) is not False:
        return False
    if (spans := code.pieces(content)) and identifier.agrees(_without(content, spans), locale) is not False:
        return False  # a program by itself is in no language
    beginning = content[: 4 * language.SAMPLE]
    if not structure.reads_as_prose(beginning, _PROSE) and not language.has_foreign_words(content, locale):
        return False
    return len(content) < 2 * language.SAMPLE or not identifier.agrees(content[len(content) // 2 :], locale)


def _without(content: str, spans: list[Span]) -> str:
    places = [0, *(place for span in spans for place in span), len(content)]
    return " ".join(content[first:last] for first, last in zip(places[::2], places[1::2], strict=True))


def _may_be_foreign(text: Text, section: str, identifier: Identifier, locale: Locale) -> bool:
    """Whether the task asks for the language that a response is in."""
    spoken = identifier.identify(text.response)
    return section == "response" and spoken is not None and language.named(text.instruction, spoken, locale)


def _english(section: str, content: str) -> Iterator[Finding]:
    if " the " not in content and " of " not in content and " is " not in content and " are " not in content:
        return
    plain = structure.blanked(content)
    for line in lines(plain):
        for span in sentences(plain, line):
            if reads_as_english(span.of(plain)):
                yield Finding("foreign_sentence", section, *span, cut(span.of(content)))


def reads_as_english(sentence: str) -> bool:
    """Whether a sentence is surely English: a quarter of its words, and three different ones, hold English sentences together."""
    words = _WORD.findall(sentence.casefold())
    telling = [word for word in words if word in _FUNCTION_WORDS]
    return len(words) >= _FEW_WORDS and len(set(telling)) >= _TELLING and len(telling) >= _SHARE * len(words)
