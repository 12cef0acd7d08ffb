"""The lines and sentences of a text, as spans: what translations are laid side by side by.

A sentence ends at a mark of its script and the white space behind it (none is needed after full-width marks, nor before a script
without spaces), but not behind initials, one or two digits ("7. Mai") and the commonest abbreviations. Where source and translation
are cut otherwise, `alignment` looks for the pairing that fits best.
"""

from __future__ import annotations

import re
from typing import Final, NamedTuple

_END: Final = re.compile(
    r"(?<=[.!?…؟;])[\"'”’»)\]]{0,3}[ \t\u00a0]+|(?<=[。！？])[”」』）)\]\"]{0,3}[ \t]*|(?<=[۔।])[ \t]+"
    r"|(?<=[^\W\d][.!?])(?=[\u3040-\u30ff\u4e00-\u9fff\u0e00-\u0e7f])"
)
_NO_END: Final = re.compile(
    r"(?:(?<!\d)\d{1,2}|\b[^\W\d_]|\b(?:Mrs?|Ms|Drs?|Dra|Prof|Sra?|Sres|St|vs|etc|Inc|Jr|approx|Nr|EE|UU|bzw|usw|ca|vgl|bspw|např|tzv|tj"
    r"|atd|č|yy|vb|örn|т|г|рус|др|пр|tel|hal|dll))\.$"
)
_BEFORE: Final = 9  # characters of a text that show whether it ends with an abbreviation
_LINE: Final = re.compile(r"[^\n\r\u2028\u2029]+")


class Span(NamedTuple):
    """Characters `start` to `end` of a text."""

    start: int
    end: int

    def of(self, text: str) -> str:
        """What stands there."""
        return text[self.start : self.end]


def lines(text: str) -> list[Span]:
    """The lines that are not blank, without the white space around them."""
    return [span for match in _LINE.finditer(text) if (span := _trimmed(text, match.start(), match.end())) is not None]


def sentences(text: str, line: Span) -> list[Span]:
    """The sentences of a line, without the white space between them; at least one."""
    found, start = [], line.start
    for match in _END.finditer(text, line.start, line.end):
        if text[match.start() - 1] == "." and _NO_END.search(text, max(match.start() - _BEFORE, start), match.start()):
            continue
        if (span := _trimmed(text, start, match.end())) is not None and match.end() < line.end:
            found.append(span)
            start = match.end()
    if (rest := _trimmed(text, start, line.end)) is not None:
        found.append(rest)
    return found


def _trimmed(text: str, start: int, end: int) -> Span | None:
    piece = text[start:end]
    left = len(piece) - len(piece.lstrip())
    stripped = len(piece.strip())
    return Span(start + left, start + left + stripped) if stripped else None
