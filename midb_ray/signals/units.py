"""Quantities that change their number because they change their unit: 5 miles and 8 km."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Final, NamedTuple

import babel
from babel import units as cldr

from midb_ray.locales import Locale
from midb_ray.signals import script


class Conversion(NamedTuple):
    """An imperial unit, the metric one (CLDR names), and metric = imperial * factor + offset."""

    imperial: str
    metric: str
    factor: float
    offset: float = 0.0


CONVERSIONS: Final = (
    Conversion("length-mile", "length-kilometer", 1.609344),
    Conversion("length-foot", "length-meter", 0.3048),
    Conversion("length-foot", "length-centimeter", 30.48),
    Conversion("length-yard", "length-meter", 0.9144),
    Conversion("length-inch", "length-centimeter", 2.54),
    Conversion("length-inch", "length-millimeter", 25.4),
    Conversion("mass-pound", "mass-kilogram", 0.45359237),
    Conversion("mass-pound", "mass-gram", 453.59237),
    Conversion("mass-ounce", "mass-gram", 28.349523),
    Conversion("volume-gallon", "volume-liter", 3.785412),
    Conversion("volume-cup", "volume-milliliter", 236.588),
    Conversion("speed-mile-per-hour", "speed-kilometer-per-hour", 1.609344),
    Conversion("area-square-foot", "area-square-meter", 0.09290304),
    Conversion("area-acre", "area-hectare", 0.40468564),
    Conversion("temperature-fahrenheit", "temperature-celsius", 5 / 9, -160 / 9),
)

_SOURCE: Final = "en"  # sources may name a unit in English, in whatever language the translation is
_SPACED: Final = ("Cyrillic", "Greek", "Arabic")

_MANY: Final = 1_000  # in a table of so many numbers one that fits is no sign of a conversion

ROUNDING: Final = 0.03
"""How far a converted quantity may be rounded, as a share of it; half a unit is always allowed."""


def converted(value: str, before: str, after: str, locale: Locale, known: set[str]) -> bool:
    """Whether `value` (of `before`) was converted to the units of `locale`: the converted number is among the values
    `known` in `after`, and `after` names the new unit more often than `before` does."""
    if len(value) > 15 or len(known) > _MANY:
        return False
    old = float(value)
    for conversion in CONVERSIONS:
        metric = locale.units == "metric"
        new = old * conversion.factor + conversion.offset if metric else (old - conversion.offset) / conversion.factor
        margin = max(0.5, abs(new) * ROUNDING)
        if any(abs(float(other) - abs(new)) <= margin for other in known if len(other) <= 15):
            unit = conversion.metric if metric else conversion.imperial
            if _times(unit, after, locale.tag) > max(_times(unit, before, tag) for tag in (locale.tag, _SOURCE)):
                return True
    return False


def _times(unit: str, text: str, tag: str) -> int:
    """How often a unit is named in a text, as a locale names it."""
    return len(_named(unit, tag).findall(text.casefold()))


@lru_cache(maxsize=1024)
def _named(unit: str, tag: str) -> re.Pattern[str]:
    """A pattern that finds how CLDR writes a unit beside a number in a locale, short and long, in a casefolded text: whole words,
    where words have spaces around them."""
    language = babel.Locale.parse(tag, sep="-")
    written = (cldr.format_unit(5, unit, length, locale=language) for length in ("short", "long", "narrow"))
    names = (text.replace("5", " ").strip().casefold() for text in written if unit not in text)
    found = {name for text in names for name in text.split("  ") if name}
    return re.compile("|".join(sorted(map(_whole, found), key=len, reverse=True)) or "(?!)")


def _whole(name: str) -> str:
    scripts = script.letters(name).keys()
    if "Latin" in scripts:  # "8km" has no blank, and in other scripts a particle may follow at once
        return rf"(?<![a-zà-ɏḁ-ỹ]){re.escape(name)}(?![a-zà-ɏḁ-ỹ])"
    return re.escape(name) if scripts.isdisjoint(_SPACED) else rf"(?<![^\W\d_]){re.escape(name)}(?![^\W\d_])"
