"""Defects of a raw pair that cheap signals see: what the gate looks for before it leaves a pair alone.

None of them proves that a pair is bad, and their absence does not prove that it is good: facts and the sound of a translation are
out of sight.
"""

from __future__ import annotations

from collections.abc import Callable

from midb_ray.boosting.guard_settings import GuardSettings
from midb_ray.locales import Locale, Locales
from midb_ray.pairs import Text
from midb_ray.signals import characters, markers, notes, remarks, reports, structure
from midb_ray.signals.language import Identifier
from midb_ray.signals.repetition import repetition


class Defects:
    """Looks for defects, with the guard's thresholds for repetition."""

    def __init__(self, guard: GuardSettings, locales: Locales) -> None:
        self._identifier = Identifier(locales)
        self._loop, self._doubled = guard.loop, guard.doubled
        self._checks: dict[str, Callable[[Text, Locale], bool]] = {
            "language": self._strays,
            "repetition": self._repeats,
            "marker": _has_markers,
            "character": lambda text, _: any(map(characters.strange, text)),
            "open_fence": lambda text, _: any(map(structure.open_fence, text)),
            "placeholder_input": lambda text, _: notes.says_no_input(text.input),
            "refusal": lambda text, locale: remarks.begins_to_decline(text.response, locale.language),
            "remark": _remarks,
            "echo": lambda text, _: text.response.strip().casefold() == text.instruction.strip().casefold(),
        }

    def found(self, text: Text, locale: Locale) -> list[str]:
        """The names of the defects of a pair that is meant to be in the language of `locale`."""
        return [name for name, sees in self._checks.items() if sees(text, locale)]

    def _strays(self, text: Text, locale: Locale) -> bool:
        """Instruction or response is surely in another language; inputs are what tasks hand over in any."""
        return any(self._identifier.agrees(section, locale) is False for section in (text.instruction, text.response))

    def _repeats(self, text: Text, _: Locale) -> bool:
        found = [repetition(section) for section in text]
        return any(one.loop >= self._loop or one.share >= self._doubled for one in found)


def _has_markers(text: Text, _: Locale) -> bool:
    whole = "\n".join(text)
    leaked = markers.control_tokens(whole) or markers.wording(whole) or markers.turns(whole)
    return bool(leaked) or any(map(markers.comments, text))


def _remarks(text: Text, locale: Locale) -> bool:
    """The response talks about itself, as models do when they hand over their work."""
    response, language = text.response, locale.language
    return (
        remarks.opens(response, language, text.instruction)
        or remarks.closes(response, language)
        or reports.says_done(response, language)
        or reports.lists_changes(response, language)
    )
