"""The guard's checks on what an answer brings in that nobody asked for, each a function of one change: True means that it fails.

What the raw pair had already is not held against the answer.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from midb_ray.boosting.change import Change
from midb_ray.boosting.guard_settings import GuardSettings
from midb_ray.signals import characters, links, markers, overlap, remarks, reports, structure

_LETTER: Final = 3  # characters of fresh text in which one was changed, which makes no refusal
_START: Final = 8  # characters of a text's very beginning
_REPORT: Final = 16  # characters that a report on the revision has at least; half as many in dense scripts


def leaked_marker(change: Change, _: GuardSettings) -> bool:
    if ":" in (fresh := "".join(change.fresh)) or "：" in fresh:
        raw = "\n".join(change.raw)
        spoken = markers.turns(change.after) - markers.turns(raw)
        if spoken and not any(f"{speaker}:" in raw.casefold() for speaker in spoken):
            return True
    if _acts(change):
        return True
    leaked = markers.control_tokens(change.after) | markers.wording(change.after)
    said = [comment for _, after in change.sections for comment in markers.comments(after)]
    if leaked or said:
        raw = "\n".join(change.raw)
        if any(text not in raw for text in leaked) or any(comment not in raw.casefold() for comment in said):
            return True
    return _commented(change)


def leaked_character(change: Change, _: GuardSettings) -> bool:
    if not any(map(characters.strange, change.fresh)):
        return False
    leaked = characters.strange(change.after)
    return not leaked.issubset("".join(change.raw))


def refusal(change: Change, _: GuardSettings) -> bool:
    """The response declines, and the raw one did not begin to."""
    before, after = change.raw.response, change.revised.response
    if before[: remarks.HEAD] == after[: remarks.HEAD]:
        return False
    if len(change.fresh[-1]) < remarks.SHORTEST and not _uncovered(before, after):
        if len(change.fresh[-1]) <= _LETTER or not remarks.negates(change.fresh[-1]):
            return False
    if not remarks.declines(after, change.language, change.run_length == overlap.DENSE):
        return False
    return not remarks.begins_to_decline(before, change.language)


def added_url(change: Change, _: GuardSettings) -> bool:
    new = change.new
    if "/" not in new and "." not in new:
        return False
    return _added(structure.urls, change) or (("/" in new or "](" in new) and _added(links.unschemed, change))


def added_email(change: Change, _: GuardSettings) -> bool:
    return _added(structure.emails, change)


def _commented(change: Change) -> bool:
    """A remark of the model on its own work, at the beginning or the end of a section."""
    language, task = change.language, change.raw.instruction
    least = _REPORT // 2 if change.run_length == overlap.DENSE else _REPORT
    for (before, after), fresh in zip(change.sections, change.fresh, strict=True):
        if len(fresh) < remarks.SHORTEST and not _uncovered(before, after):
            continue
        if before[: remarks.HEAD] != after[: remarks.HEAD] and remarks.opens(after, language, task):
            if not any(remarks.opens(raw, language, task) for raw in change.raw):
                return True
        if before[-remarks.TAIL :] != after[-remarks.TAIL :] and remarks.closes(after, language):
            if not any(remarks.closes(raw, language) for raw in change.raw):
                return True
        if len(fresh) >= least and _reported(before, after, change):
            return True
    return False


def _uncovered(before: str, after: str) -> bool:
    """Whether so small an edit may have taken away what stood in front of a remark."""
    return before[:_START] != after[:_START] or len(before) - len(after) >= remarks.SHORTEST


def _reported(before: str, after: str, change: Change) -> bool:
    """A report on the revision, where the raw section has none; that nothing had to be changed may be the answer to a task of
    editing."""
    language = change.language
    if reports.says_done(after, language) and not reports.says_done(before, language):
        return True
    if reports.lists_changes(after, language) and not reports.lists_changes(before, language):
        return not remarks.edits(change.raw.instruction, language)
    if not reports.says_nothing(after, language) or reports.says_nothing(before, language):
        return False
    return not remarks.edits(change.raw.instruction, language)


def _acts(change: Change) -> bool:
    """Scripts, frames and handlers outside of code that the raw pair did not have; a task about web pages may ask for them."""
    if "<" not in change.after and "cript:" not in change.after:
        return False
    found = links.active(structure.prose(change.after))
    if not found or not (found := found - links.active("\n".join(change.raw))):
        return False
    task = f"{change.raw.instruction}\n{change.raw.input}".casefold()
    return not any(word in task for word in ("html", "javascript", *found))


def _added(find: Callable[[str], set[str]], change: Change) -> bool:
    """Whether the change brought something that `find` finds and that stands nowhere in the raw pair, an example domain aside."""
    found = find(change.new)
    if not found or not (found := found - find("\n".join(change.raw))):
        return False
    raw = "\n".join(change.raw).casefold()  # where words follow without a space, a link looks longer than it is
    return any(text not in raw and not structure.reserved(text) for text in found)
