"""Conversations: ShareGPT (`conversations` with from and value) and OpenAI (`messages` with role and content).

One question and one answer at the end are a pair with an empty input, and system turns, with whatever else a turn carries, stay in
the rest under the conversation's own key, in the form they had. A conversation of more turns is several pairs, see `turns`, and
all the rest of it is a frame, see `frames`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from midb_ray.formats import frames, turns
from midb_ray.formats.columns import columns
from midb_ray.formats.names import fold
from midb_ray.formats.records import Fields, RowError, keys_found, shown
from midb_ray.pairs import Pair


def recognises(keys: Sequence[str]) -> bool:
    """Whether rows with `keys` hold a list of turns."""
    return any(fold(key) in frames.LISTS for key in keys)


def fields(row: dict[str, Any]) -> Fields:
    """The question and the answer of a conversation with one of each, or all exchanges of a longer one. Raises `RowError`."""
    keys, found = _conversation(row)
    roles = [turns.role(turn, place) for place, turn in enumerate(found, start=1)]
    exchanges = () if _is_single(roles) else turns.exchanges(found, roles)
    named = columns(tuple(row))
    taken = {*keys, *named.ids[:1], *named.source_ids[:1], *named.languages[:1]}
    rest = {name: one for name, one in row.items() if name not in taken}
    if exchanges:
        rest[keys[0]] = frames.emptied(found, [exchange.place for exchange in exchanges])
    elif kept := _remainder(found, roles):
        rest[keys[0]] = kept
    return Fields(
        exchanges[0].instruction if exchanges else turns.content(found[-2]),
        None,
        exchanges[0].response if exchanges else turns.content(found[-1]),
        row[named.ids[0]] if named.ids else None,
        row[named.source_ids[0]] if named.source_ids else None,
        {name: row[name] for name in named.languages},
        rest,
        exchanges=exchanges,
    )


def to_row(pair: Pair) -> dict[str, Any]:
    """An OpenAI conversation of one pair, with the system turns that it had and what else its turns carried.

    The input follows the instruction after a blank line and cannot be told from it again.
    """
    return frames.assemble([_single(pair)], "messages")


def to_sharegpt_row(pair: Pair) -> dict[str, Any]:
    """The same in ShareGPT's form, under whichever key and in whichever form the turns came."""
    return frames.assemble([_single(pair)], "sharegpt")


def _single(pair: Pair) -> Pair:
    """A turn of a longer conversation as a pair by itself."""
    return frames.alone(pair)._replace(turn=None)


def _conversation(row: dict[str, Any]) -> tuple[list[str], list[dict[str, Any]]]:
    """The key of the conversation in `row`, then keys that repeat it, and its turns."""
    lists = [key for key in row if fold(key) in frames.LISTS and row[key]]
    if not lists:
        raise RowError("missing_instruction", f"no turns of a conversation; {keys_found(row)}")
    if any(row[key] != row[lists[0]] for key in lists):
        raise RowError("ambiguous_field", f"the conversations in {' and '.join(map(shown, lists))} differ")
    found = row[lists[0]]
    if not isinstance(found, list) or not all(isinstance(turn, dict) for turn in found):
        raise RowError("wrong_type", f"{shown(lists[0])}: expected a list of turns, found {shown(found)}")
    return lists, found


def _is_single(roles: Sequence[str]) -> bool:
    """Whether there is one question and one answer, at the end, and nothing else but system turns."""
    return [*roles[-2:]] == ["user", "assistant"] and all(name == "system" for name in roles[:-2])


def _remainder(found: list[dict[str, Any]], roles: list[str]) -> list[dict[str, Any]]:
    """The conversation without question and answer: nothing if they were all there was."""
    kept = []
    for turn, name in zip(found, roles, strict=True):
        if name == "system":
            kept.append(turn)
        elif more := {
            key: one for key, one in turn.items() if key not in (*turns.ROLE, *turns.CONTENT) and one is not None
        }:
            speaker = turns.key(turn, turns.ROLE)
            kept.append({speaker: turn[speaker], **more})
    return kept
