"""Numbers in running text as values, in whatever form a locale writes them.

1,000.5 and 1.000,5 and 1 000,5 and ١٬٠٠٠٫٥ are one value. "1,000" is a thousand or one, depending on the locale, and text
does not say which, so a number has all the values it can be read as, and two numbers are the same if they share one.

Dates keep their day and year (the month may become a word, the year may lose its century or be counted in the Buddhist
era); times keep the hour, on a 12- or 24-hour clock, and the minutes unless they are 00; quantities may change between
metric and imperial units if the unit changes with them (`units`).
"""

from __future__ import annotations

import re
import unicodedata
from typing import Final, NamedTuple

from midb_ray.locales import Locale
from midb_ray.signals import number_dates, number_forms, number_scales, number_words, structure, units

_NUMBER: Final = re.compile(r"\d+(?:[.,٫٬،]\d+|[ \u00a0\u202f\u2009'’]\d{3}(?!\d))*(?:[ ]?[万萬만億亿억])?")
_DIGITS: Final = re.compile(r"\d+")
_NOT_DIGITS: Final = bytes(code for code in range(256) if not 0x30 <= code <= 0x39)
_MARK: Final = re.compile(r"\D")
_ORDINAL: Final = re.compile(r"\d(?:st|nd|rd|th)\b")
_DECIMAL: Final = ".,٫"
_MYRIADS: Final = {"万": 4, "萬": 4, "만": 4, "億": 8, "亿": 8, "억": 8}
_KANJI: Final = dict(zip("123456789", "一二三四五六七八九", strict=True)) | {"10": "十"}
_FEW: Final = 20  # of more missing numbers none is looked at closely


class Number(NamedTuple):
    """One number: what it says in `text`, the `values` it can stand for, and the `parts` between its marks."""

    text: str
    values: frozenset[str]
    parts: tuple[str, ...]


def numbers(text: str) -> list[Number]:
    """The numbers in `text`, in order; list markers and links should have been taken out."""
    return [_number(match) for match in _NUMBER.findall(text)]


def has_digit(text: str) -> bool:
    """Whether a digit of any script stands in `text`."""
    return _DIGITS.search(text) is not None


def lost(before: str, after: str, locale: Locale | None = None, origin: str | None = None) -> list[str]:
    """The numbers of `before` that stand in no form in `after`, as they are written in `before`. `locale` allows the words and
    units of its own; `origin` is the code of the language of `before`, unless it is the same."""
    before, after = _sides(before, after)
    wanted = numbers(before)
    if not wanted:
        return []
    known = _known(after) | number_scales.myriads(after)
    missing = [number for number in wanted if not _stands(number, known)]
    if not 0 < len(missing) <= _FEW:
        return [number.text for number in missing]
    forgiven = number_dates.forgiven(before, known) | number_forms.excused(before, after, _has_all(wanted, after))
    spelled = _spelled(before, after, locale, origin) | _regrouped(before, after, known, locale, origin)
    return [
        number.text
        for number in missing
        if not forgiven.issuperset(number.parts)
        and spelled.isdisjoint(number.values)
        and not any(_rewritten(value, before, after, known, locale) for value in number.values)
    ]


def fewer(before: str, after: str) -> list[str]:
    """The numbers of `before` that stand in `after` less often, while a number stands there that `before` does not have: one of
    several was changed."""
    before, after = _sides(before, after)
    wanted, found = numbers(before), numbers(after)
    if _has_all(wanted, after):
        return []
    return [
        number.text
        for place, number in enumerate(wanted)
        if not any(number.values == one.values for one in wanted[:place])
        and 0 < _times(number, found) < _times(number, wanted)
    ]


def _has_all(wanted: list[Number], after: str) -> bool:
    """Whether every number of `after` is one of those that are wanted."""
    known = set().union(*(number.values for number in wanted))
    return all(not known.isdisjoint(number.values) for number in numbers(structure.without_markers(after)))


def _sides(before: str, after: str) -> tuple[str, str]:
    """What is compared of a source and a translation."""
    source = number_forms.plain(structure.without_markers(structure.prose(before)))
    return source, number_forms.plain(structure.prose(after))


def kept_share(before: str, after: str, few: int) -> float:
    """The share of the different numbers of `before` that stand in some form in `after`; 1 where there are fewer than `few`."""
    try:  # without a digit, the commonest case
        if len(before.encode("latin-1").translate(None, _NOT_DIGITS)) < few:
            return 1.0
    except UnicodeEncodeError:
        pass
    digits = set(_DIGITS.findall(before))
    if len(digits) < few or digits.issubset(_DIGITS.findall(after)):  # all that most pairs need
        return 1.0
    wanted = {number.values: number for number in numbers(structure.without_markers(structure.prose(before)))}
    if len(wanted) < few:
        return 1.0
    known = _known(structure.without_markers(structure.prose(after)))
    return sum(_stands(number, known) for number in wanted.values()) / len(wanted)


def _known(text: str) -> set[str]:
    """Every value in `text`, under every reading."""
    found = numbers(text)
    known = {value for number in found for value in number.values}
    return known.union(*(number.parts for number in found if number.values.isdisjoint(number.parts)))


def _stands(number: Number, known: set[str]) -> bool:
    return not known.isdisjoint(number.values) or (not number.values and known.issuperset(number.parts))


def _times(number: Number, among: list[Number]) -> int:
    """How many numbers may be the same as this one."""
    return sum(not number.values.isdisjoint(one.values) for one in among)


def _spelled(before: str, after: str, locale: Locale | None, origin: str | None) -> set[str]:
    """The values that `after` has in words of the locale's language more often than `before`: "3" became "drei"."""
    if locale is None:
        return set()
    language = locale.language
    more = number_words.counted(after, language)
    for spoken in {language, origin or language}:
        more -= number_words.counted(before, spoken)
    more |= number_words.compounds(after, language) - number_words.compounds(before, language)
    if _ORDINAL.search(before):
        more |= number_words.ordinals(after, language) - number_words.ordinals(before, language)
    return set(map(str, more))


def _regrouped(before: str, after: str, known: set[str], locale: Locale | None, origin: str | None) -> set[str]:
    """The values and parts of numbers in `before` that stand in `after` with or without a word for their scale ("3.5 million"),
    or as a telephone number in other groups."""
    found = set(number_scales.joined(after))
    for whole, groups in number_scales.joined(before).items():
        if whole in known or whole in found:
            found |= groups
    if locale is not None:
        for text, power in number_scales.scaled(after, locale.language):
            found.update(_shifted(value, power) for value in _number(text).values)
        for text, power in number_scales.scaled(before, origin or locale.language):
            values = _number(text).values
            if not (known | found).isdisjoint(_shifted(value, power) for value in values):
                found |= values
    return found


def _rewritten(value: str, before: str, after: str, known: set[str], locale: Locale | None) -> bool:
    """Whether a value that is not in `after` became a kanji numeral, a year of another era or a quantity of another unit."""
    if value in _KANJI and _KANJI[value] in after:
        return True
    if (
        len(value) == 4
        and value.isdigit()
        and {str(int(value) + number_dates.BUDDHIST), str(int(value) - number_dates.BUDDHIST)} & known
    ):
        return True
    if locale is None:
        return False
    return number_forms.stands(value, before, after, locale.language) or units.converted(
        value, before, after, locale, known
    )


def _number(match: str) -> Number:
    digits = match if match.isascii() else _ascii(match)
    myriad = _MYRIADS.get(digits[-1])
    if myriad is not None:
        digits = digits[:-1].rstrip()
    if digits.isdigit():
        whole = _whole(digits)
        return Number(match, frozenset((whole,) if myriad is None else (whole, whole + "0" * myriad)), (whole,))
    groups = _MARK.split(digits)
    values = set(_readings(groups, _MARK.findall(digits)))
    if myriad is not None:
        values |= {_shifted(value, myriad) for value in values}
    return Number(match, frozenset(values), tuple(map(_whole, groups)))


def _readings(groups: list[str], marks: list[str]) -> list[str]:
    """The values that digits between marks can stand for; none for a date, a version or a list without spaces."""
    *front, last = groups
    readings = []
    if len(set(marks)) == 1 and _grouped(groups):
        readings.append(_whole("".join(groups)))
    if marks[-1] in _DECIMAL and (len(front) == 1 or (len(set(marks[:-1])) == 1 and marks[-1] not in marks[:-1])):
        if len(front) == 1 or _grouped(front):
            readings.append(_fraction("".join(front), last))
    return readings


def _grouped(groups: list[str]) -> bool:
    """Groups of thousands, or the Indian lakhs and crores: only the last one of three digits."""
    first, *middle, last = groups
    return len(first) <= 3 and len(last) == 3 and (all(len(g) == 3 for g in middle) or all(len(g) == 2 for g in middle))


def _whole(digits: str) -> str:
    return digits.lstrip("0") or "0"


def _fraction(whole: str, digits: str) -> str:
    digits = digits.rstrip("0")
    return f"{_whole(whole)}.{digits}" if digits else _whole(whole)


def _shifted(value: str, places: int) -> str:
    """`value` times ten to the power of `places`."""
    whole, _, digits = value.partition(".")
    return _fraction(whole + digits[:places].ljust(places, "0"), digits[places:])


def _ascii(text: str) -> str:
    """Digits of any script as 0 to 9."""
    return "".join(str(unicodedata.decimal(character, character)) for character in text)
