"""Metric quantities of the target that become imperial, and its own currency that becomes dollars."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path
from random import Random
from typing import Any

import yaml
from babel import numbers as formats
from fault_carriers import carriers, carry, host_section
from fault_numerals import NUMERAL, values, words
from fault_rows import SECTIONS, Clean
from fault_text import Faulty, changed, section_of

from midb_ray.locales import load_locales

METRIC = {
    "km": "mile",
    "m": "foot",
    "cm": "inch",
    "kg": "pound",
    "g": "ounce",
    "l": "gallon",
    "celsius": "fahrenheit",
    "kmh": "mph",
}
_FACTORS = {"km": 0.621371, "m": 3.28084, "cm": 0.393701, "kg": 2.20462, "g": 0.035274, "l": 0.264172, "kmh": 0.621371}
_SHORT = {"km": "km", "m": "m", "cm": "cm", "kg": "kg", "g": "g", "l": "[lL]", "celsius": "° ?C|℃", "kmh": "km/h"}
_SHORT_IMPERIAL = {
    "mile": "mi",
    "foot": "ft",
    "inch": "in",
    "pound": "lb",
    "ounce": "oz",
    "gallon": "gal",
    "fahrenheit": "°F",
    "mph": "mph",
}
_IMPERIAL = re.compile(
    r"\b(?:miles?|feet|foot|inch(?:es)?|pounds?|lbs?|ounces?|oz|gallons?|Fahrenheit|mph|ft|yards?|Celsius to|inches? to)\b|°F|\bF\b"
)
_FRACTION = 0.25  # of prepared sources speak imperial, as English does, where the target is localised


@cache
def units() -> dict[str, dict[str, Any]]:
    """How languages write quantities, from the YAML file beside this one."""
    loaded: dict[str, dict[str, Any]] = yaml.safe_load(Path(__file__).with_name("fault_units.yaml").read_text("utf-8"))
    return loaded


def units_not_localised(clean: Clean, chance: Random) -> Faulty | None:
    """A metric quantity of the target is imperial instead, the number converted and the unit in the language."""
    if any(_IMPERIAL.search(text) for text in clean.source):
        return None  # it says both, or converts one into the other
    return _natural(clean, chance) or _money(clean) or _prepared(clean, chance)


def imperial(unit: str, value: float) -> float:
    """The value in the imperial unit that takes the place of a metric one, rounded as people write it."""
    converted = value * 9 / 5 + 32 if unit == "celsius" else value * _FACTORS[unit]
    return float(round(converted)) if converted >= 20 or unit == "celsius" else round(converted, 1)


def written(language: str, unit: str, value: float, short: bool = False) -> str:
    """A quantity as the language writes it."""
    locale = load_locales(None).resolve(language)
    number = formats.format_decimal(value, locale=f"{locale.language}_{locale.region}")
    if short:
        label = _SHORT_IMPERIAL.get(unit) or _SHORT[unit].split("|")[0].replace(" ?", "").replace("[lL]", "l")
        return f"{number} {label}"
    forms = units()[language][unit]
    return str(forms if isinstance(forms, str) else forms[_form(language, value)]).format(n=number)


def _form(language: str, value: float) -> int:
    """Which form of a noun stands with a number: Russian, Czech (with one more for fractions), Arabic."""
    whole = int(value)
    if value != whole:
        return 3 if language == "cs" else 1
    if language == "ru":
        return (
            0
            if whole % 10 == 1 and whole % 100 != 11
            else 1
            if whole % 10 in (2, 3, 4) and whole % 100 not in (12, 13, 14)
            else 2
        )
    if language == "cs":
        return 0 if whole == 1 else 1 if whole in (2, 3, 4) else 2
    return 0 if 3 <= whole % 100 <= 10 else 2 if whole % 100 >= 11 else 1


def _natural(clean: Clean, chance: Random) -> Faulty | None:
    """A quantity that both sides have in metric units."""
    found = []
    for section in SECTIONS:
        theirs, ours = section_of(clean.source, section), section_of(clean.pair, section)
        if not (NUMERAL.search(theirs) and NUMERAL.search(ours)):
            continue
        for unit in METRIC:
            there = {
                value for match in re.finditer(_pattern("en", unit), theirs) for value in values(match.group("n"), "en")
            }
            for match in re.finditer(_pattern(clean.language, unit), ours) if there else ():
                shared = next((value for value in values(match.group("n"), clean.language) if value in there), None)
                if shared is not None:
                    found.append((section, unit, match, shared))
    if not found:
        return None
    section, unit, match, value = chance.choice(found)
    short = bool(re.fullmatch(_SHORT[unit], match.group("unit").strip())) and chance.random() < 0.7
    new = written(clean.language, METRIC[unit], imperial(unit, value), short)
    low = values(match.group("low"), clean.language) if match.group("low") else ()
    if low:
        new = formats.format_decimal(imperial(unit, low[0]), locale=clean.language) + match.group("dash") + new
    return changed(clean, "units_not_localised", unit, section, match.span(), new)


@cache
def _pattern(language: str, unit: str) -> str:
    found = units()[language]["found"].get(unit)
    names = "|".join(name for name in (_SHORT[unit], found) if name)
    edge = "(?![A-Za-z²³])" if language in ("ja", "ko", "th") else r"(?![\w²³/'’])"
    before = {"ja": "(?:摂氏)?", "ko": "(?:섭씨 ?)?"}.get(language, "")
    if unit == "celsius" and language in ("ja", "ko"):
        names += "|度(?:C|摂氏)|度(?=[^華F])" if language == "ja" else "|도(?:씨)?(?= 섭씨)"
        before = {"ja": "摂氏", "ko": "섭씨 ?"}[language] if not found else before
        names = names if language == "ja" else "° ?C|℃|도"
    number = NUMERAL.pattern
    start = r"(?<![\d.,])" if before else r"(?<![\w.,])"
    return rf"{start}{before}(?:(?P<low>{number})(?P<dash> ?[-–~〜～] ?))?(?P<n>{number})(?P<unit>[\s\u00a0]?(?:{names})){edge}"


def _money(clean: Clean) -> Faulty | None:
    """A price in the language's own currency becomes one in dollars, with the same number."""
    for section in SECTIONS:
        ours = section_of(clean.pair, section)
        for form in words()[clean.language]["money"]:
            match = re.search(form.format(n=rf"(?P<n>{NUMERAL.pattern})"), ours)
            if match:
                return changed(clean, "units_not_localised", "money", section, match.span(), f"${match.group('n')}")
    return None


def _prepared(clean: Clean, chance: Random) -> Faulty:
    carrier = chance.choice(carriers()["unit"])
    unit, low, high = carrier["of"], carrier["from"], carrier["to"]
    value = float(chance.randint(low, high))
    if value >= 100 and chance.random() < 0.7:
        value = float(round(value / 10) * 10)
    elif value < 20 and unit in ("km", "kg", "l", "m") and chance.random() < 0.4:
        value += 0.5
    new_unit, converted = METRIC[unit], imperial(unit, value)
    localised = chance.random() < _FRACTION
    there = written("en", new_unit, converted) if localised else written("en", unit, value)
    section = host_section(clean, carrier["at"], chance)
    here = written(clean.language, unit, value, short=chance.random() < 0.4)
    carried = carry(clean, section, carrier["en"].format(q=there), carrier[clean.language].format(q=here), chance)
    start = section_of(carried.clean.pair, section).index(here, carried.span[0])
    new = written(clean.language, new_unit, converted, short=chance.random() < 0.3)
    variant = f"{unit}_{'localised_source' if localised else 'metric_source'}"
    return changed(carried.clean, "units_not_localised", variant, section, (start, start + len(here)), new, True)
