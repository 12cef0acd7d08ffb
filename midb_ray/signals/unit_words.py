"""The words for imperial units in each language, and the patterns that find a quantity by them.

The words are data, in `unit_words.yaml` beside this file.
"""

from __future__ import annotations

import re
from functools import lru_cache
from importlib import resources
from typing import Final, NamedTuple

import yaml
from babel import units as cldr

from midb_ray.signals import number_words

_UNSPACED: Final = frozenset({"ja", "th"})
_SOURCE: Final = "en"
_SHORT: Final = {"inch": r"in(?![A-Za-z])\.?", "mile": "mi(?![A-Za-z])"}
_NO_SHORT: Final = {"inch": ("en", "it", "de"), "mile": ("it", "es", "cs")}  # languages in which that is another word
_SPACELESS_AFTER: Final = frozenset({"ja", "ko", "th"})  # a particle follows the unit without a space
_FIGURE: Final = r"(?:[.,٫٬ \u00a0\u202f]\d{3}(?!\d)|[.,٫٬]\d{1,3}){0,3}"  # what follows the first digits of a number
_NUMBER: Final = rf"(\d(?<![\w.,/:$€£]\d)(?<!\d[ \u00a0\u202f]\d)\d{{0,8}}{_FIGURE}(?:/\d{{1,2}})?)"
_RANGE: Final = r"(?:(?: ?[-–—~～〜] ?| (?:a|à|bis|to|до|až|إلى|đến|hingga|sampai) )(\d{1,9}(?:[.,٫٬]\d{1,3})?))?"
_GAP: Final = r"[ \u00a0\u202f-]{0,2}"

TEMPERATURE: Final = re.compile(r"(?:華氏|화씨) ?(\d{1,4}(?:\.\d)?)()(?P<before_fahrenheit>) ?[度도]?")
"""Temperatures whose unit stands before the number."""


class Unit(NamedTuple):
    """An imperial unit and its metric counterparts, the largest first: CLDR names and what one is in it."""

    metric: tuple[tuple[str, float], ...]
    offset: float = 0.0


UNITS: Final[dict[str, Unit]] = {
    "mile": Unit((("length-kilometer", 1.609344),)),
    "mile-per-hour": Unit((("speed-kilometer-per-hour", 1.609344),)),
    "foot": Unit((("length-meter", 0.3048), ("length-centimeter", 30.48))),
    "square-foot": Unit((("area-square-meter", 0.09290304),)),
    "inch": Unit((("length-meter", 0.0254), ("length-centimeter", 2.54), ("length-millimeter", 25.4))),
    "yard": Unit((("length-meter", 0.9144),)),
    "pound": Unit((("mass-kilogram", 0.45359237), ("mass-gram", 453.59237))),
    "ounce": Unit((("mass-kilogram", 0.028349523), ("mass-gram", 28.349523))),
    "gallon": Unit((("volume-liter", 3.785412),)),
    "fahrenheit": Unit((("temperature-celsius", 5 / 9),), -160 / 9),
    "acre": Unit((("area-hectare", 0.40468564),)),
}


@lru_cache(maxsize=1)
def _data() -> dict[str, dict[str, str]]:
    text = resources.files("midb_ray.signals").joinpath("unit_words.yaml").read_text(encoding="utf-8")
    data: dict[str, dict[str, str]] = yaml.safe_load(text)
    return data


@lru_cache(maxsize=256)
def spelled(language: str) -> dict[str, int]:
    """The number words of a language from two to twenty: one is an article as well."""
    return {word: number for word, number in number_words.values(language).items() if number > 1}


def _words(language: str) -> dict[str, str]:
    """Every unit and the words for it, the longest names of units first: square feet before feet."""
    data = _data()
    own = data.get(language, {})
    found = {}
    for unit in sorted(UNITS, key=len, reverse=True):
        found[unit] = "|".join(one for one in (own.get(unit), data["any"].get(unit)) if one)
    return found


def spells(text: str, language: str) -> bool:
    """Whether a number may stand in `text` as a word."""
    return language not in _UNSPACED and not spelled(language).keys().isdisjoint(
        text.casefold().replace("-", " ").split()
    )


@lru_cache(maxsize=256)
def patterns(language: str) -> tuple[re.Pattern[str], re.Pattern[str]]:
    """What finds a quantity with its number in digits, and in words."""
    unspaced = language in _SPACELESS_AFTER
    units = []
    for unit, words in _words(language).items():
        short = None if language in _NO_SHORT.get(unit, ()) else _SHORT.get(unit)
        units.append(f"(?P<{unit.replace('-', '_')}>{words if short is None else f'{words}|{short}'})")
    if language == "fr":
        units.append(r"(?P<weak_pound>livres(?! sterling))")
    number = f"{_NUMBER}{_RANGE}"
    if unspaced:  # a number follows a letter without a space
        number = number.replace(r"(?<![\w", r"(?<![A-Za-z\d")
    behind = rf"{_GAP}(?:{'|'.join(units)})" + ("" if unspaced else r"(?!\w)")
    words = "|".join(re.escape(word) for word in sorted(spelled(language), key=len, reverse=True))
    in_words = rf"\b({words})()(?=[ -]){behind}" if words else "(?!)"
    return re.compile(number + behind, re.IGNORECASE), re.compile(in_words, re.IGNORECASE)


@lru_cache(maxsize=256)
def bare(language: str) -> re.Pattern[str]:
    """The names of units; what is spelled like another word of the language counts beside a number only."""
    start, end = ("", "") if language in _SPACELESS_AFTER else (r"(?<!\w)", r"(?!\w)")
    return re.compile(f"{start}(?:{'|'.join(_words(language).values())}){end}", re.IGNORECASE)


@lru_cache(maxsize=1)
def english() -> re.Pattern[str]:
    """What finds an imperial unit as English sources name or abbreviate it, a bare "F" among them."""
    return re.compile(f"(?:{'|'.join((*_words(_SOURCE).values(), *_SHORT.values(), 'F'))})(?![A-Za-z])", re.IGNORECASE)


@lru_cache(maxsize=4096)
def metric(name: str, language: str) -> re.Pattern[str]:
    """A number and a metric unit of the same kind."""
    kind = UNITS[name].metric[0][0].partition("-")[0]
    named = {
        "length": ["kilometer", "meter", "centimeter", "millimeter"],
        "mass": ["kilogram", "gram"],
        "volume": ["liter", "milliliter"],
        "speed": ["kilometer-per-hour"],
        "area": ["square-meter", "hectare", "square-kilometer"],
        "temperature": ["celsius"],
    }[kind]
    units = {"length": ["km", "m", "cm", "mm"], "mass": ["kg", "g"], "volume": ["l", "L", "ml", "mL"]}.get(kind, [])
    units += {"speed": ["km"], "area": ["m²", "m2", "ha", "km²"], "temperature": ["[°º˚] ?C", "℃", "C"]}.get(kind, [])
    names = {re.escape(one) for unit in named for one in _cldr_names(f"{kind}-{unit}", language)}
    ends = r"(?![a-zA-Z])"
    return re.compile(
        rf"(?<![\d.,])(?<!\d[ \u00a0\u202f])(\d{{1,9}}{_FIGURE})[ \u00a0\u202f]?(?:(?:{'|'.join(units)}){ends}|{'|'.join(names)})",
        re.IGNORECASE,
    )


def _cldr_names(unit: str, language: str) -> set[str]:
    written = (str(cldr.format_unit(number, unit, "long", locale=language)) for number in (1, 2, 5))
    return {re.sub(r"[\d٠-٩]", "", text).strip() for text in written} - {""}
