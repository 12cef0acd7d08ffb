"""Numbers in words: "trois" is 3, and in the same language "3" may become "trois".

The words of one to twenty are data, in `number_words.yaml` beside this file, by language. They are looked for as whole words
(with what a language hangs on to them: "üçünü", "الثلاثة"), and within the text where a language puts no spaces.
"""

from __future__ import annotations

import re
from collections import Counter
from functools import lru_cache
from importlib import resources
from typing import Final, NamedTuple

import yaml

_UNSPACED: Final = ("ja", "th")  # words are no words by their spaces
_AFFIXED: Final = {
    "ar": ("(?:[وفبكل]?(?:ال)?)", ""),
    "tr": ("", "[a-zçğıöşü]{0,6}"),
    "vi": (r"(?<!\d )", r"(?! \d)"),  # "7 năm" are years, and so is "năm 2020"
    "ko": ("", "(?:가지|개|명|권|번|문장|단계)?(?:[은는이가을를의로만])?"),
}
_UNITS: Final = dict(
    zip(["one", "two", "three", "four", "five", "six", "seven", "eight", "nine"], range(1, 10), strict=True)
)
_TENS: Final = dict(
    zip(["twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety"], range(20, 100, 10), strict=True)
)
_COMPOUND: Final = re.compile(rf"\b(?:({'|'.join(_TENS)})(?:[- ]({'|'.join(_UNITS)}))?|(hundred|thousand))\b")
_ORDINALS: Final = dict(
    zip(
        [
            "first",
            "second",
            "third",
            "fourth",
            "fifth",
            "sixth",
            "seventh",
            "eighth",
            "ninth",
            "tenth",
            "eleventh",
            "twelfth",
            "thirteenth",
            "fourteenth",
            "fifteenth",
            "sixteenth",
            "seventeenth",
            "eighteenth",
            "nineteenth",
            "twentieth",
        ],
        range(1, 21),
        strict=True,
    )
)
_ORDINAL: Final = re.compile(rf"\b({'|'.join(_ORDINALS)})\b")


class Words(NamedTuple):
    """The number words of one language: a pattern that finds them in a casefolded text, and what each stands for."""

    pattern: re.Pattern[str]
    values: dict[str, int]


def counted(text: str, language: str) -> Counter[int]:
    """How often each number from one to twenty stands in `text` as a word of `language` (an ISO 639-1 code); none for a
    language without data."""
    words = _known().get(language)
    if words is None:
        return Counter()
    return Counter(words.values[match] for match in words.pattern.findall(text.replace("İ", "i").casefold()))


def values(language: str) -> dict[str, int]:
    """The words of a language for one to twenty, casefolded, and what each stands for; none for a language without data."""
    words = _known().get(language)
    return {} if words is None else words.values


def ordinals(text: str, language: str) -> Counter[int]:
    """How often each English ordinal from first to twentieth stands in `text`; none for another language."""
    return Counter(_ORDINALS[match] for match in _ORDINAL.findall(text.casefold())) if language == "en" else Counter()


def compounds(text: str, language: str) -> Counter[int]:
    """How often each English number from twenty-one to ninety-nine, a hundred and a thousand stand in `text` as words, and the
    tens; none for another language."""
    found: Counter[int] = Counter()
    if language == "en":
        for match in _COMPOUND.finditer(text.casefold()):
            large = {"hundred": 100, "thousand": 1_000}.get(match[3])
            found[large or _TENS[match[1]] + (_UNITS[match[2]] if match[2] else 0)] += 1
    return found


@lru_cache(maxsize=1)
def _known() -> dict[str, Words]:
    data = (resources.files("midb_ray") / "signals" / "number_words.yaml").read_text(encoding="utf-8")
    return {language: _words(language, listed) for language, listed in yaml.safe_load(data).items()}


def _words(language: str, listed: str) -> Words:
    values = {
        word: value for value, forms in enumerate(listed.split(", "), 1) for word in map(str.casefold, forms.split("|"))
    }
    longest_first = "|".join(sorted(map(re.escape, values), key=len, reverse=True))
    if language in _UNSPACED:
        return Words(re.compile(f"({longest_first})"), values)
    before, behind = _AFFIXED.get(language, ("", ""))
    return Words(re.compile(rf"(?<!\w){before}({longest_first}){behind}(?!\w)"), values)
