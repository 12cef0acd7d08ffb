"""The guard's checks on what an answer loses, and on its proportions, each a function of one change: True means that it fails.

A check looks at the sections that changed, and what was wrong with the raw pair already is not held against the answer.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from rapidfuzz import fuzz

from midb_ray.boosting.change import Change
from midb_ray.boosting.guard_settings import GuardSettings
from midb_ray.signals import number_words, numbers, overlap, structure
from midb_ray.signals.repetition import PIECE, repetition

_ALIKE: Final = 60  # per cent of two instructions; so alike they need no closer look
_OTHER: Final = 50  # per cent of two inputs; less alike they may be another one each
_SAYING: Final = (
    60  # characters of an input that may give way to a local one if the response changes with it; half if dense
)
_FOLLOWS: Final = 0.05  # share of the raw response that such a response keeps
_SPACE: Final = 16  # characters by which a text and its copy may differ in white space
_WORDED: Final = 12  # runs of characters of an input that has words enough to recognise it by
_QUOTED: Final = 2_000  # characters of an input that is looked for in the instruction


def empty(change: Change, _: GuardSettings) -> bool:
    return not change.revised.instruction.strip() or not change.revised.response.strip()


def unrelated(change: Change, settings: GuardSettings) -> bool:
    """Instruction and input were exchanged for others. Translations of one another look so too: ask for the language."""
    (asked, given, _), (asks, gives, _) = change.raw, change.revised
    if (asked, given) == (asks, gives) or fuzz.ratio(asked[:_QUOTED], asks[:_QUOTED]) >= _ALIKE:
        return False
    return overlap.shared(f"{asked} {given}", " ".join(change.revised), change.run_length) < settings.related_share


def echoed(change: Change, _: GuardSettings) -> bool:
    """The response is the instruction once more, and the raw one was not."""
    if abs(len(change.revised.response) - len(change.revised.instruction)) > _SPACE:
        return False
    response = change.revised.response.strip().casefold()
    if not response or response != change.revised.instruction.strip().casefold():
        return False
    return change.raw.response.strip().casefold() not in (change.raw.instruction.strip().casefold(), response)


def replaced_input(change: Change, settings: GuardSettings) -> bool:
    """There is an input, but another one. A translation of the raw one looks so too: ask for the language."""
    given, kept = change.raw.input, change.revised.input
    if given == kept or not given.strip() or not kept.strip():
        return False
    if fuzz.ratio(given[:_QUOTED], kept[:_QUOTED]) >= _OTHER:
        return False
    length = overlap.run_length_of(given)
    if len(given.strip()) < _WORDED + length - 1:
        return False
    before, after = change.raw.response, change.revised.response
    if before != after and len(given) < _SAYING * length // 4:  # a saying, and the response took the local one's side
        if overlap.shared(before, after, change.run_length) >= _FOLLOWS:
            return False
    return overlap.shared(given.strip(), f"{kept} {change.revised.instruction}", length) < settings.input_kept


def lost_input(change: Change, settings: GuardSettings) -> bool:
    given, kept = change.raw.input.strip(), change.revised.input.strip()
    if not given or len(kept) >= max(1, settings.input_share * len(given)):
        return False
    moved = fuzz.partial_ratio(given[:_QUOTED].casefold(), change.revised.instruction[: 2 * _QUOTED].casefold())
    return moved < 100 * settings.input_moved


def invented_input(change: Change, settings: GuardSettings) -> bool:
    """An input may be taken out of the instruction, or name what the raw response was about, but not be made up."""
    if change.raw.input.strip() or not change.revised.input.strip():
        return False
    raw = f"{change.raw.instruction} {change.raw.response}"
    return overlap.shared(change.revised.input, raw, change.run_length) < settings.input_found


def repeated(change: Change, settings: GuardSettings) -> bool:
    """A loop or doubled text, unless the raw section was as repetitive (a refrain, a table)."""
    for (before, after), fresh in zip(change.sections, change.fresh, strict=True):
        if len(fresh) < PIECE:
            continue  # too little to repeat anything
        new = repetition(after)
        if new.loop >= settings.loop or new.share >= settings.doubled:
            old = repetition(before)
            if new.loop >= max(settings.loop, 2 * old.loop) or new.share >= max(settings.doubled, 1.2 * old.share):
                return True
    return False


def too_short(change: Change, settings: GuardSettings) -> bool:
    raw, revised = change.raw, change.revised
    return _short(raw.response, revised.response, *settings.response_shortest) or _short(
        raw.instruction, revised.instruction, *settings.instruction_shortest
    )


def too_long(change: Change, settings: GuardSettings) -> bool:
    raw, revised = change.raw, change.revised
    return _long(raw.response, revised.response, *settings.response_longest) or _long(
        raw.instruction, revised.instruction, *settings.instruction_longest
    )


def lost_number(change: Change, settings: GuardSettings) -> bool:
    """The question's numbers have to stay. An answer's may be corrected, so only losing nearly all of several is a loss."""
    raw, revised = change.raw, change.revised
    if raw[:2] != revised[:2] and numbers.lost("\n".join(raw[:2]), "\n".join(revised[:2]), change.locale):
        return True
    if raw.response == revised.response or not numbers.has_digit(change.stretches[-1][0]):
        return False
    return numbers.kept_share(raw.response, revised.response, settings.numbers_few) < settings.numbers_share


def lost_url(change: Change, _: GuardSettings) -> bool:
    return _lost(structure.urls, change)


def lost_email(change: Change, _: GuardSettings) -> bool:
    return _lost(structure.emails, change)


def lost_code(change: Change, settings: GuardSettings) -> bool:
    """Code is counted and not compared, since a booster has to mend translated keywords."""
    if "`" not in change.before and "`" not in change.after:
        return False
    (asked, given, response), (asks, gives, responds) = (
        map(structure.code, text) for text in (change.raw, change.revised)
    )
    if asks + gives < asked + given or responds < settings.code_share * response:
        return True
    return any(structure.open_fence(new) and not structure.open_fence(old) for old, new in change.sections)


def lost_placeholder(change: Change, _: GuardSettings) -> bool:
    """A placeholder of the response may give way to one of the instruction or input: that mends a translated one."""
    (asked, given), (asks, gives, responds) = change.raw[:2], change.revised
    if (asked, given) != (asks, gives) and any(map(structure.has_blank, (asked, given))):
        if not any(map(structure.has_blank, (asks, gives))):
            return True
    had = structure.placeholders(change.old if "{{" not in change.before else change.before)
    if not had or had <= (has := structure.placeholders("\n".join(change.revised))):
        return False
    wanted = structure.placeholders(asked) | structure.placeholders(given)
    return not wanted or not wanted <= has or not structure.placeholders(responds) <= wanted


def lost_list(change: Change, settings: GuardSettings) -> bool:
    """A list may change its bullets or become lines, but not a paragraph; and it may have as many items as are asked for."""
    for before, after in change.sections:
        if (breaks := before.count("\n")) < 2 or (lines := structure.lines(after)) >= settings.list_share * (
            breaks + 1
        ):
            continue
        if (had := structure.items(before)) >= 3:
            items = structure.items(after)
            if max(items, lines) < settings.list_share * had and not {items, lines} & _asked(change):
                return True
    return False


def _short(before: str, after: str, share: float, spared: float) -> bool:
    return len(after) < share * (len(before) - spared)


def _long(before: str, after: str, times: float, more: float) -> bool:
    return len(after) > times * len(before) + more


def _asked(change: Change) -> set[int]:
    """The numbers above one that stand in the raw instruction, as digits or in words."""
    asked = change.raw.instruction
    digits = {
        int(value) for number in numbers.numbers(asked) for value in number.values if value.isdigit() and len(value) < 4
    }
    return {value for value in digits.union(number_words.counted(asked, change.language)) if value > 1}


def _lost(find: Callable[[str], set[str]], change: Change) -> bool:
    had = find(change.old)
    return bool(had) and not had <= find("\n".join(change.revised))
