"""Preference pairs: a `prompt`, the answer that was `chosen` and the one that was `rejected`, as trainers of DPO read them.

Each of the three is a text (TRL's standard form) or a list of turns with role and content (its conversational one). Some
collections repeat the prompt at the head of both answers. What we write is always conversational: the model's own chat template
puts it into text.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from midb_ray.formats import conversations
from midb_ray.formats.columns import columns
from midb_ray.formats.records import Fields, Revised, RowError, keys_found, shown
from midb_ray.pairs import Pair

_CHOSEN, _REJECTED = "chosen", "rejected"
_KEYS = ("prompt", _CHOSEN, _REJECTED)
_SPEAKERS = {"prompt": "user", _CHOSEN: "assistant", _REJECTED: "assistant"}


def recognises(keys: Sequence[str]) -> bool:
    """Whether rows with `keys` hold a prompt and two answers."""
    return set(_KEYS) <= set(keys)


def fields(row: dict[str, Any]) -> Fields:
    """The prompt with the answer that was chosen; the one that was rejected is in the rest. Raises `RowError`."""
    found = _fields(row, _CHOSEN)
    return found._replace(rest={**found.rest, _REJECTED: row[_REJECTED]}) if _REJECTED in row else found


def revised(row: dict[str, Any]) -> Revised:
    """A revision of the rejected answer into the chosen one, to the same prompt. Raises `RowError`."""
    if _REJECTED not in row:
        raise RowError("missing_response", keys_found(row))
    raw, chosen = _fields(row, _REJECTED), _fields(row, _CHOSEN)
    return Revised(raw, chosen.instruction, chosen.input, chosen.response, None)


def to_row(pair: Pair, rejected: str) -> dict[str, Any]:
    """A preference for the pair's response over another one, with the system turns that the pair came with.

    The input follows the instruction after a blank line and cannot be told from it again.
    """
    return from_conversation(conversations.to_row(pair), rejected)


def from_conversation(row: dict[str, Any], rejected: str) -> dict[str, Any]:
    """A preference for the last turn of an OpenAI conversation over another answer. What else in the row has the name of a field
    stays apart, under `extra`."""
    *prompt, chosen = row["messages"]
    turns = {"prompt": prompt, _CHOSEN: [chosen], _REJECTED: [{**chosen, "content": rejected}]}
    others = {key: one for key, one in row.items() if key != "messages"}
    if apart := {key: others.pop(key) for key in _KEYS if key in others}:
        there = others.get("extra", {})
        others["extra"] = {**(there if isinstance(there, dict) else {"extra": there}), **apart}
    return {**turns, **others}


def _fields(row: dict[str, Any], answer: str) -> Fields:
    """The prompt with one of the answers."""
    missing = [key for key in ("prompt", answer) if row.get(key) is None]
    if missing:
        raise RowError("missing_instruction" if "prompt" in missing else "missing_response", keys_found(row))
    turns = _turns(answer, row[answer])
    if not any(isinstance(turn, dict) and turn.get("role") == "user" for turn in turns):
        turns = [*_turns("prompt", row["prompt"]), *turns]
    found = conversations.fields({"messages": turns})
    if found.exchanges:
        raise RowError("multi_turn", f"the prompt holds a conversation of {len(turns)} turns")
    named = columns(tuple(row))
    taken = {*_KEYS, *named.ids[:1], *named.source_ids[:1], *named.languages[:1]}
    return found._replace(
        id=row[named.ids[0]] if named.ids else None,
        source_id=row[named.source_ids[0]] if named.source_ids else None,
        languages={name: row[name] for name in named.languages},
        rest={**{name: one for name, one in row.items() if name not in taken}, **found.rest},
    )


def _turns(key: str, value: Any) -> list[Any]:
    if isinstance(value, str):
        return [{"role": _SPEAKERS[key], "content": value}]
    if not isinstance(value, list):
        raise RowError("wrong_type", f"{shown(key)}: expected a text or a list of turns, found {shown(value)}")
    return value
