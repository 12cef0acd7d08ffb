"""Quantities in imperial units, as each language names them, and what they are in the metric ones.

A quantity is a number, in digits or in a word, with its unit; it stands
for itself only where the metric amount is not named beside it.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from typing import Final, NamedTuple

import babel
from babel import numbers
from babel import units as cldr

from midb_ray.locales import Locale
from midb_ray.signals import unit_words

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
_SPACES: Final = re.compile(r"\s")
_TENFOLD: Final = 1_000
_ROUNDING: Final = 0.025  # of the decimal logarithm: "about 15 cm" beside six inches
_DEGREES: Final = 5.0  # degrees Celsius by which a temperature may be rounded


class Quantity(NamedTuple):
    """A number with an imperial unit at `start` to `end` of a text, and the metric amount as the locale writes it."""

    start: int
    end: int
    unit: str
    metric: str | None


def imperial(text: str, locale: Locale) -> Iterator[Quantity]:
    """The imperial quantities of `text`, without those whose metric amount stands beside them and without screens."""
    digits, spelled = unit_words.patterns(locale.language)
    found = [*digits.finditer(text), *(spelled.finditer(text) if unit_words.spells(text, locale.language) else ())]
    if "華氏" in text or "화씨" in text:
        found += unit_words.TEMPERATURE.finditer(text)
    for match in found:
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
    return unit_words.bare(locale.language).search(text) is not None


def _counts(name: str, unit: str, text: str, start: int, end: int) -> bool:
    around = text[max(start - 60, 0) : end + 60]
    if name == "inch" and _SCREEN.search(around):
        return False
    return not unit.startswith("weak_") or _WEIGHED.search(around) is not None


def _metric_beside(text: str, start: int, end: int, amounts: list[float], name: str, locale: Locale) -> bool:
    """Whether one of the amounts of a quantity stands beside it in a metric unit, whichever that is."""
    beside, unit = unit_words.metric(name, locale.language), unit_words.UNITS[name]
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
        return float(unit_words.spelled(locale.language).get(text.casefold(), 1))
    whole, _, part = text.partition("/")
    text = _SPACES.sub("", whole).replace("٫", ".").replace("٬", "")
    groups = re.split("[.,]", text)
    marks = re.findall("[.,]", text)
    decimal = len(marks) > 0 and (len(groups[-1]) != 3 or (len(marks) == 1 and marks[0] == locale.decimal))
    number = float("".join(groups[:-1]) + "." + groups[-1]) if decimal and len(groups) > 1 else float("".join(groups))
    return number / float(part) if part and float(part) else number


def _amount(values: list[float], name: str) -> tuple[list[float], str]:
    unit = unit_words.UNITS[name]
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
