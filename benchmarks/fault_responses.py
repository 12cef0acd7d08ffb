"""Faults of whole responses: a lost item of a list, English or another language in it, an end in mid-sentence, a loop."""

from __future__ import annotations

import re
from collections.abc import Mapping
from difflib import SequenceMatcher
from random import Random
from typing import NamedTuple

from fault_numerals import words
from fault_rows import Clean, Section
from fault_text import MARKER, Faulty, Span, aligned, changed, lines, section_of, sentences, size

from midb_ray.pairs import Text

FEWEST_ITEMS = 4
_FEWEST_WORDS = 8.0  # of a response that is said in another language
_LONG_ENOUGH = 30.0  # words of a response that is cut or falls into a loop
_MOST_ALIKE = 0.8  # of two responses in similar languages
_ENGLISH_TASK = re.compile(
    r"\b(?:English|translate|translation|grammar|spelling|rhym|acronym|synonym|antonym|sentence|word|phrase|palindrome|anagram"
    r"|haiku|mnemonic|idiom|proverb|pun|lyric|verb|noun|adjective|punctuation|capitali[sz]|proofread|tense|prefix|suffix)\w*\b",
    re.IGNORECASE,
)
_LATIN_WORD = re.compile(r"[A-Za-z]{2,}")


class Item(NamedTuple):
    """A line of a list with the lines that belong to it; `number` is the span of its number, empty for bullets."""

    span: Span
    number: Span


def list_item_lost(clean: Clean, chance: Random) -> Faulty | None:
    """One of at least four items of a list is missing; the numbers behind it close up, or leave a gap."""
    sections: list[Section] = ["response", "input", "instruction"]
    for section in sections:
        text = section_of(clean.pair, section)
        items = list_items(text)
        if len(items) < FEWEST_ITEMS or len(items) != len(list_items(section_of(clean.source, section))):
            continue
        lost = chance.randrange(len(items))
        start, end = items[lost].span
        if lost == len(items) - 1:  # the break before the last item goes with it, not the one behind
            kept = len(text[:start].rstrip())
            start, end = kept, start + len(text[start:end].rstrip())
        numbers = [text[slice(*item.number)] for item in items]
        if all(number.isdigit() for number in numbers) and chance.random() < 0.5:
            tail = end
            after = ""
            for item, number in zip(items[lost + 1 :], numbers[lost:], strict=False):
                after += text[tail : item.number[0]] + number
                tail = item.number[1]
            return changed(clean, "list_item_lost", "renumbered", section, (start, tail), after)
        variant = "gap" if numbers[lost].isdigit() else "bullet"
        return changed(clean, "list_item_lost", variant, section, (start, end), "")
    return None


def list_items(text: str) -> list[Item]:
    """The items of the longest run of marked lines. Items end where the next begins, the last with its paragraph."""
    runs: list[list[Item]] = [[]]
    offset, form = 0, ""
    for line in text.splitlines(keepends=True):
        marker = MARKER.match(line)
        if marker and line[marker.end() :].strip():
            kind = re.sub(r"\d+", "1", re.sub(r"[a-zA-Z]", "a", marker.group().rstrip()))
            if kind != form and not (runs[-1] and kind.startswith((" ", "\t"))):
                runs.append([])
                form = kind
            if kind == form:
                digits = re.search(r"\d+", marker.group())
                number = (offset + digits.start(), offset + digits.end()) if digits else (offset, offset)
                runs[-1].append(Item((offset, offset + len(line)), number))
            else:
                runs[-1][-1] = runs[-1][-1]._replace(span=(runs[-1][-1].span[0], offset + len(line)))
        elif runs[-1]:
            last = runs[-1][-1]
            is_open = not text[: last.span[1]].endswith("\n\n") or line.startswith((" ", "\t"))
            if not line.strip() or is_open:
                runs[-1][-1] = last._replace(span=(last.span[0], offset + len(line)))
            else:
                runs.append([])
                form = ""
        offset += len(line)
    return max(runs, key=len)


def sentence_left_in_english(clean: Clean, chance: Random) -> Faulty | None:
    """A sentence of the response is the English one of the source that stands in its place, else one from near it."""
    if _ENGLISH_TASK.search(clean.source.instruction):
        return None
    source, target = clean.source.response, clean.pair.response
    ours = [part for line in lines(target) for part in sentences(target, line)]
    if len(ours) < 2:
        return None
    places = [("in_place", there, here) for there, here in aligned(source, target)]
    if not places:
        theirs = [part for line in lines(source) for part in sentences(source, line)]
        places = [("near", theirs[place * len(theirs) // len(ours)], here) for place, here in enumerate(ours)]
    chance.shuffle(places)
    for variant, there, here in places:
        english, own = source[slice(*there)], target[slice(*here)]
        words_of_english = [word.lower() for word in _LATIN_WORD.findall(english)]
        common = set(words_of_english) & {word.lower() for word in _LATIN_WORD.findall(own)}
        if len(words_of_english) < 5 or size(own) < 3 or english in target or english.count("(") != english.count(")"):
            continue
        if len(common) > 0.4 * len(set(words_of_english)) or re.search(r"[{}<>=;|]|https?:", english):
            continue
        return changed(clean, "sentence_left_in_english", variant, "response", here, english)
    return None


def wrong_language(clean: Clean, chance: Random, others: Mapping[str, Text]) -> Faulty | None:
    """The response is the one of the same source row in a similar language; `others` are its pairs by language."""
    near = [
        language
        for language in words()[clean.language]["near"]
        if language in others and _is_other(clean, others[language])
    ]
    if not near:
        return None
    language = near[0] if len(near) == 1 or chance.random() < 0.6 else chance.choice(near[1:])
    whole = (0, len(clean.pair.response))
    return changed(clean, "wrong_language", language, "response", whole, others[language].response)


def _is_other(clean: Clean, other: Text) -> bool:
    ours, theirs = clean.pair.response, other.response
    if size(ours) < _FEWEST_WORDS or size(theirs) < _FEWEST_WORDS or _ENGLISH_TASK.search(clean.source.instruction):
        return False
    return SequenceMatcher(None, ours.split()[:80], theirs.split()[:80], autojunk=False).ratio() < _MOST_ALIKE


def truncated(clean: Clean, chance: Random) -> Faulty | None:
    """The response ends in mid-sentence, at 40 to 90 % of its characters, between words or within one."""
    text = clean.pair.response
    if size(text) < _LONG_ENOUGH:
        return None
    within = chance.random() < 0.35
    for _ in range(40):
        cut = round(len(text) * chance.uniform(0.4, 0.9))
        dense = clean.language in ("ja", "th")
        if not dense and not within:
            cut = len(text[:cut]) - len(re.search(r"\S*$", text[:cut]).group())  # type: ignore[union-attr]
        kept = text[:cut].rstrip()
        line = next((span for span in lines(text) if span[0] < len(kept) < span[1]), None)
        part = next((part for part in sentences(text, line) if part[0] < len(kept) < part[1]), None) if line else None
        if part is None or not 0.4 <= len(kept) / len(text) <= 0.9:
            continue
        said, unsaid = text[part[0] : len(kept)], text[len(kept) : part[1]]
        inside = said[-1].isalnum() and unsaid[0].isalnum()
        if size(said) < 2 or size(unsaid) < 2 or said[-1] in ".!?:;。！？：؟" or (not dense and inside != within):
            continue
        variant = "within_word" if within and not dense else "between_words"
        return changed(clean, "truncated", variant, "response", (len(kept), len(text)), "")
    return None


def repetition_loop(clean: Clean, chance: Random) -> Faulty | None:
    """A phrase, sentence or line comes 5 to 30 times more, as where a model cannot leave a loop.

    Most loops run to the end of the response, half of them cut where the tokens ran out; some are left again.
    """
    text = clean.pair.response
    if size(text) < 12 or re.search(r"```|[{};]\n", text):
        return None
    kinds = ["sentence", "phrase", "phrase", "line", "numbered", "word"]
    chance.shuffle(kinds)
    for variant in kinds:
        span = _looped(text, variant, clean.language, chance)
        if span is None:
            continue
        times = chance.randint(5, 30)
        loop = _loop(text, span, variant, times, clean.language)
        if chance.random() < 0.2:
            end = span[1]  # the model finds the way out
        else:
            end = len(text)
            if chance.random() < 0.5:
                loop = loop[: len(loop) - chance.randint(1, max(1, min(len(loop) // (2 * times), 40)))]
        return changed(clean, "repetition_loop", variant, "response", (span[1], end), loop)
    return None


def _looped(text: str, variant: str, language: str, chance: Random) -> Span | None:
    """What is repeated, from the later part of the text."""
    late = [span for span in lines(text) if span[1] >= len(text) * 0.3]
    line = chance.choice(late)
    if variant in ("line", "numbered"):
        marked = [
            span for span in late if re.search(r"\d+[.)] *$" if variant == "numbered" else r"[-*•] *$", text[: span[0]])
        ]
        marked = marked or ([line] if variant == "line" and len(late) > 1 and line[1] - line[0] < 200 else [])
        return chance.choice(marked) if marked else None
    if variant == "sentence":
        parts = [part for part in sentences(text, line) if size(text[slice(*part)]) >= 3]
        return chance.choice(parts) if parts else None
    if language in ("ja", "th"):
        length = chance.randint(2, 4) if variant == "word" else chance.randint(5, 24)
        if line[1] - line[0] <= length + 2:
            return None
        start = chance.randint(line[0], line[1] - length - 1)
        return (
            None
            if re.search(
                r"[\s。、！？「」（）]|^[ぁぃぅぇぉっゃゅょゎんァィゥェォッャュョーン]", text[start : start + length]
            )
            else (start, start + length)
        )
    found = [(match.start(), match.end()) for match in re.finditer(r"\S+", text[slice(*line)])]
    length = 1 if variant == "word" else chance.randint(2, 8)
    if len(found) <= length:
        return None
    first = chance.randrange(len(found) - length)
    span = (line[0] + found[first][0], line[0] + found[first + length - 1][1])
    return span if len(text[slice(*span)]) >= 3 and any(sign.isalpha() for sign in text[slice(*span)]) else None


def _loop(text: str, span: Span, variant: str, times: int, language: str) -> str:
    """The repetitions, each with what stands before it: a line break and marker, a space, nothing."""
    phrase = text[slice(*span)]
    if variant in ("line", "numbered"):
        before, marker = text[: span[0]].rpartition("\n")[::2]
        breaks = "\n\n" if before.rstrip(" ").endswith("\n") else "\n"
        number = re.search(r"\d+", marker)
        if number is None or variant == "line":
            return "".join(f"{breaks}{marker}{phrase}" for _ in range(times))
        first = int(number.group())
        head, tail = marker[: number.start()], marker[number.end() :]
        return "".join(f"{breaks}{head}{first + step}{tail}{phrase}" for step in range(1, times + 1))
    joint = "" if language in ("ja", "th") else " "
    return f"{joint}{phrase}" * times
