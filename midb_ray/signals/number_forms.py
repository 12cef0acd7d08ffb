"""The forms that a number takes in running text beside its digits: Roman numerals, ordinals, tens, decades, halves.

"the 18th century" is "le XVIIIe siècle", "the 1990s" are "los noventa", "1/2 cup" is "½ taza" or "demi-tasse". These are looked for
only when the digits are missing. The words are data, in `number_forms.yaml` beside this file, by language.
"""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache
from importlib import resources
from typing import Final, NamedTuple

import yaml

from midb_ray.signals import number_words, unit_words

_UNSPACED: Final = ("ja", "ko", "th")
_NO_COMPOUNDS: Final = (*_UNSPACED, "vi")
_SOURCE: Final = "en"
_MOST_ROMAN: Final = 50  # centuries, kings, wars and chapters; a greater one is rarely written so
_ROMAN: Final = ((40, "XL"), (10, "X"), (9, "IX"), (5, "V"), (4, "IV"), (1, "I"))
_NO_WORD: Final = r"(?:er?|[eè]me|ᵉ)?(?![^\W_])"  # "Voici" begins with no five, and "XXe" is the twentieth
_DECADE: Final = re.compile(r"\b(?:1[0-9]|20)?([1-9]0)s\b|['’]([1-9]0)s\b")
_AROUND_THE_CLOCK: Final = re.compile(r"\b24/7\b")
_FOOTNOTE: Final = re.compile(r"[^\W\d_]{4,}(\d{1,2})(?=[.,;:]?(?:\s|$))")
_GRADE: Final = re.compile(r"\bK-(\d{1,2})\b")
_BOTH: Final = re.compile(
    r"(\d[\d.,]{0,12}) ?°? ?([A-Za-z]{1,12}(?: [a-z]{1,12})?) ?"
    r"\((?:about |approximately |~|≈)?(\d[\d.,]{0,12}) ?°? ?([A-Za-z]{1,12})"
)
_DUAL: Final = re.compile(r"[ء-ي]{2,}(?:ين|ان)(?:ِ)?(?![ء-ي])")
_RAISED: Final = re.compile("[²³¹⁰⁴-⁹₀-₉¼-¾⅐-ⅿ①-⑳]")
_HALF_PAST: Final = re.compile(r"(?<![\d:])(\d{1,2}):30(?![\d:])")
_HALF: Final = re.compile(r"\b1/2\b|½")


class Forms(NamedTuple):
    """The patterns of one language: ordinals of 1 to 12, tens of 20 to 90, one half."""

    ordinals: tuple[re.Pattern[str], ...]
    tens: tuple[re.Pattern[str], ...]
    half: re.Pattern[str] | None


def plain(text: str) -> str:
    """A text in which raised and lowered digits and fractions are written with ordinary ones: 6a² as 6a 2, ½ as 1/2."""
    return text if text.isascii() else _RAISED.sub(_written, text)


def excused(before: str, after: str, is_alike: bool) -> frozenset[str]:
    """Digits of `before`, the source, that a translation need not have: footnote marks behind a word, the grades of "K-12", and of
    a quantity given in two units the imperial one, if `after` has the other and all its numbers stand in `before` (`is_alike`)."""
    found = {match[1] for match in _FOOTNOTE.finditer(before)} | {match[1] for match in _GRADE.finditer(before)}
    if _AROUND_THE_CLOCK.search(before):
        found |= {"24", "7"}
    for match in _BOTH.finditer(before) if is_alike else ():
        one, other = match[1].rstrip(".,"), match[3].rstrip(".,")
        if one in after and unit_words.english().match(match[4]):
            found.add(other)
        if other in after and unit_words.english().match(match[2]):
            found.add(one)
    return frozenset(found)


def stands(value: str, before: str, after: str, language: str) -> bool:
    """Whether a whole number that is not in `after` by its digits stands there in another form. `before` is what it comes from,
    `language` the code of the language of `after`."""
    if not value.isdigit() or len(value) > 4:
        return False
    number = int(value)
    if 0 < number <= _MOST_ROMAN and re.search(rf"(?<![A-Za-z]){_roman(number)}{_NO_WORD}", after):
        return True
    forms = _known().get(language)
    if forms is None:
        return False
    folded = after.replace("İ", "i").casefold()
    if number in (1, 2) and forms.half is not None and _HALF.search(before) and forms.half.search(folded):
        return True
    if forms.half is not None and _half_hour(number, before) and forms.half.search(folded):
        return True
    if number > 100 and any(int(match[1] or match[2]) == number % 100 for match in _DECADE.finditer(before)):
        return re.search(rf"(?<!\d){number % 100}(?!\d)", after) is not None or _ten(number % 100, forms, folded)
    if language == "ar" and (number == 1 or (number == 2 and _DUAL.search(after))):
        return True  # a singular says "one" by itself, and a dual "two"
    if number in number_words.counted(before, _SOURCE) or number in number_words.ordinals(before, _SOURCE):
        return False  # the word in `after` may be that one
    return _said(number, forms, folded, language)


def _half_hour(number: int, before: str) -> bool:
    """Whether a number is the hour or the minutes of a half hour, which some languages count towards the next."""
    return any(number in (int(match[1]), 30) for match in _HALF_PAST.finditer(before))


def _said(number: int, forms: Forms, folded: str, language: str) -> bool:
    """Whether a number stands in a text as an ordinal, as the beginning of a longer word, or as tens and units."""
    if number < 1 or number > 99:
        return False
    if number <= len(forms.ordinals) and forms.ordinals[number - 1].search(folded):
        return True
    if number <= 20:
        if language == "ar" and number > 12:
            return "عشر" in folded and _unit(number - 10, forms, folded, language)
        return number > 1 and _begins(number, folded, language)
    tens, units = divmod(number, 10)
    return _ten(10 * tens, forms, folded) and (units == 0 or _unit(units, forms, folded, language))


def _ten(tens: int, forms: Forms, folded: str) -> bool:
    return len(forms.tens) == 8 and 20 <= tens <= 90 and forms.tens[tens // 10 - 2].search(folded) is not None


def _unit(units: int, forms: Forms, folded: str, language: str) -> bool:
    if forms.ordinals and forms.ordinals[units - 1].search(folded):
        return True
    return any(word in folded for word in _words(units, language) if len(word) > 2)


def _begins(number: int, folded: str, language: str) -> bool:
    """Whether a longer word begins with the word for a number: "dreimal", "pětileté"."""
    if language in _NO_COMPOUNDS:
        return False
    return any(re.search(rf"(?<!\w){re.escape(word)}", folded) for word in _words(number, language) if len(word) > 2)


@lru_cache(maxsize=1024)
def _words(number: int, language: str) -> tuple[str, ...]:
    return tuple(word for word, value in number_words.values(language).items() if value == number)


def _written(match: re.Match[str]) -> str:
    whole = unicodedata.normalize("NFKC", match[0]).replace("⁄", "/")
    return f" {whole} " if "/" in whole else f" {whole}"


@lru_cache(maxsize=64)
def _roman(number: int) -> str:
    written = ""
    for value, sign in _ROMAN:
        while number >= value:
            written, number = written + sign, number - value
    return written


@lru_cache(maxsize=1)
def _known() -> dict[str, Forms]:
    data = yaml.safe_load((resources.files("midb_ray") / "signals" / "number_forms.yaml").read_text(encoding="utf-8"))
    languages = {*data["ordinals"], *data["tens"], *data["half"]}
    return {language: _forms(data, language) for language in languages}


def _forms(data: dict[str, dict[str, str]], language: str) -> Forms:
    def each(name: str) -> tuple[re.Pattern[str], ...]:
        listed = data[name].get(language)
        return () if listed is None else tuple(_stem(stems, language) for stems in re.split(r",\s+", listed))

    half = data["half"].get(language)
    return Forms(each("ordinals"), each("tens"), None if half is None else _stem(half, language))


def _stem(stems: str, language: str) -> re.Pattern[str]:
    begin = "" if language in _UNSPACED else r"(?<![^\W_])[وفبكل]?" if language == "ar" else r"(?<![^\W_])"
    return re.compile(f"{begin}(?:{'|'.join(re.escape(stem.casefold()) for stem in stems.split('|'))})")
