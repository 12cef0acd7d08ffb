"""What scoring finds in a pair: a kind, a place, and where it can say it, what should stand there instead."""

from __future__ import annotations

from typing import Final, Literal, NamedTuple

Dimension = Literal["content", "translation", "localisation"]

LONGEST: Final = 120
"""Characters of a text in a finding; what is longer is cut, and its span tells the rest."""


class Finding(NamedTuple):
    """One defect. It stands at characters `start` to `end` of a section (a field of `pairs.Text`); where something is missing, that
    is the sentence in which it should stand, or an empty span. `text` is what was found there or what of the source is missing,
    `suggestion` what should stand there, None where that is not known."""

    kind: str
    section: str
    start: int
    end: int
    text: str
    suggestion: str | None = None


class Kind(NamedTuple):
    """What a kind of finding means, and the dimension that it counts for."""

    dimension: Dimension
    meaning: str


KINDS: Final[dict[str, Kind]] = {
    "omitted": Kind("translation", "a sentence of the source has nothing that stands for it"),
    "lost_number": Kind("translation", "a number of the source stands in no form in the translation"),
    "lost_url": Kind("translation", "a link of the source is gone or was changed"),
    "lost_email": Kind("translation", "an e-mail address of the source is gone or was changed"),
    "lost_placeholder": Kind("translation", "a placeholder of the source is gone or was changed"),
    "lost_list": Kind("translation", "a list has fewer items than in the source"),
    "lost_negation": Kind("translation", "the source says no and the translation does not"),
    "lost_question": Kind("translation", "the source asks and the translation does not"),
    "untranslated": Kind("translation", "a sentence stands as in the source, in its language"),
    "truncated": Kind("translation", "the text breaks off, and the source does not"),
}
"""The kinds of findings, by name."""


def cut(text: str) -> str:
    """A text as a finding quotes it."""
    return text if len(text) <= LONGEST else f"{text[: LONGEST - 1]}…"
