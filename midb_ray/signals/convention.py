"""Quantities in imperial units, as each language names them, and what they are in the metric ones.

The words are data, in `convention.yaml` beside this file. A quantity is a number, in digits or in a word, with its unit; it stands
for itself only where the metric amount is not named beside it.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from functools import lru_cache
from importlib import resources
from typing import Final, NamedTuple

import babel
import yaml
from babel import numbers
from babel import units as cldr

from midb_ray.locales import Locale
from midb_ray.signals import number_words

_UNSPACED: Final = frozenset({"ja", "th"})
_IN_IS_A_WORD: Final = frozenset({"en", "it", "de"})
_SPACELESS_AFTER: Final = frozenset({"ja", "ko", "th"})  # a particle follows the unit without a space
_NUMBER: Final = r"(\d(?<![\w.,/:$€£]\d)\d{0,8}(?:[.,٫٬]\d{1,3}){0,3}(?:/\d{1,2})?)"
_RANGE: Final = r"(?:(?: ?[-–—~～〜] ?| (?:a|à|bis|to|до|až|إلى|đến|hingga|sampai) )(\d{1,9}(?:[.,٫٬]\d{1,3})?))?"
_GAP: Final = r"[ \u00a0\u202f-]{0,2}"
_FEET_AND_INCHES: Final = re.compile(r"(?<![\w.,'’′])(\d)['’′] ?(\d{1,2})(?:\"|”|″|'')")
_BESIDE: Final = 48  # characters on either side in which the metric amount is looked for
_SCREEN: Final = re.compile(  # what is sold by the inch everywhere
    r"screen|display|monitor|\btvs?\b|televi|lcd|oled|laptop|tablet|bildschirm|fernseh|felge|écran|pantalla|\btela\b|schermo"
    r"|obrazov|ekran|displej|layar|skrin|paparan|màn hình|экран|монитор|شاشة|οθόν|画面|ディスプレイ|モニタ|テレビ|液晶|화면|모니터"
    r"|디스플레이|จอ|pizza|ピザ|피자|iphone|ipad|macbook",
    re.IGNORECASE,
)
_WEIGHED: Final = re.compile(  # what shows that French "livres" are no books
    r"\b(?:pes\w+|poids|perd\w+|pris|grossi\w*|maigri\w*|kilos?|farine|sucre|beurre|viande|bœuf|boeuf|poulet|porc|pommes|crevettes"
    r"|saumon|haltères?)\b",
    re.IGNORECASE,
)
_OTHER: Final = re.compile(  # what makes another unit of it, which is not converted here: cubic feet, feet per second
    r" ?(?:/|cub|cúb|quadr|cuadr|carr|مربع|مكعب|vuông|khối|persegi|padu|kubik|čtver|krych|kare|küp|куб|квадр|τετρ|κυβ|square|per )"
)
_MINUS: Final = re.compile(r"(?<!\w)[-\u2212]$")  # in front of a temperature
_TENFOLD: Final = 1_000
_ROUNDING: Final = 0.06  # of the decimal logarithm: "about 15 cm" beside six inches
_DEGREES: Final = 3.0  # degrees Celsius by which a temperature may be rounded


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


class Quantity(NamedTuple):
    """A number with an imperial unit at `start` to `end` of a text, and the metric amount as the locale writes it."""

    start: int
    end: int
    unit: str
    metric: str | None


def imperial(text: str, locale: Locale) -> Iterator[Quantity]:
    """The imperial quantities of `text`, without those whose metric amount stands beside them and without screens."""
    digits, spelled = _patterns(locale.language)
    for match in (*digits.finditer(text), *(spelled.finditer(text) if _spells(text, locale.language) else ())):
        unit = match.lastgroup or ""
        name = _name(unit)
        start, end = match.span()
        values = _numbers(match, locale)
        if not _counts(name, unit, text, start, end) or _metric_beside(text, start, end, values, name, locale):
            continue
        below = name == "fahrenheit" and _MINUS.search(text, max(start - 2, 0), start) is not None
        metric = None if _OTHER.match(text, end) else _converted(values, name, locale, -1 if below else 1)
        yield Quantity(start - below, end, name, metric)
    if "'" in text or "’" in text or "′" in text:
        for match in _FEET_AND_INCHES.finditer(text):
            feet = int(match[1]) + int(match[2]) / 12
            if int(match[2]) < 12 and not _metric_beside(text, *match.span(), [feet], "foot", locale):
                yield Quantity(*match.span(), "foot", _written(_amount([feet], "foot"), locale))


def names_a_unit(text: str, locale: Locale) -> bool:
    """Whether an imperial unit is named in `text`, with or without a number."""
    return _bare(locale.language).search(text) is not None


def _counts(name: str, unit: str, text: str, start: int, end: int) -> bool:
    around = text[max(start - 60, 0) : end + 60]
    if name == "inch" and _SCREEN.search(around):
        return False
    return not unit.startswith("weak_") or _WEIGHED.search(around) is not None


def _metric_beside(text: str, start: int, end: int, amounts: list[float], name: str, locale: Locale) -> bool:
    """Whether one of the amounts of a quantity stands beside it in a metric unit, whichever that is."""
    beside, unit = _metric(name, locale.language), UNITS[name]
    for place in (*beside.finditer(text, end, end + _BESIDE), *beside.finditer(text, max(start - _BESIDE, 0), start)):
        there = value(place[1].rstrip(".,"), locale)
        if any(_alike(one * unit.metric[0][1] + unit.offset, there, name) for one in amounts):
            return True
    return False


def _alike(amount: float, there: float, name: str) -> bool:
    """Whether a metric amount may be the one that stands there: metres and millimetres differ by powers of ten."""
    if name == "fahrenheit":
        return abs(abs(amount) - there) <= _DEGREES
    if amount <= 0 or there <= 0:
        return amount == there
    apart = math.log10(there / amount)
    return abs(apart - round(apart)) <= _ROUNDING


def _converted(values: list[float], name: str, locale: Locale, sign: int) -> str:
    return _written(_amount([sign * one for one in values], name), locale)


def _numbers(match: re.Match[str], locale: Locale) -> list[float]:
    """The one or two numbers of a quantity."""
    return [value(one, locale) for one in match.groups()[:2] if one]


def value(text: str, locale: Locale) -> float:
    """What a number in digits or in a word says in a locale; in "1.000" the point groups where the locale groups with it."""
    if not text[0].isdigit():
        return float(_spelled(locale.language).get(text.casefold(), 1))
    whole, _, part = text.partition("/")
    text = whole.replace("٫", ".").replace("٬", "")
    groups = re.split("[.,]", text)
    marks = re.findall("[.,]", text)
    decimal = len(marks) > 0 and (len(groups[-1]) != 3 or (len(marks) == 1 and marks[0] == locale.decimal))
    number = float("".join(groups[:-1]) + "." + groups[-1]) if decimal and len(groups) > 1 else float("".join(groups))
    return number / float(part) if part and float(part) else number


def _amount(values: list[float], name: str) -> tuple[list[float], str]:
    unit = UNITS[name]
    for metric, factor in unit.metric:  # the largest in which it is at least one
        amounts = [one * factor + unit.offset for one in values]
        if abs(max(amounts)) >= 1 or metric == unit.metric[-1][0]:
            break
    return [_rounded(one) for one in amounts], metric


def _rounded(amount: float) -> float:
    return float(f"{amount:.3g}") if abs(amount) < _TENFOLD else float(round(amount))


def _written(amount: tuple[list[float], str], locale: Locale) -> str:
    values, metric = amount
    language = babel.Locale.parse(locale.tag, sep="-")
    last = str(cldr.format_unit(values[-1], metric, "short", locale=language))
    first = [numbers.format_decimal(one, locale=language) for one in values[:-1]]
    return "–".join([*first, last])


def _name(unit: str) -> str:
    return unit.removeprefix("any_").removeprefix("weak_").removeprefix("before_").replace("_", "-")


@lru_cache(maxsize=1)
def _data() -> dict[str, dict[str, str]]:
    text = resources.files("midb_ray.signals").joinpath("convention.yaml").read_text(encoding="utf-8")
    data: dict[str, dict[str, str]] = yaml.safe_load(text)
    return data


@lru_cache(maxsize=256)
def _spelled(language: str) -> dict[str, int]:
    """The number words of a language from two to twenty: one is an article as well."""
    return {word: number for word, number in number_words.values(language).items() if number > 1}


def _words(language: str) -> dict[str, str]:
    """Every unit and the words for it, the longest names of units first: square feet before feet."""
    data = _data()
    own = data.get(language, {})
    found = {}
    for unit in sorted(UNITS, key=len, reverse=True):
        short = r"in\.?(?![^\W\d_])" if unit == "inch" and language not in _IN_IS_A_WORD else None
        found[unit] = "|".join(one for one in (own.get(unit), data["any"].get(unit), short) if one)
    return found


def _spells(text: str, language: str) -> bool:
    """Whether a number may stand in `text` as a word."""
    return language not in _UNSPACED and not _spelled(language).keys().isdisjoint(
        text.casefold().replace("-", " ").split()
    )


@lru_cache(maxsize=256)
def _patterns(language: str) -> tuple[re.Pattern[str], re.Pattern[str]]:
    """What finds a quantity with its number in digits, and in words."""
    unspaced = language in _SPACELESS_AFTER
    units = [f"(?P<{unit.replace('-', '_')}>{words})" for unit, words in _words(language).items()]
    if language == "fr":
        units.append(r"(?P<weak_pound>livres(?! sterling))")
    number = f"{_NUMBER}{_RANGE}"
    if unspaced:  # a number follows a letter without a space
        number = number.replace(r"(?<![\w", r"(?<![A-Za-z\d")
    behind = rf"{_GAP}(?:{'|'.join(units)})" + ("" if unspaced else r"(?!\w)")
    words = "|".join(re.escape(word) for word in sorted(_spelled(language), key=len, reverse=True))
    spelled = rf"\b({words})()(?=[ -]){behind}" if words else "(?!)"
    return re.compile(number + behind, re.IGNORECASE), re.compile(spelled, re.IGNORECASE)


@lru_cache(maxsize=256)
def _bare(language: str) -> re.Pattern[str]:
    """The names of units; what is spelled like another word of the language counts beside a number only."""
    start, end = ("", "") if language in _SPACELESS_AFTER else (r"(?<!\w)", r"(?!\w)")
    return re.compile(f"{start}(?:{'|'.join(_words(language).values())}){end}", re.IGNORECASE)


@lru_cache(maxsize=4096)
def _metric(name: str, language: str) -> re.Pattern[str]:
    """A number and a metric unit of the same kind."""
    kind = UNITS[name].metric[0][0].partition("-")[0]
    metric = {
        "length": ["kilometer", "meter", "centimeter", "millimeter"],
        "mass": ["kilogram", "gram"],
        "volume": ["liter", "milliliter"],
        "speed": ["kilometer-per-hour"],
        "area": ["square-meter", "hectare", "square-kilometer"],
        "temperature": ["celsius"],
    }[kind]
    units = {"length": ["km", "m", "cm", "mm"], "mass": ["kg", "g"], "volume": ["l", "L", "ml", "mL"]}.get(kind, [])
    units += {"speed": ["km"], "area": ["m²", "m2", "ha", "km²"], "temperature": ["[°º˚] ?C", "℃", "C"]}.get(kind, [])
    names = {re.escape(one) for unit in metric for one in _cldr_names(f"{kind}-{unit}", language)}
    ends = r"(?![a-zA-Z])"
    return re.compile(
        rf"(?<![\d.,])(\d{{1,9}}(?:[.,٫٬]\d{{1,3}}){{0,3}})[ \u00a0\u202f]?(?:(?:{'|'.join(units)}){ends}|{'|'.join(names)})",
        re.IGNORECASE,
    )


def _cldr_names(unit: str, language: str) -> set[str]:
    written = (str(cldr.format_unit(number, unit, "long", locale=language)) for number in (1, 2, 5))
    return {re.sub(r"[\d٠-٩]", "", text).strip() for text in written} - {""}
