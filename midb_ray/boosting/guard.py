"""The guard: whether a booster's answer may replace its pair, and if not, why not.

What it protects, and how the thresholds were chosen on expert revisions: docs/guard.md.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import pydantic

from midb_ray import prompts
from midb_ray.boosting import checks
from midb_ray.boosting.reasons import REASONS
from midb_ray.boosting.straying import Straying
from midb_ray.config import Settings
from midb_ray.engines.base import Finish
from midb_ray.locales import Locales
from midb_ray.pairs import Decision, Text
from midb_ray.signals.distance import distance


class GuardSettings(Settings):
    """What the guard checks, and its thresholds. An answer that fails any check leaves the pair as it was."""

    language: bool = True
    """Reject answers in another language than the pair's."""
    script: bool = True
    """Reject answers in another script than the language's."""
    script_share: float = pydantic.Field(0.4, ge=0, le=1)
    """Share of the letters that must be of the language's scripts."""
    repetition: bool = True
    """Reject loops and text that is there twice."""
    loop: int = pydantic.Field(60, ge=1)
    """Characters that a run of even repeats must have to be a loop."""
    doubled: float = pydantic.Field(0.42, ge=0, le=1)
    """Share of the text that must have stood in it before for it to be there twice."""
    length: bool = True
    """Reject instructions and responses out of proportion to the raw ones."""
    response_longest: tuple[float, float] = (3.0, 1_500)
    """Longest response: so many times the raw one, and so many characters more."""
    response_shortest: tuple[float, float] = (0.25, 60)
    """Shortest response: this share of the raw one's characters beyond the first so many."""
    instruction_longest: tuple[float, float] = (2.0, 200)
    """Longest instruction: so many times the raw one, and so many characters more."""
    instruction_shortest: tuple[float, float] = (0.15, 20)
    """Shortest instruction: this share of the raw one's characters beyond the first so many."""
    related: bool = True
    """Reject answers about something else than the raw instruction and input."""
    related_share: float = pydantic.Field(0.1, ge=0, le=1)
    """Share of the raw instruction's and input's runs of characters that must stand in the revised pair."""
    markers: bool = True
    """Reject control tokens, prompt wording and remarks about the revision that the raw pair did not have."""
    characters: bool = True
    """Reject control characters and invisible, private or broken ones that the raw pair did not have."""
    refusals: bool = True
    """Reject responses that decline the request where the raw one did not."""
    input: bool = True
    """Reject answers that lose the input."""
    input_share: float = pydantic.Field(0.2, ge=0, le=1)
    """Share of the raw input's characters that the revised input must have, unless it moved into the instruction."""
    input_moved: float = pydantic.Field(0.75, ge=0, le=1)
    """How much of a lost input the instruction must have to count as having taken it in."""
    input_invented: bool = True
    """Reject inputs where there was none, unless they are taken from the raw pair."""
    input_found: float = pydantic.Field(0.25, ge=0, le=1)
    """Share of such an input's runs of characters that must stand in the raw instruction or response."""
    numbers: bool = True
    """Reject answers that lose numbers of the instruction or input."""
    numbers_few: int = pydantic.Field(3, ge=1)
    """From so many different numbers on, a raw response may not lose nearly all of them either."""
    numbers_share: float = pydantic.Field(0.25, ge=0, le=1)
    """Share of them that must survive."""
    urls: bool = True
    """Reject answers that lose links."""
    emails: bool = True
    """Reject answers that lose e-mail addresses."""
    urls_added: bool = True
    """Reject answers with links that the raw pair did not have."""
    emails_added: bool = True
    """Reject answers with e-mail addresses that the raw pair did not have."""
    code: bool = True
    """Reject answers that lose code fences or spans."""
    code_share: float = pydantic.Field(0.5, ge=0, le=1)
    """Share of the code fences and spans of a response that must survive."""
    placeholders: bool = True
    """Reject answers that lose or translate placeholders."""
    lists: bool = True
    """Reject answers that lose lists of at least three items."""
    list_share: float = pydantic.Field(0.5, ge=0, le=1)
    """Share of a list's items that must survive, as items or as lines."""


class Verdict(NamedTuple):
    """What becomes of a pair: its final text, why that is not the revised one, and how far it is from the raw one (0 unless
    `decision` is "boosted")."""

    decision: Decision
    reasons: tuple[str, ...]
    text: Text
    distance: int


class Guard:
    """Judges answers. Cheap enough to stand behind any engine: tens of microseconds for a pair, linear in its length."""

    def __init__(self, settings: GuardSettings, locales: Locales) -> None:
        self._settings = settings
        self._locales = locales
        straying = Straying(locales, settings.script_share if settings.script else None)
        table: dict[str, tuple[bool, Callable[[checks.Change, GuardSettings], bool]]] = {
            "empty": (True, checks.empty),
            "unrelated": (
                settings.related,
                lambda change, on: checks.unrelated(change, on) and not straying.was_foreign(change),
            ),
            "lost_input": (settings.input, checks.lost_input),
            "invented_input": (settings.input_invented, checks.invented_input),
            "wrong_script": (settings.script, lambda change, _: straying.wrong_script(change)),
            "wrong_language": (settings.language, lambda change, _: straying.wrong_language(change)),
            "repetition": (settings.repetition, checks.repeated),
            "too_short": (settings.length, checks.too_short),
            "too_long": (settings.length, checks.too_long),
            "refusal": (settings.refusals, checks.refusal),
            "leaked_marker": (settings.markers, checks.leaked_marker),
            "leaked_character": (settings.characters, checks.leaked_character),
            "lost_number": (settings.numbers, checks.lost_number),
            "lost_url": (settings.urls, checks.lost_url),
            "lost_email": (settings.emails, checks.lost_email),
            "added_url": (settings.urls_added, checks.added_url),
            "added_email": (settings.emails_added, checks.added_email),
            "lost_code": (settings.code, checks.lost_code),
            "lost_placeholder": (settings.placeholders, checks.lost_placeholder),
            "lost_list": (settings.lists, checks.lost_list),
        }
        self._checks = [(reason, fails) for reason, (on, fails) in table.items() if on]

    def judge(self, raw: Text, language: str, answer: str, finish: Finish) -> Verdict:
        """The verdict on `answer`, which ended with `finish`, to the pair `raw` in `language`. Never raises, whatever the texts
        are."""
        reasons = ["truncated"] if finish == "length" else ["engine_error"] if finish == "error" else []
        if "\r" in answer and not any("\r" in text for text in raw):
            answer = answer.replace("\r\n", "\n")  # line ends are no part of what a booster revises
        try:
            parsed = prompts.parse(answer)
        except prompts.AnswerError as error:
            return Verdict("kept_original", _ordered([error.reason, *reasons]), raw, 0)
        revised = Text(*map(_trimmed, raw, parsed))
        if revised == raw and finish != "error":
            return Verdict("unchanged", (), raw, 0)
        change = checks.change(raw, revised, self._locales.find(language))
        reasons += [reason for reason, fails in self._checks if fails(change, self._settings)]
        if reasons:
            return Verdict("kept_original", _ordered(reasons), raw, 0)
        return Verdict("boosted", (), revised, distance(raw, revised))


def _ordered(reasons: list[str]) -> tuple[str, ...]:
    return tuple(reason for reason in REASONS if reason in reasons)


def _trimmed(raw: str, revised: str) -> str:
    """A revised section without outer white space; the raw one where only that differs. Indentation stays where it was."""
    if revised == raw or revised.strip() == raw.strip():
        return raw
    return revised.rstrip() if raw[:1].isspace() else revised.strip()
