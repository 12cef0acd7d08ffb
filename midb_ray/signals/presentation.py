"""How a response is laid out: said what follows, cut into paragraphs, set off what matters, taken up what was asked.

These are what experts add when they revise a response (docs/quality.md). None of them grows with the length of the text.
"""

from __future__ import annotations

import re
from typing import Final, NamedTuple

from midb_ray.signals import structure

_WORD: Final = re.compile(r"\w+")
_PARAGRAPH: Final = re.compile(r"[.!?。！？][\"'”’»)\]]{0,3}[ \t]*\n|\n[ \t]*\n")
_LONGEST: Final = 4_096  # characters looked at
_DENSE: Final = 8  # letters of a "word" on average, above which a script puts no spaces between words


class Presentation(NamedTuple):
    """`announced`: the first line says what follows and ends with a colon. `paragraphs`: there are several. `set_off`: something is
    in bold. `explains`: there is a colon anywhere. `taken_up`: the share of the instruction's different words, 0 to 1, that stand
    in the response (in scripts without spaces: characters)."""

    announced: bool
    paragraphs: bool
    set_off: bool
    explains: bool
    taken_up: float


def presentation(instruction: str, response: str) -> Presentation:
    """How `response`, or the beginning of a long one, is laid out."""
    response, instruction = response[:_LONGEST].strip(), instruction[:_LONGEST]
    first, line_break, _ = response.partition("\n")
    colon = ":" in response or "：" in response
    return Presentation(
        announced=bool(line_break) and first.rstrip().endswith((":", "：")),
        paragraphs=bool(line_break) and _PARAGRAPH.search(response) is not None,
        set_off=response.count("**") > 1,
        explains=colon and ("://" not in response or ":" in structure.prose(response)),
        taken_up=_taken_up(instruction, response),
    )


def _taken_up(instruction: str, response: str) -> float:
    asked = _units(instruction)
    return len(asked & _units(response)) / len(asked) if asked else 0.0


def _units(text: str) -> frozenset[str]:
    words = _WORD.findall(text.casefold())
    if words and sum(map(len, words)) > _DENSE * len(words) and not text.isascii():
        return frozenset("".join(words))
    return frozenset(words)
