"""Conversations: ShareGPT (`conversations` with from and value) and OpenAI (`messages` with role and content).

One question and one answer are a pair with an empty input. System turns, and whatever else a turn carries, stay in the
rest under the conversation's own key, in the form they had.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from midb_ray.formats.columns import columns
from midb_ray.formats.names import fold
from midb_ray.formats.records import Fields, RowError, keys_found, row_of, shown
from midb_ray.pairs import Pair

_LISTS = ("messages", "conversations", "conversation")
_ROLE, _CONTENT = ("role", "from"), ("content", "value")
_ROLES = {
    **dict.fromkeys(("user", "human"), "user"),
    **dict.fromkeys(("assistant", "gpt", "chatgpt", "bot", "model"), "assistant"),
    **dict.fromkeys(("system", "developer"), "system"),
}


def recognises(keys: Sequence[str]) -> bool:
    """Whether rows with `keys` hold a list of turns."""
    return any(fold(key) in _LISTS for key in keys)


def fields(row: dict[str, Any]) -> Fields:
    """The question and the answer of a conversation with one of each. Raises `RowError`."""
    keys, turns = _conversation(row)
    roles = [_role(turn, place) for place, turn in enumerate(turns, start=1)]
    question, answer = _exchange(roles)
    named = columns(tuple(row))
    taken = {*keys, *named.ids[:1], *named.source_ids[:1], *named.languages[:1]}
    rest = {name: one for name, one in row.items() if name not in taken}
    if kept := _remainder(turns, roles):
        rest[keys[0]] = kept
    return Fields(
        _content(turns[question]),
        None,
        _content(turns[answer]),
        row[named.ids[0]] if named.ids else None,
        row[named.source_ids[0]] if named.source_ids else None,
        {name: row[name] for name in named.languages},
        rest,
    )


def to_row(pair: Pair) -> dict[str, Any]:
    """An OpenAI conversation with the system turns that it had.

    The input follows the instruction after a blank line and cannot be told from it again.
    """
    return _to_row(pair, "messages", ("role", "content"), ("user", "assistant"))


def to_sharegpt_row(pair: Pair) -> dict[str, Any]:
    """A ShareGPT conversation with the system turns that it had, under whichever key and in whichever form they came.

    The input follows the instruction after a blank line and cannot be told from it again.
    """
    return _to_row(pair, "conversations", ("from", "value"), ("human", "gpt"))


def _to_row(pair: Pair, name: str, keys: tuple[str, str], speakers: tuple[str, str]) -> dict[str, Any]:
    """A conversation under `name`, whose turns have `keys` for who speaks and what is said."""
    rest = json.loads(pair.extra) if pair.extra else {}
    key = next((one for one in rest if fold(one) in _LISTS and _are_system(rest[one])), None)
    system = [_turn(turn, keys) for turn in rest.pop(key)] if key is not None else []
    question = f"{pair.instruction}\n\n{pair.input}" if pair.input else pair.instruction
    exchange = [dict(zip(keys, turn, strict=True)) for turn in zip(speakers, (question, pair.response), strict=True)]
    return row_of(pair if key is None else pair._replace(extra=json.dumps(rest)), {name: [*system, *exchange]})


def _are_system(turns: object) -> bool:
    """Whether this is a list of nothing but system turns, by either form's keys."""
    if not isinstance(turns, list) or not turns or not all(isinstance(turn, dict) for turn in turns):
        return False
    return all(_ROLES.get(str(turn.get(_key(turn, _ROLE))).strip().casefold()) == "system" for turn in turns)


def _turn(turn: dict[str, Any], keys: tuple[str, str]) -> dict[str, Any]:
    """A system turn with `keys` for who speaks and what is said; whatever else it carries stays."""
    role, content = _key(turn, _ROLE), _key(turn, _CONTENT)
    more = {name: one for name, one in turn.items() if name not in (*_ROLE, *_CONTENT)}
    return {keys[0]: turn[role], keys[1]: turn.get(content), **more}


def _conversation(row: dict[str, Any]) -> tuple[list[str], list[dict[str, Any]]]:
    """The key of the conversation in `row`, then keys that repeat it, and its turns."""
    lists = [key for key in row if fold(key) in _LISTS and row[key]]
    if not lists:
        raise RowError("missing_instruction", f"no turns of a conversation; {keys_found(row)}")
    if any(row[key] != row[lists[0]] for key in lists):
        raise RowError("ambiguous_field", f"the conversations in {' and '.join(map(shown, lists))} differ")
    turns = row[lists[0]]
    if not isinstance(turns, list) or not all(isinstance(turn, dict) for turn in turns):
        raise RowError("wrong_type", f"{shown(lists[0])}: expected a list of turns, found {shown(turns)}")
    return lists, turns


def _exchange(roles: list[str]) -> tuple[int, int]:
    """The places of the only question and its answer."""
    questions, answers = roles.count("user"), roles.count("assistant")
    if questions > 1 or answers > 1:
        raise RowError("multi_turn", f"{questions} turns of the user and {answers} of the assistant")
    if not questions:
        raise RowError("missing_instruction", f"no turn of the user; roles found: {', '.join(roles)}")
    if not answers:
        raise RowError("missing_response", f"no turn of the assistant; roles found: {', '.join(roles)}")
    question, answer = roles.index("user"), roles.index("assistant")
    if (question, answer) != (len(roles) - 2, len(roles) - 1):
        raise RowError("turn_order", f"expected question and answer at the end, found {', '.join(roles)}")
    return question, answer


def _role(turn: dict[str, Any], place: int) -> str:
    name = turn.get(_key(turn, _ROLE))
    role = _ROLES.get(name.strip().casefold()) if isinstance(name, str) else None
    if role is None:
        raise RowError("unknown_role", f"turn {place} belongs to {shown(name)}; expected user, assistant or system")
    return role


def _content(turn: dict[str, Any]) -> Any:
    """What a turn says: its text, or the texts of its parts, one below the other."""
    content = turn.get(_key(turn, _CONTENT))
    if not isinstance(content, list):
        return content
    texts = []
    for part in content:
        text = part.get("text") if isinstance(part, dict) and part.get("type", "text") == "text" else part
        if not isinstance(text, str):
            raise RowError("wrong_type", f"expected parts of text, found {shown(part)}")
        texts.append(text)
    return "\n".join(texts)


def _remainder(turns: list[dict[str, Any]], roles: list[str]) -> list[dict[str, Any]]:
    """The conversation without question and answer: nothing if they were all there was."""
    kept = []
    for turn, role in zip(turns, roles, strict=True):
        if role == "system":
            kept.append(turn)
        elif more := {key: one for key, one in turn.items() if key not in (*_ROLE, *_CONTENT) and one is not None}:
            kept.append({_key(turn, _ROLE): turn[_key(turn, _ROLE)], **more})
    return kept


def _key(turn: dict[str, Any], names: Sequence[str]) -> str:
    """The one of `names` that the turn uses; Parquet fills the unused ones with null."""
    return next((name for name in names if turn.get(name) is not None), names[0])
