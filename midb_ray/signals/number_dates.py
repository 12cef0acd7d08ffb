"""Dates and times of day, which a translation writes in its own way: the month in words, another era, a 24-hour clock."""

from __future__ import annotations

import re
from typing import Final

BUDDHIST: Final = 543
"""Years from the common to the Buddhist era, the calendar of Thailand."""

_DATE: Final = re.compile(r"(?<![\d.,/-])(\d{1,4})([./-])[ ]?(\d{1,2})\2[ ]?(\d{1,4})(?![\d/-]|[.,]\d)")
_TIME: Final = re.compile(r"(?<![\d:])(\d{1,2}):(\d\d)(?![\d:])|(?<![\d:.,])(\d{1,2})[ ]?[ap]\.?m\b", re.IGNORECASE)


def forgiven(text: str, known: set[str]) -> set[str]:
    """Parts of the dates and times in `text` that may be missing, because what has to stay of them is `known`."""
    found: set[str] = set()
    for match in _DATE.finditer(text):
        parts = [_whole(match[place]) for place in (1, 3, 4)]
        missing = [part for part in parts if not _year(part, known)]
        if len(missing) == 0 or (len(missing) == 1 and int(missing[0]) <= 12):
            found.update(parts)
    for match in _TIME.finditer(text):
        hour, minute = int(match[1] or match[3]), _whole(match[2] or "00")
        if {str(hour), str((hour + 12) % 24)} & known and (minute == "0" or minute in known):
            found.update((str(hour), minute))
    return found


def _year(part: str, known: set[str]) -> bool:
    """Whether a part of a date is known, as it is or as another form of a year."""
    value = int(part)
    forms = {part, str(value % 100), str(1900 + value), str(2000 + value)} if value < 100 or value > 999 else {part}
    if value > 999:
        forms |= {str(value + BUDDHIST), str(value - BUDDHIST)}
    return bool(forms & known)


def _whole(digits: str) -> str:
    """Digits of any script as a number without zeros in front."""
    return str(int(digits))
