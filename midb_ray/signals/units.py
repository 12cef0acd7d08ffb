"""Quantities that change their number because they change their unit: 5 miles and 8 km."""

from __future__ import annotations

from functools import lru_cache
from typing import Final, NamedTuple

import babel
from babel import units as cldr

from midb_ray.locales import Locale


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
            names = _names(conversion.metric if metric else conversion.imperial, locale.tag)
            if any(after.casefold().count(name) > before.casefold().count(name) for name in names):
                return True
    return False


@lru_cache(maxsize=1024)
def _names(unit: str, tag: str) -> frozenset[str]:
    """How CLDR writes a unit beside a number in a locale, short and long, in lower case."""
    language = babel.Locale.parse(tag, sep="-")
    written = (cldr.format_unit(5, unit, length, locale=language) for length in ("short", "long", "narrow"))
    names = (text.replace("5", " ").strip().casefold() for text in written if unit not in text)
    return frozenset(name for text in names for name in text.split("  ") if name)
