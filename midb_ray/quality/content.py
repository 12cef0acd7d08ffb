"""Defects that a pair shows by itself, whatever its source said: loops, refusals, remarks, markers, broken characters.

None of them proves that a pair is bad, and their absence proves nothing of its facts.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Final

from midb_ray.locales import Locale
from midb_ray.pairs import Text
from midb_ray.quality.findings import Finding, cut
from midb_ray.signals import characters, markers, notes, remarks, reports, structure
from midb_ray.signals.repetition import repetition, stutter
from midb_ray.signals.script import WEIGHTS

LOOP: Final = 60
"""Characters that a run of even repeats has at least to be a loop."""

DOUBLED: Final = 0.42
"""Share of a text that must have stood in it before for it to be there twice."""

_MOJIBAKE: Final = re.compile(r"[ÃÂ][\x80-\xbf]|â(?:€.|\x80[\x80-\xbf])|(?:[ÐÑ][\x80-\xbf]){2}|ï»¿")
_MISREAD: Final = ("Ã", "Â", "â", "Ð", "Ñ", "ï»")


def findings(text: Text, locale: Locale) -> Iterator[Finding]:
    """What is wrong with the content of a pair that is meant to be in the language of `locale`."""
    for section, content in zip(Text._fields, text, strict=True):
        if not content.strip():
            if section != "input":
                yield Finding("empty", section, 0, 0, "")
            continue
        for check in _CHECKS:
            yield from check(section, content)
    yield from _input(text)
    yield from _response(text, locale)


def _repeated(section: str, content: str) -> Iterator[Finding]:
    found = repetition(content)
    if found.loop < LOOP and found.share < DOUBLED and (length := stutter(content)):
        found = found._replace(loop=max(length, LOOP))
    if found.loop >= LOOP or found.share >= DOUBLED:
        told = f"a loop of {found.loop} characters" if found.loop >= LOOP else f"{found.share:.0%} stood there before"
        yield Finding("repetition", section, 0, len(content), told)


def _marked(section: str, content: str) -> Iterator[Finding]:
    for text in sorted(markers.control_tokens(content) | markers.wording(content)):
        start = content.find(text)
        yield Finding("marker", section, start, start + len(text), cut(text))
    if section == "response" and (speakers := markers.turns(content)):
        yield Finding("marker", section, 0, len(content), cut(", ".join(sorted(speakers))))


def _strange(section: str, content: str) -> Iterator[Finding]:
    for character in sorted(characters.strange(content)):
        start = content.find(character)
        yield Finding("character", section, start, start + 1, f"U+{ord(character):04X}")


def _misread(section: str, content: str) -> Iterator[Finding]:
    if not content.isascii() and any(map(content.__contains__, _MISREAD)) and (found := _MOJIBAKE.search(content)):
        yield Finding("mojibake", section, *found.span(), found[0])


def _open(section: str, content: str) -> Iterator[Finding]:
    if structure.open_fence(content):
        start = content.rfind("```")
        yield Finding("open_fence", section, start, len(content), cut(content[start:]))


def _input(text: Text) -> Iterator[Finding]:
    if text.input and notes.says_no_input(text.input):
        yield Finding("no_input", "input", 0, len(text.input), cut(text.input))


def _response(text: Text, locale: Locale) -> Iterator[Finding]:
    response, language = text.response, locale.language
    if not response.strip():
        return
    if response.strip().casefold() == text.instruction.strip().casefold():
        yield Finding("echo", "response", 0, len(response), cut(response))
    if remarks.declines(response, language, not WEIGHTS.keys().isdisjoint(locale.scripts)):
        yield Finding("refusal", "response", 0, len(response), cut(response))
    if remarks.opens(response, language, text.instruction):
        line = response.partition("\n")[0]
        yield Finding("remark", "response", 0, len(line), cut(line))
    elif (
        remarks.closes(response, language)
        or reports.says_done(response, language)
        or reports.lists_changes(response, language)
    ):
        start = max(len(response) - remarks.TAIL, 0)
        yield Finding("remark", "response", start, len(response), cut(response[start:]))


_CHECKS: Final[tuple[Callable[[str, str], Iterator[Finding]], ...]] = (_repeated, _marked, _strange, _misread, _open)
