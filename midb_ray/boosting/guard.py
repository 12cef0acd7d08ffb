"""The guard: whether a booster's answer may replace its pair, and if not, why not.

What it protects, and how the thresholds were chosen on expert revisions: docs/guard.md.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from midb_ray import prompts
from midb_ray.boosting import checks, intrusions
from midb_ray.boosting.change import Change, change
from midb_ray.boosting.guard_settings import GuardSettings
from midb_ray.boosting.reasons import REASONS
from midb_ray.boosting.straying import Straying
from midb_ray.engines.base import Finish
from midb_ray.locales import Locales
from midb_ray.pairs import Decision, Text
from midb_ray.signals.distance import distance


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
        table: dict[str, tuple[bool, Callable[[Change, GuardSettings], bool]]] = {
            "empty": (True, checks.empty),
            "unrelated": (
                settings.related,
                lambda change, on: (
                    checks.echoed(change, on) or (checks.unrelated(change, on) and not straying.was_foreign(change))
                ),
            ),
            "lost_input": (
                settings.input,
                lambda change, on: (
                    checks.lost_input(change, on)
                    or (checks.replaced_input(change, on) and not straying.input_was_foreign(change))
                ),
            ),
            "invented_input": (settings.input_invented, checks.invented_input),
            "wrong_script": (settings.script, lambda change, _: straying.wrong_script(change)),
            "wrong_language": (settings.language, lambda change, _: straying.wrong_language(change)),
            "repetition": (settings.repetition, checks.repeated),
            "too_short": (settings.length, checks.too_short),
            "too_long": (settings.length, checks.too_long),
            "refusal": (settings.refusals, intrusions.refusal),
            "leaked_marker": (settings.markers, intrusions.leaked_marker),
            "leaked_character": (settings.characters, intrusions.leaked_character),
            "lost_number": (settings.numbers, checks.lost_number),
            "lost_url": (settings.urls, checks.lost_url),
            "lost_email": (settings.emails, checks.lost_email),
            "added_url": (settings.urls_added, intrusions.added_url),
            "added_email": (settings.emails_added, intrusions.added_email),
            "lost_code": (settings.code, checks.lost_code),
            "lost_placeholder": (settings.placeholders, checks.lost_placeholder),
            "lost_list": (settings.lists, checks.lost_list),
        }
        self._checks = [(reason, fails) for reason, (on, fails) in table.items() if on]

    def judge(self, raw: Text, language: str, answer: str, finish: Finish) -> Verdict:
        """The verdict on `answer`, which ended with `finish`, to the pair `raw` in `language`. Never raises, whatever the texts
        are."""
        reasons = ["truncated"] if finish == "length" else ["engine_error"] if finish == "error" else []
        try:
            found = parsed(raw, answer)
        except prompts.AnswerError as error:
            return Verdict("kept_original", ordered([error.reason, *reasons]), raw, 0)
        revised = Text(*map(_trimmed, raw, found))
        if revised == raw and finish != "error":
            return Verdict("unchanged", (), raw, 0)
        made = change(raw, revised, self._locales.find(language))
        reasons += [reason for reason, fails in self._checks if fails(made, self._settings)]
        if reasons:
            return Verdict("kept_original", ordered(reasons), raw, 0)
        return Verdict("boosted", (), revised, distance(raw, revised))


def parsed(raw: Text, answer: str) -> Text:
    """The pair in an answer to `raw`; line ends are no part of what a booster revises. Raises `prompts.AnswerError`."""
    if "\r" in answer and not any("\r" in text for text in raw):
        answer = answer.replace("\r\n", "\n")
    return prompts.parse(answer)


def ordered(reasons: list[str]) -> tuple[str, ...]:
    """Reasons in the order in which they are reported, each once."""
    return tuple(reason for reason in REASONS if reason in reasons)


def _trimmed(raw: str, revised: str) -> str:
    """A revised section without outer white space; the raw one where only that differs. Indentation stays where it was."""
    if revised == raw or revised.strip() == raw.strip():
        return raw
    return revised.rstrip() if raw[:1].isspace() else revised.strip()
