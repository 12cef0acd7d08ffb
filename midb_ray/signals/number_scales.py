"""Numbers with a word for their scale, and telephone numbers: "3.5 million" is 3,500,000, and 555-123-4567 is 5551234567.

The words are data, in `number_scales.yaml` beside this file, by language.
"""

from __future__ import annotations

import re
from decimal import Decimal, InvalidOperation
from functools import lru_cache
from importlib import resources
from typing import Final, NamedTuple

import yaml

_UNSPACED: Final = ("ja", "ko", "th")
_GROUPS: Final = re.compile(r"(?<![\w.,])[+(]{0,2}\d{1,4}(?:[ )(./-]{1,2}\d{2,5}){1,6}(?![\w-])")
_DIGITS: Final = re.compile(r"\d+")
_FIGURE: Final = r"\d{1,15}(?:[.,٫٬]\d{1,15})?"
_GROUP: Final = re.compile(r"(\d[\d,.]{0,12}) ?([천千백百]?) ?([兆조億亿억万萬만]?) ?")
_POWERS: Final = dict(zip("兆조億亿억万萬만천千백百", (12, 12, 8, 8, 8, 4, 4, 4, 3, 3, 2, 2), strict=True))


class Scales(NamedTuple):
    """The words for scales of one language: a pattern that finds one behind a number in a casefolded text, and powers of ten."""

    pattern: re.Pattern[str]
    powers: dict[str, int]


def scaled(text: str, language: str) -> list[tuple[str, int]]:
    """Each number of `text` that a word of `language` (ISO 639-1) scales, both of "153 to 148 million", as it is written, with the
    power of ten; none for a language without data."""
    scales = _known().get(language)
    if scales is None:
        return []
    found = []
    for first, number, word in scales.pattern.findall(text.casefold()):
        found += [(one, scales.powers[word]) for one in (first, number) if one]
    return found


def myriads(text: str) -> set[str]:
    """The values of numbers in the groups of four digits of Japanese and Korean: 1億5,300万 is 153000000, 5천만 is 50000000."""
    found: set[str] = set()
    if _POWERS.keys().isdisjoint(text):
        return found
    total, power, end = Decimal(0), 0, -1  # of the number that is being read, of its last group, and where it ends
    for match in _GROUP.finditer(text):
        digits, hundreds, sign = match.groups()
        value, own = _decimal(digits), _POWERS.get(sign, 0)
        if value is None:
            continue
        if match.start() == end and own < power:
            found.discard(_plain(total))
            total += value.scaleb(own + _POWERS.get(hundreds, 0))
        else:
            total = value.scaleb(own + _POWERS.get(hundreds, 0))
        power, end = own, match.end()
        if total != value:
            found.add(_plain(total))
    return found


def _plain(number: Decimal) -> str:
    return f"{number.normalize():f}"


def _decimal(digits: str) -> Decimal | None:
    try:
        return Decimal(digits.replace(",", "").rstrip("."))
    except InvalidOperation:
        return None


def joined(text: str) -> dict[str, set[str]]:
    """The digits of each telephone number (7 to 15 digits in groups) written as one, with the groups they stood in."""
    found = {}
    for match in _GROUPS.findall(text):
        groups = _DIGITS.findall(match)
        if 7 <= sum(map(len, groups)) <= 15:
            found["".join(groups).lstrip("0")] = {group.lstrip("0") or "0" for group in groups}
    return found


@lru_cache(maxsize=1)
def _known() -> dict[str, Scales]:
    data = (resources.files("midb_ray") / "signals" / "number_scales.yaml").read_text(encoding="utf-8")
    return {language: _scales(language, listed) for language, listed in yaml.safe_load(data).items()}


def _scales(language: str, listed: dict[int, str]) -> Scales:
    powers = {word.casefold(): power for power, words in listed.items() for word in words.split("|")}
    longest_first = "|".join(sorted(map(re.escape, powers), key=len, reverse=True))
    end = "" if language in _UNSPACED else r"(?!\w)"
    return Scales(
        re.compile(
            rf"(?<![\d.,])(?:({_FIGURE})(?: ?[-–] ?| [^\W\d]{{1,4}} ))?({_FIGURE})[ \u00a0\u202f-]?({longest_first}){end}"
        ),
        powers,
    )
