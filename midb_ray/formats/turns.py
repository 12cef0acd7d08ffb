"""The turns of a conversation: who speaks, what is said, which of them are exchanges, and what was said before one.

An exchange is a turn of the assistant right after one of the user, both of which say something. Every other turn (of the system, of
a tool, without an answer, without a text) is no part of a pair, but of what was said before the next one.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any, Final

from midb_ray.formats import json_rows
from midb_ray.formats.columns import blank
from midb_ray.formats.records import Exchange, RowError, shown
from midb_ray.pairs import Turn

ROLE: Final = ("role", "from")
CONTENT: Final = ("content", "value")

CONTEXT_TURNS: Final = 20
"""Turns that a pair's context has at most, beside system turns at the beginning of the conversation."""
CONTEXT_CHARACTERS: Final = 12_000
"""Characters that a pair's context has at most; those system turns take no more than half of it."""

_ROLES: Final = {
    **dict.fromkeys(("user", "human"), "user"),
    **dict.fromkeys(("assistant", "gpt", "chatgpt", "bot", "model"), "assistant"),
    **dict.fromkeys(("system", "developer"), "system"),
    **dict.fromkeys(("tool", "function", "function_call", "function_response", "observation", "ipython"), "tool"),
}


def key(turn: dict[str, Any], names: Sequence[str]) -> str:
    """The one of `names` that the turn uses; Parquet fills the unused ones with null."""
    return next((name for name in names if turn.get(name) is not None), names[0])


def known_role(turn: dict[str, Any]) -> str | None:
    """Who speaks in a turn: user, assistant, system or tool; None for anybody else."""
    name = turn.get(key(turn, ROLE))
    return _ROLES.get(name.strip().casefold()) if isinstance(name, str) else None


def role(turn: dict[str, Any], place: int) -> str:
    """The same for the turn at a place, from 1. Raises `RowError` for anybody else."""
    found = known_role(turn)
    if found is None:
        name = shown(turn.get(key(turn, ROLE)))
        raise RowError("unknown_role", f"turn {place} belongs to {name}; expected user, assistant, system or tool")
    return found


def content(turn: dict[str, Any]) -> Any:
    """What a turn says: its text, or the texts of its parts, one below the other. Raises `RowError` for a part that is no text."""
    found = turn.get(key(turn, CONTENT))
    if not isinstance(found, list):
        return found
    texts = []
    for part in found:
        text = part.get("text") if isinstance(part, dict) and part.get("type", "text") == "text" else part
        if not isinstance(text, str):
            raise RowError("wrong_type", f"expected parts of text, found {shown(part)}")
        texts.append(text)
    return "\n".join(texts)


def exchanges(turns: Sequence[dict[str, Any]], roles: Sequence[str]) -> tuple[Exchange, ...]:
    """All exchanges of a conversation, each with what was said before. Raises `RowError` where a turn of user or assistant is no
    text, and where there is no exchange."""
    places = _answers(turns, roles)
    spoken = [said(turn, name) for turn, name in zip(turns, roles, strict=True)]
    before = contexts(spoken, [place - 1 for place in places])
    return tuple(
        Exchange(place, content(turns[place - 1]), None, content(turns[place]), context)
        for place, context in zip(places, before, strict=True)
    )


def said(turn: dict[str, Any], name: str) -> Turn:
    """What `name` says in a turn as text, whatever it is there."""
    try:
        found = content(turn)
    except RowError:
        found = turn.get(key(turn, CONTENT))
    if found is None or isinstance(found, str):
        return Turn(name, found or "")
    return Turn(name, json_rows.to_json(found)[0])


def contexts(turns: Sequence[Turn], places: Sequence[int]) -> Iterator[list[Turn]]:
    """What was said before the turn at each of `places`, which ascend: system turns at the beginning, then the last turns, without
    those that say nothing. Bounded, so that a long conversation does not grow with the square of its length."""
    opening: list[Turn] = []
    spoken: list[Turn] = []
    before = 0
    room = CONTEXT_CHARACTERS // 2
    for place in places:
        for turn in turns[before:place]:
            if turn.role != "system" or spoken:
                spoken += [] if blank(turn.content) else [turn]
            elif not blank(turn.content) and len(turn.content) <= room and len(opening) < CONTEXT_TURNS:
                opening.append(turn)
                room -= len(turn.content)
        before = place
        yield [*opening, *_latest(spoken, CONTEXT_CHARACTERS // 2 + room)]


def _answers(turns: Sequence[dict[str, Any]], roles: Sequence[str]) -> list[int]:
    """The places of the answers, from 0; each follows its question."""
    speak = [name in ("user", "assistant") and _speaks(turn) for turn, name in zip(turns, roles, strict=True)]
    follow = [place for place in range(1, len(roles)) if (*roles[place - 1 : place + 1],) == ("user", "assistant")]
    if found := [place for place in follow if speak[place - 1] and speak[place]]:
        return found
    names = ", ".join(roles[:20])
    for name, field in (("user", "instruction"), ("assistant", "response")):
        if name not in roles:
            raise RowError(f"missing_{field}", f"no turn of the {name}; roles found: {names}")
    if not follow:
        raise RowError("turn_order", f"no turn of the assistant right after one of the user, found {names}")
    which = "response" if speak[follow[0] - 1] else "instruction"
    raise RowError(f"empty_{which}", f"none of {len(follow)} exchanges has both a question and an answer")


def _latest(turns: list[Turn], room: int) -> list[Turn]:
    """The last turns, as many as there is room for."""
    first = len(turns)
    while first > max(len(turns) - CONTEXT_TURNS, 0) and len(turns[first - 1].content) <= room:
        first -= 1
        room -= len(turns[first].content)
    return turns[first:]


def _speaks(turn: dict[str, Any]) -> bool:
    """Whether a turn says what can be a text of a pair. Raises `RowError` where it says what can be none."""
    found = content(turn)
    if isinstance(found, str):
        return not blank(found.replace("\0", ""))
    if found is None or (isinstance(found, float) and not math.isfinite(found)):
        return False
    if isinstance(found, (bool, int, float)):
        return True
    raise RowError("wrong_type", f"a turn is {json_rows.type_name(found)}, expected text; found {shown(found)}")
