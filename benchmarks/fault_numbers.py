"""Faults of numbers: one becomes another, or is lost with the smallest natural piece around it."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Iterator
from itertools import pairwise
from random import Random
from typing import NamedTuple

from fault_numerals import NUMERAL, values, words
from fault_rows import SECTIONS, Clean, Section
from fault_text import Faulty, Span, changed, lines, section_of, sentences, size, without

from midb_ray.pairs import Text

_ORDINAL_DOT = ("de", "cs", "tr")  # "20. Jahrhundert"
_LARGE = (  # the words of large numbers belong to the numeral
    r"\s?(?:Million\w*|Milliarden?|mil millones|millon(?:es)?|mil|milh(?:ões|ão)|bilh(?:ões|ão)|[mM]illi(?:on|ard)s?|"
    r"mili(?:on|ard)\w*|milioni|miliardi|mila|milyon|milyar|bin|juta|miliar|ribu|bilion|triệu|tỷ|nghìn|[万億兆억만조천]|مليون|مليار|ألف|тысяч\w*|мил\w+)(?!\w)"
)
_JOINED = (
    r"(?:oder|und|o|u|y|e|et|ou|nebo|a|veya|ve|atau|dan|hoặc|và|또는|أو|или|и|ή|και)(?!\w)|または|もしくは|と|や|와|과"
)
_YEARS = range(1000, 2030)
_FEWEST_WORDS = 4.0  # that a sentence keeps when a number leaves it


class Number(NamedTuple):
    """A numeral in a section of the target and the value that the source has too."""

    section: Section
    span: Span
    value: float


def number_changed(clean: Clean, chance: Random) -> Faulty | None:
    """A number of the target that the source has too becomes another one of its size and form."""
    numbers = list(_shared(clean))
    chance.shuffle(numbers)
    taken = _all_values(clean.pair, clean.language) | _all_values(clean.source, "en")
    for number in numbers:
        text = section_of(clean.pair, number.section)
        numeral = text[slice(*number.span)]
        found = [
            (variant, new)
            for variant, new in _others(numeral, chance)
            if _is_plausible(text, number, new, clean.language) and not taken & set(values(new, clean.language))
        ]
        if found:
            variant, new = chance.choice(found)
            return changed(clean, "number_changed", variant, number.section, number.span, new)
    return None


def number_dropped(clean: Clean, chance: Random) -> Faulty | None:
    """A number that the target says once is removed with what cannot stand without it."""
    numbers = list(_shared(clean))
    said = Counter(number.value for number in numbers)
    everywhere = Counter(
        value for section in SECTIONS for value in _section_values(section_of(clean.pair, section), clean.language)
    )
    numbers = [number for number in numbers if said[number.value] == 1 and everywhere[number.value] == 1]
    chance.shuffle(numbers)
    for number in numbers:
        text = section_of(clean.pair, number.section)
        sentence = next((part for part in _all_sentences(text) if part[0] <= number.span[0] < part[1]), None)
        if sentence is None:
            continue
        variant, piece = _piece(text, number.span, sentence, clean.language)
        rest = text[sentence[0] : piece[0]] + text[piece[1] : sentence[1]]
        if (
            size(rest) < _FEWEST_WORDS
            or _leaves_a_joint(text, piece)
            or "=" in text[slice(*sentence)]
            or len(list(NUMERAL.finditer(text[slice(*piece)]))) != 1
        ):
            continue
        span, new = without(text, piece)
        return changed(clean, "number_dropped", variant, number.section, span, new)
    return None


def _all_sentences(text: str) -> list[Span]:
    return [part for line in lines(text) for part in sentences(text, line)]


def _shared(clean: Clean) -> Iterator[Number]:
    """The numerals of the target in running text whose value the same section of the source has."""
    for section in SECTIONS:
        theirs = set(_section_values(section_of(clean.source, section), "en"))
        text = section_of(clean.pair, section)
        for start, end in lines(text):
            for match in NUMERAL.finditer(text, start, end):
                if not _stands_alone(text, match.span()):
                    continue
                value = next((value for value in values(match.group(), clean.language) if value in theirs), None)
                if value is not None:
                    yield Number(section, match.span(), value)


def _section_values(text: str, language: str) -> list[float]:
    return [values(match.group(), language)[0] for match in NUMERAL.finditer(text) if values(match.group(), language)]


def _all_values(text: Text, language: str) -> set[float]:
    return {value for section in SECTIONS for value in _section_values(section_of(text, section), language)}


def _stands_alone(text: str, span: Span) -> bool:
    """Whether a numeral is a number of the text, not a part of a word, an address, a formula or code."""
    before, after = text[: span[0]], text[span[1] :]
    glued = before[-1:] + after[:1]
    if any(letter.isalpha() and letter.lower() != letter.upper() for letter in glued) or any(
        sign in "_#@=^*×{}<>" for sign in glued
    ):
        return False
    if re.search(r"[^\W\d][-–.]$|[=+*/×÷<>]\s*$|[-−]$|\w/$", before) or re.match(r"\s*[=+*/×÷<>^]|[-.]\w|:\d", after):
        return False
    return not re.search(r"(?:https?:|www\.)\S*$", before)


def _others(numeral: str, chance: Random) -> Iterator[tuple[str, str]]:
    """Numerals that a careless writer makes of this one, with the name of the slip."""
    digits = [place for place, sign in enumerate(numeral) if sign.isdigit()]
    zero = _zero(numeral[digits[0]])
    place = chance.choice(digits[-2:] if len(digits) == 4 and len(numeral) == 4 else digits)
    old = unicodedata.digit(numeral[place])
    lowest = 1 if place == digits[0] and len(digits) > 1 else 0
    yield "digit", _with(numeral, place, zero, chance.choice([new for new in range(lowest, 10) if new != old]))
    swaps = [(a, b) for a, b in pairwise(digits) if numeral[a] != numeral[b]]
    if swaps:
        a, b = chance.choice(swaps)
        swapped = list(numeral)
        swapped[a], swapped[b] = swapped[b], swapped[a]
        if unicodedata.digit(swapped[digits[0]]) or len(digits) == 1:
            yield "swap", "".join(swapped)
    if len(digits) == len(numeral):
        value = int(numeral)
        near = value + chance.choice([-3, -2, -1, 1, 2, 3])
        if near > 0:
            yield "near", "".join(chr(ord(zero) + int(sign)) for sign in str(near))
        if value >= 10 and len(digits) != 4:
            yield "tenfold", numeral + zero
        if value % 10 == 0 and value >= 20:
            yield "tenth", numeral[:-1]
    else:
        joint = max(place for place, sign in enumerate(numeral) if not sign.isdigit())
        if len(digits) <= 4:
            yield "separator_lost", numeral[:joint] + numeral[joint + 1 :]


def _zero(digit: str) -> str:
    return chr(ord(digit) - unicodedata.digit(digit))


def _with(numeral: str, place: int, zero: str, digit: int) -> str:
    return numeral[:place] + chr(ord(zero) + digit) + numeral[place + 1 :]


def _is_plausible(text: str, number: Number, new: str, language: str) -> bool:
    """Whether the new numeral is of a size that the place allows: percentages, years, clock times, small counts."""
    readings = values(new, language)
    if not readings or not readings[0]:
        return False
    value, before, after = readings[0], text[: number.span[0]], text[number.span[1] :]
    percent = before.rstrip().endswith(("%", "٪"))
    if percent or re.match(r"\s*(?:[%٪％]|per cent|Prozent|procent|persen|peratus|パーセント|퍼센트)", after):
        return value <= max(100, number.value)
    if number.value in _YEARS and len(new) == 4:
        return value in _YEARS
    if before.endswith(":"):
        return value < 60
    if number.value <= 12:
        return value <= 20
    return value <= number.value * 12


def _piece(text: str, span: Span, sentence: Span, language: str) -> tuple[str, Span]:
    """The smallest piece round a number that a writer would leave out with it, and its kind."""
    start, end = span
    own, dense = words()[language], language in ("ja", "ko", "th")
    for bracket in re.finditer(r"[(（][^()（）\n]{1,40}[)）]", text[slice(*sentence)]):
        first, last = sentence[0] + bracket.start(), sentence[0] + bracket.end()
        if first < start and end < last:
            return "bracket", (first, last)
    if sign := re.search(r"(?:R\$|RM|Rp|US\$|[$€£¥₩%])\s?$", text[sentence[0] : start]):
        start -= len(sign.group())
    if large := re.match(_LARGE, text[end : sentence[1]]):
        end += large.end()
    edge = "" if dense or language == "ar" else r"(?!\w)"
    unit = re.match(
        rf"\s?(?:%|[$€£]|° ?[CF]|{own['after']}){edge}(?:\s(?:Celsius\w?|Fahrenheit\w?|[CF])(?!\w))?",
        text[end : sentence[1]],
    )
    if unit:
        end += unit.end()
    elif suffix := re.match(r"\.(?=\s\w)" if language in _ORDINAL_DOT else r"[ºª]", text[end : sentence[1]]):
        end += suffix.end()
    if language == "tr" and (case := re.match(r"['’]\w+", text[end : sentence[1]])):
        end += case.end()
    before = text[sentence[0] : start]
    border = "" if dense else r"(?:^|(?<=[\s(«„“]))"
    if about := re.search(rf"{border}{own['about']}\s?$", before, re.IGNORECASE):
        start = sentence[0] + about.start()
    closed = dense or bool(unit) or not re.match(r"\s\w", text[end : sentence[1]])
    if closed and (
        lead := re.search(rf"(?:^|(?<=[\s(«„“])){own['before']}\s?$", text[sentence[0] : start], re.IGNORECASE)
    ):
        return "phrase", (sentence[0] + lead.start(), end)
    return ("unit" if unit else "number"), (start, end)


def _leaves_a_joint(text: str, piece: Span) -> bool:
    """Whether a piece stands in a formula, a range, a date or before "or": what is left would be nonsense."""
    before, after = text[: piece[0]], text[piece[1] :]
    if re.search(r"\d\s*[,،、;]\s*$", before) or re.match(r"\s*[,،、;]\s*\w?\d", after):
        return True  # one of a row of numbers
    if re.match(r"\s?(?:ila|až|bis|hasta|a|à|إلى|đến|hingga|sampai|から|до|έως)\s?\d", after):
        return True  # the first of a range
    if re.match(r"[가-힣]", after) and text[piece[1] - 1].isdigit():
        return True  # a counter that is not known stays behind
    return bool(
        re.search(r"[=+*/×÷<>~〜～:\-–][ ]?$|\bx $|^[-*•] ?$", before.rsplit("\n", 1)[-1])
        or re.match(rf"\s?(?:[\d=+*/×÷~〜～:：–-]|x\b|{_JOINED})", after)
    )
