"""What all kinds of fault share: the case itself, a change of one place, and the sentences and lines of a text."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

from fault_rows import Clean, Section

from midb_ray.pairs import Text

Span = tuple[int, int]

MARKER = re.compile(r"[ \t]*(?:\(?\d{1,3}[.)、：:](?!\d)|\(?[a-zA-Z][.)](?=\s)|[-*•·–‣◦#]+(?=\s))[ \t]*")
_END = re.compile(
    r"(?P<word>\w*)(?P<stop>[.!?؟…]+[\"'”’»)\]]*)(?=\s+[^\s\W]|\s+[\"'“«¿¡„(]|\s*$)|[。！？]+[」』）]*", re.MULTILINE
)
_SHORT = re.compile(r"mrs?|ms|dr|st|prof|sra?|vs|bzw|např|tj|př|atd|no|nr|hl|ing", re.IGNORECASE)


class Faulty(NamedTuple):
    """One fault in one pair.

    `clean` is the pair as the fault found it, `pair` its target with the fault. In `section` of `pair` the fault is at
    `span` (characters; empty where something is missing), and `was` is the place of what stood there in `clean`.
    `variant` names the form of the fault; `prepared` says that its host was put into both sides first.
    """

    kind: str
    variant: str
    clean: Clean
    pair: Text
    section: Section
    span: Span
    was: Span
    prepared: bool = False


def section_of(text: Text, section: Section) -> str:
    """One of the three texts by name."""
    return str(getattr(text, section))


def changed(
    clean: Clean, kind: str, variant: str, section: Section, was: Span, new: str, prepared: bool = False
) -> Faulty:
    """The case in which `new` stands where `was` is in a section of the target."""
    text = section_of(clean.pair, section)
    pair = clean.pair._replace(**{section: text[: was[0]] + new + text[was[1] :]})
    return Faulty(kind, variant, clean, pair, section, (was[0], was[0] + len(new)), was, prepared)


def without(text: str, span: Span) -> tuple[Span, str]:
    """The span to replace, and with what, so that `span` goes and leaves neither doubled spaces nor a small first letter."""
    start, end = span
    before, after = text[:start], text[end:]
    at_start = not before.strip() or before.endswith("\n") or bool(re.search(r"[.!?؟。！？:][\"”»)]*\s*$", before))
    if after[:1] in (" ", "\u00a0") and (not before or before[-1].isspace() or before[-1] in "([{«„“"):
        end += 1
    elif before[-1:] in (" ", "\u00a0") and (not after or after[0] in ".,;:!?)]}»”،؛؟\n。、"):
        start -= 1
    if at_start and text[end : end + 1] in (",", "،", "、"):
        end += 1 + len(text[end + 1 :]) - len(text[end + 1 :].lstrip(" "))
    first = text[end : end + 1]
    if at_start and text[span[0]].isupper() and first.islower():
        return (start, end + 1), first.upper()
    return (start, end), ""


def lines(text: str) -> Iterator[Span]:
    """The lines that are not blank, without the marker of a list before them and space behind them."""
    offset = 0
    for line in text.split("\n"):
        marker = MARKER.match(line)
        start = marker.end() if marker else len(line) - len(line.lstrip())
        end = len(line.rstrip())
        if end > start:
            yield offset + start, offset + end
        offset += len(line) + 1


def sentences(text: str, span: Span) -> list[Span]:
    """The sentences of a line, by their final marks."""
    found, start = [], span[0]
    for match in _END.finditer(text, *span):
        word = match.group("word") or ""
        if (
            match.group("stop") == "."
            and (len(word) == 1 or _SHORT.fullmatch(word) or word.isdigit())
            and match.end() < span[1]
        ):
            continue
        if match.end() > start:
            found.append((start, match.end()))
        start = match.end()
        while start < span[1] and text[start].isspace():
            start += 1
    if start < span[1]:
        found.append((start, span[1]))
    return found


def facing(source: str, target: str) -> list[tuple[Span, Span]]:
    """Lines of source and target that stand in each other's place: all of them in texts with as many, else none."""
    theirs, ours = list(lines(source)), list(lines(target))
    return list(zip(theirs, ours, strict=True)) if len(theirs) == len(ours) else []


def aligned(source: str, target: str) -> list[tuple[Span, Span]]:
    """Sentences of source and target that stand in each other's place: in facing lines with as many sentences."""
    pairs: list[tuple[Span, Span]] = []
    for there, here in facing(source, target):
        one, other = sentences(source, there), sentences(target, here)
        if len(one) == len(other):
            pairs += zip(one, other, strict=True)
    return pairs


def size(text: str) -> float:
    """How much is said, in words of Latin script: a character of a script without spaces counts as half a word."""
    dense = sum("\u0e00" <= letter <= "\u0e7f" or "\u3040" <= letter <= "\u9fff" for letter in text)
    return dense / 2 + len(re.findall(r"[^\W\u0e00-\u0e7f\u3040-\u9fff]+", text))
