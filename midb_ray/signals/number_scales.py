"""Numbers with a word for their scale, and telephone numbers: "3.5 million" is 3,500,000, and 555-123-4567 is 5551234567.

The words are data, in `number_scales.yaml` beside this file, by language.
"""

from __future__ import annotations

import re
from functools import lru_cache
from importlib import resources
from typing import Final, NamedTuple

import yaml

_UNSPACED: Final = ("ja", "ko", "th")
_GROUPS: Final = re.compile(r"(?<![\w.,])[+(]{0,2}\d{1,4}(?:[ )(./-]{1,2}\d{2,5}){1,6}(?![\w-])")
_DIGITS: Final = re.compile(r"\d+")


class Scales(NamedTuple):
    """The words for scales of one language: a pattern that finds one behind a number in a casefolded text, and powers of ten."""

    pattern: re.Pattern[str]
    powers: dict[str, int]


def scaled(text: str, language: str) -> list[tuple[str, int]]:
    """Each number of `text` that a word of `language` (ISO 639-1) scales, as it is written, with the power of ten; none for a
    language without data."""
    scales = _known().get(language)
    if scales is None:
        return []
    return [(number, scales.powers[word]) for number, word in scales.pattern.findall(text.casefold())]


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
    return Scales(re.compile(rf"(?<!\d)(\d+(?:[.,٫٬]\d+)?)[ \u00a0\u202f-]?({longest_first}){end}"), powers)
