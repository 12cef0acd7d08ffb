"""Which language a text is in, or that one cannot tell.

The script decides first: kana, Hangul, Thai or Greek belong to one of the known languages alone and need no classifier. The
languages that share a script are told apart by py3langid, restricted to the known ones.
"""

from __future__ import annotations

import re
import threading
import unicodedata
from collections import Counter
from functools import cached_property, lru_cache
from importlib import resources
from typing import TYPE_CHECKING, Final

import babel
import yaml

from midb_ray.locales import Locale, Locales
from midb_ray.signals import script, structure

if TYPE_CHECKING:
    from py3langid.langid import LanguageIdentifier

SAMPLE: Final = 80
"""Characters looked at, counted without code and links. More of them cost more and are read no better: docs/guard.md."""

FEW_LETTERS: Final = 8  # weighted as in `script`; fewer say nothing about the script a text is written in
FEW_WORDS: Final = 24  # letters; fewer say nothing about which of the languages of a script a text is in
SURE: Final = 0.9  # probability of a language, or of its group, below which one cannot tell
MAIN: Final = 0.6  # share of the letters that a language's scripts have in a text of that language
_OWN: Final = 0.1  # share from which a script that one language has for itself decides
_SHARED: Final = ("Latin", "Han")  # never a language's own: too many languages that may not be known write in them
_LOADING: Final = threading.RLock()  # threads that need the classifier at the same time must not each load it
_WORD: Final = re.compile(r"[^\W\d_]+")
_OWN_WORDS: Final = 2  # different ones; a quoted title may have one
_FOIL: Final = "zh"  # not among our languages, but what a text in Han without kana mostly is


class Identifier:
    """Identifies the languages of `locales`. The classifier is loaded when the first text needs it (under a second).

    `few` letters and the probability `sure` are what it takes to name a language of a script that several share.
    """

    def __init__(self, locales: Locales, few: int = FEW_WORDS, sure: float = SURE) -> None:
        self._few, self._sure = few, sure
        self._scripts = {locale.language: locale.scripts for locale in locales}
        self._group = {locale.language: locale.group for locale in locales}
        writers = Counter(name for locale in locales for name in locale.scripts)
        self._owner = {
            name: locale.language
            for locale in locales
            for name in locale.scripts
            if writers[name] == 1 and name not in _SHARED
        }

    def identify(self, text: str) -> str | None:
        """The code of the language `text` is in; None where it is too short, too mixed, or in no known language."""
        sample, counts = sampled(text)
        language = self._owned(counts) or self._classified(sample, counts)
        return language if language in self._group else None

    def agrees(self, text: str, locale: Locale) -> bool | None:
        """Whether `text` is in the language of `locale` or in one of its group; None where one cannot tell, also because
        the classifier does not know that language."""
        sample, counts = sampled(text)
        total = sum(counts.values())
        if total < FEW_LETTERS:
            return None
        written = script.share(counts, locale.scripts)
        if written < MAIN:  # a foreign name or title alone is no foreign text
            return False if written <= 1 - MAIN and total >= FEW_WORDS else None
        language = self._owned(counts)
        if language is None and _has_own_words(sample, locale):
            return True
        if language is None and locale.language in known_to_classifier():
            language = self._classified(sample, counts)
        return None if language is None else self.group(language) == locale.group

    def group(self, language: str) -> str:
        """The group of a language that `identify` returned."""
        return self._group.get(language, language)

    @cached_property
    def _classifier(self) -> LanguageIdentifier:
        languages = tuple(sorted({*self._group, _FOIL} & known_to_classifier()))
        with _LOADING:
            return _classifier(languages)

    def _owned(self, counts: dict[str, int]) -> str | None:
        """The language that has a script of this text for itself, if its scripts are the main ones in it."""
        for name in counts:
            language = self._owner.get(name)
            if language is not None and script.share(counts, (name,)) >= _OWN and sum(counts.values()) >= FEW_LETTERS:
                return language if script.share(counts, self._scripts[language]) >= MAIN else None
        return None

    def _classified(self, sample: str, counts: dict[str, int]) -> str | None:
        """What the classifier takes `sample` for, if it is sure; may be the foil, which is no known language."""
        if sum(counts.values()) < self._few:
            return None
        ranked = self._classifier.rank(sample)
        best, sure = ranked[0]
        if sure < self._sure:
            group = self.group(best)
            sure = sum(probability for language, probability in ranked if self.group(language) == group)
        return str(best) if sure >= self._sure else None


def named(text: str, language: str, locale: Locale) -> bool:
    """Whether `text`, written for `locale`, names `language` (an ISO 639-1 code), in whatever inflected form: "ins Englische".
    Looks at the first 2,000 characters."""
    return _names(language, locale.language).search(_plain(text[:2_000])) is not None


def _has_own_words(sample: str, locale: Locale) -> bool:
    """Whether words stand in a text that only the language of `locale` has: what most texts have, and quicker to see."""
    own = _own_words().get(locale.group) or _own_words().get(locale.language)
    return own is not None and len(own.intersection(_WORD.findall(sample.lower()))) >= _OWN_WORDS


def has_foreign_words(text: str, locale: Locale) -> bool:
    """Whether a word stands in `text` that another language than that of `locale` has for itself; always for other scripts than
    the Latin one, which tell languages apart by themselves."""
    sample, counts = sampled(text)
    if "Latin" not in counts or script.share(counts, ("Latin",)) < MAIN or "Latin" not in locale.scripts:
        return True
    words = set(_WORD.findall(sample.lower()))
    names = {locale.language, locale.group}
    return any(not own.isdisjoint(words) for name, own in _own_words().items() if name not in names)


@lru_cache(maxsize=1)
def _own_words() -> dict[str, frozenset[str]]:
    text = resources.files("midb_ray.signals").joinpath("function_words.yaml").read_text(encoding="utf-8")
    return {language: frozenset(words.split()) for language, words in yaml.safe_load(text).items()}


@lru_cache(maxsize=4)
def sampled(text: str) -> tuple[str, dict[str, int]]:
    """The part of `text` that is looked at, and its letters by script."""
    sample = structure.prose(text[: 4 * SAMPLE])[:SAMPLE]
    return sample, script.letters(sample)


@lru_cache(maxsize=1024)
def _names(language: str, spoken: str) -> re.Pattern[str]:
    """The names of a language in the language `spoken` and in English, each without its ending, which changes with the
    grammar; where words have spaces around them, at the beginning of a word."""
    stems = []
    for code in (spoken, "en"):
        name = _plain(babel.Locale.parse(code).languages.get(language, language)).removeprefix("ال")
        last = len(name.split()[-1])
        ending = 2 * last // 5 if last > 8 else last // 4 if last > 4 else 0
        begins = not script.letters(name).keys().isdisjoint(("Latin", "Cyrillic", "Greek"))
        stems.append((r"\b" if begins else "") + re.escape(name[: len(name) - ending]))
    return re.compile("|".join(stems))


def _plain(text: str) -> str:
    """`text` in lower case and without accents."""
    return "".join(mark for mark in unicodedata.normalize("NFKD", text.casefold()) if not unicodedata.combining(mark))


def known_to_classifier() -> frozenset[str]:
    """The languages that the classifier has learnt, as ISO 639-1 codes."""
    with _LOADING:
        return _labels()


@lru_cache(maxsize=1)
def _labels() -> frozenset[str]:
    return frozenset(_loaded().labels)  # and let go of it: it takes 75 MB


@lru_cache(maxsize=2)
def _classifier(languages: tuple[str, ...]) -> LanguageIdentifier:
    classifier = _loaded()
    classifier.set_languages(languages)
    return classifier


def _loaded() -> LanguageIdentifier:
    from py3langid.langid import MODEL_FILE, LanguageIdentifier  # unpacks its model, half a second

    return LanguageIdentifier.from_model_file(MODEL_FILE, norm_probs=True)
