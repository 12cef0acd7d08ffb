"""Whether an answer went over to another language or script than its pair's.

It is right for some tasks to leave the language (translate into English). A section may be foreign if the instruction names
that language, or if the same section of the raw pair was in it while the other one surely was not. A pair that was never
translated is foreign in both and has no right to stay so.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from midb_ray.boosting.change import Change
from midb_ray.locales import Locale, Locales
from midb_ray.signals import language, script, structure

Foreign = Callable[[str, Locale], str | None]
"""The language or script of a text if it is surely another one than the locale's, else None."""


_NAMED: Final = 0.15
"""Letters that a raw response of nothing but foreign names has at least, as a share of those in a sample of the revised one."""


class Straying:
    """The two checks, for the languages of `locales`. `script_share` is the share of a text's letters that must be of its
    language's scripts; None leaves scripts to the check on languages."""

    def __init__(self, locales: Locales, script_share: float | None) -> None:
        self._locales = tuple(locales)
        self._identifier = language.Identifier(locales)
        self._script_share = script_share

    def wrong_script(self, change: Change) -> bool:
        """Whether a changed section begins or ends in another script than the language's."""
        if change.locale is None or self._script_share is None:
            return False
        ends = (after[: language.SAMPLE] + after[-language.SAMPLE :] for _, after in change.sections)
        if script.foreign("".join(ends), change.locale.scripts) < language.FEW_WORDS * (1 - self._script_share):
            return False  # they cannot be too many at any end
        return self._strays(change, change.locale, self._foreign_script)

    def wrong_language(self, change: Change) -> bool:
        """Whether a changed section begins or ends in another language, where its script is right."""
        return change.locale is not None and self._strays(change, change.locale, self._foreign_language)

    def was_foreign(self, change: Change) -> bool:
        """Whether the raw instruction and input were in another language than the locale's: the answer may translate them."""
        asked = f"{change.raw.instruction}\n{change.raw.input}"
        return change.locale is not None and self._identifier.agrees(asked, change.locale) is False

    def input_was_foreign(self, change: Change) -> bool:
        """Whether the raw input was in another language than the locale's: the answer may translate it."""
        return change.locale is not None and self._identifier.agrees(change.raw.input, change.locale) is False

    def _strays(self, change: Change, locale: Locale, foreign: Foreign) -> bool:
        (instruction, given, response), (asks, gives, responds) = change.raw, change.revised
        if gives != given and self._input_strays(given, gives, instruction, locale, foreign):
            return True
        for section, was, other in ((responds, response, instruction), (asks, instruction, response)):
            before = was
            if section == before:
                continue
            for end in _ends(section):
                voice = foreign(end, locale)
                if voice is None or self._named(instruction, voice, locale):
                    continue
                if self._identifier.agrees(before, locale) is None:
                    before = f"{before}\n{change.raw.input}"  # too short to say; what the task is about may
                as_before = any(foreign(end, locale) == voice for end in _ends(before)) or self._in_script(
                    was, voice, end
                )
                if not (as_before and self._identifier.agrees(other, locale) is True):
                    return True
        return False

    def _input_strays(self, given: str, gives: str, instruction: str, locale: Locale, foreign: Foreign) -> bool:
        """Inputs are what tasks hand over in other languages, so only one that surely was in the right one must stay so."""
        voices = (foreign(end, locale) for end in _ends(gives))
        if not any(voice is not None and not self._named(instruction, voice, locale) for voice in voices):
            return False
        return self._identifier.agrees(given, locale) is True

    def _in_script(self, text: str, voice: str, end: str) -> bool:
        """Whether the letters of `text` are of the script `voice` (a name, not a language) too, and not too few beside `end`:
        names of products and species, which are Latin everywhere."""
        if self._script_share is None or voice not in script.SCRIPTS:
            return False
        _, counts = language.sampled(text)
        few = _NAMED * sum(language.sampled(end)[1].values())
        return sum(counts.values()) >= few and script.share(counts, (voice,)) > 1 - self._script_share

    def _foreign_script(self, text: str, locale: Locale) -> str | None:
        if self._script_share is None:
            return None
        _, counts = language.sampled(text)
        if sum(counts.values()) < language.FEW_WORDS or script.share(counts, locale.scripts) >= self._script_share:
            return None
        return max(counts, key=counts.__getitem__)

    def _foreign_language(self, text: str, locale: Locale) -> str | None:
        if self._identifier.agrees(text, locale) is not False or self._foreign_script(text, locale):
            return None
        return self._identifier.identify(text) or "unknown"

    def _named(self, instruction: str, voice: str, locale: Locale) -> bool:
        """Whether the instruction names the language `voice`, or one that is written in the script `voice`."""
        return any(
            language.named(instruction, other.language, locale)
            for other in self._locales
            if voice in (other.language, *other.scripts) and other.group != locale.group
        )


def _ends(section: str) -> tuple[str, ...]:
    """Where a section is looked at: a short one from its beginning, a longer one at its end, where it shows if the booster
    drifted away, and a long one at both."""
    if "```" in section:
        section = structure.prose(section)
    size, end = len(section), section[-language.SAMPLE :]
    return (section,) if size <= 3 * language.SAMPLE else (end,) if size <= 6 * language.SAMPLE else (section, end)
