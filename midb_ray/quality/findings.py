"""What scoring finds in a pair: a kind, a place, and where it can say it, what should stand there instead."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import Final, Literal, NamedTuple

Dimension = Literal["content", "translation", "localisation"]

LONGEST: Final = 120
"""Characters of a text in a finding; what is longer is cut, and its span tells the rest."""


MOST: Final = 16
"""Findings of one kind in a section that are told; hundreds do not describe it better."""

HINT: Final = 0.05
"""Weight up to which a kind of finding is a hint: it lowers a score a little, and the pair still counts as sound."""


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
    """What a kind of finding means, and the dimension that it counts for. `weight`, 0 to 1, is the share of that dimension's score
    that one such finding takes away: large where the pair cannot be used as it is, small where it is no sure sign of a defect."""

    dimension: Dimension
    meaning: str
    weight: float


KINDS: Final[dict[str, Kind]] = {
    "empty": Kind("content", "instruction or response has no text", 1.0),
    "repetition": Kind("content", "the same text returns without a break, or most of a text stands there twice", 0.8),
    "refusal": Kind("content", "the response begins by declining the task", 0.6),
    "remark": Kind(
        "content", "the response talks about itself: a revision, a note on changes, an offer to change more", 0.4
    ),
    "marker": Kind("content", "control tokens, turns of a chat or pieces of a prompt stand in the text", 0.6),
    "no_input": Kind("content", "a note that there is no input stands where the input would", 0.1),
    "echo": Kind("content", "the response is the instruction", 1.0),
    "character": Kind("content", "a character that nobody puts into a text", 0.3),
    "mojibake": Kind("content", "letters that were read in the wrong encoding", 0.6),
    "open_fence": Kind("content", "a code fence is opened and never closed", 0.5),
    "wrong_language": Kind("translation", "the text is in another language than the pair's", 1.0),
    "foreign_sentence": Kind("translation", "a sentence is in English", 0.5),
    "omitted": Kind("translation", "a sentence of the source has nothing that stands for it", 0.5),
    "lost_number": Kind("translation", "a number of the source stands in no form in the translation", 0.4),
    "lost_url": Kind("translation", "a link of the source is gone or was changed", 0.5),
    "lost_email": Kind("translation", "an e-mail address of the source is gone or was changed", 0.5),
    "lost_placeholder": Kind("translation", "a placeholder or a tag of the source is gone or was changed", 0.5),
    "lost_code": Kind("translation", "a name or keyword in code of the source is gone or was translated", 0.5),
    "lost_list": Kind("translation", "a list has fewer items than in the source", 0.5),
    "lost_negation": Kind("translation", "the source says no and the translation does not", 0.6),
    "lost_question": Kind("translation", "the source asks and the translation does not", 0.2),
    "untranslated": Kind("translation", "a sentence stands as in the source, in its language", 0.5),
    "truncated": Kind("translation", "the text breaks off, and the source does not", 0.6),
    "unexplained": Kind("translation", "to a model the source explains less of the pair than it should", 0.5),
    "unlike": Kind("translation", "to an encoder the text means something else than the source", 0.5),
    "imperial_unit": Kind("localisation", "a quantity in imperial units where the locale measures in metric ones", 0.2),
    "currency": Kind("localisation", "an amount in US dollars where the locale pays in another currency", 0.1),
    "number_form": Kind("localisation", "a number with the separators of another locale", 0.1),
    "date_form": Kind("localisation", "a date in the order of the US or with an English month", 0.1),
    "time_form": Kind("localisation", "AM or PM where the locale counts 24 hours", 0.1),
    "us_reference": Kind(
        "localisation", "a holiday, agency, form or institution of the US in a pair of another place", 0.1
    ),
    "punctuation": Kind("localisation", "a mark that the language does not write, or lacks one that it does", 0.05),
    "quotation_marks": Kind("localisation", "quotation marks that are not those of the language", 0.02),
    "mixed_address": Kind("localisation", "one text addresses its reader formally and familiarly", 0.05),
}
"""The kinds of findings, by name."""


def cut(text: str) -> str:
    """A text as a finding quotes it."""
    return text if len(text) <= LONGEST else f"{text[: LONGEST - 1]}…"


def few(findings: Iterable[Finding]) -> list[Finding]:
    """The findings without those that are too many of their kind in a section."""
    told: Counter[tuple[str, str]] = Counter()
    kept = []
    for one in findings:
        told[one.kind, one.section] += 1
        if told[one.kind, one.section] <= MOST:
            kept.append(one)
    return kept
