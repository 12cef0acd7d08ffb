"""The lines and sentences of a text, as spans: what translations are laid side by side by.

A sentence ends at a mark of its script and the white space behind it (none is needed after full-width marks, nor before a script
without spaces), but not behind initials, one or two digits ("7. Mai") and the commonest abbreviations. Where source and translation
are cut otherwise, `alignment` looks for the pairing that fits best.
"""

from __future__ import annotations

import re
from typing import Final, NamedTuple

_END: Final = re.compile(
    r"[.!?…؟;。！？۔।](?<![^\u0370-\u03ff\u1f00-\u1fff];)"  # ";" asks in Greek
    r"(?:(?<=[。！？])([”」』）)\]\"]{0,3})[ \t]*|(?<![。！？])(?:([\"'”’»)\]]{0,3})[ \t\u00a0]+"
    r"|(?<=[^\W\d][.!?])(?=[\u3040-\u30ff\u4e00-\u9fff\u0e00-\u0e7f])))"
)
_NO_END: Final = re.compile(
    r"(?:(?<!\d)\d{1,2}|\b[^\W\d_]|\b(?:Mrs?|Ms|Drs?|Dra|Prof|Sra?|Sres|St|vs|etc|Inc|Jr|approx|Nr|EE|UU|bzw|usw|ca|vgl|bspw|např|tzv|tj"
    r"|atd|č|yy|vb|örn|т|г|рус|др|пр|tel|hal|dll))\.$"
)
_BEFORE: Final = 9  # characters of a text that show whether it ends with an abbreviation
_LINE: Final = re.compile(r"\S(?:[^\n\r\u2028\u2029]*\S)?")


class Span(NamedTuple):
    """Characters `start` to `end` of a text."""

    start: int
    end: int

    def of(self, text: str) -> str:
        """What stands there."""
        return text[self.start : self.end]


def lines(text: str) -> list[Span]:
    """The lines that are not blank, without the white space around them."""
    return [Span(*match.span()) for match in _LINE.finditer(text)]


def sentences(text: str, line: Span) -> list[Span]:
    """The sentences of a line, without the white space between them; at least one."""
    found, start = [], line.start
    for match in _END.finditer(text, line.start, line.end):
        stop = match.start() + 1
        if text[stop - 1] == "." and _NO_END.search(text, max(stop - _BEFORE, start), stop):
            continue
        if match.end() < line.end:
            found.append(Span(start, match.end(match.lastindex or 0)))
            start = match.end()
    found.append(Span(start, line.end))
    return found
