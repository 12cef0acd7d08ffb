"""Our own pairs as Parquet: `PAIR_SCHEMA`, and what an earlier boost wrote (`BOOSTED_SCHEMA`).

The final texts of an earlier run become the raw pair of the next. What that run knew about the pair (its row, the raw
texts, the decision, …) stands in the rest under `previous`; the fields of the user's own row stay where they were.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from midb_ray.formats.names import FIELDS
from midb_ray.formats.records import Fields, RowError, keys_found
from midb_ray.pairs import BOOSTED_SCHEMA, PAIR_SCHEMA, TURN_COLUMNS, Pair, heard

_PREVIOUS = "previous"
_FIELDS = {"id", "source_id", "language", "instruction", "input", "response", "repairs", "extra"}
_MOST_TURNS = 1 << 31
_ABOUT = {*PAIR_SCHEMA.names, *BOOSTED_SCHEMA.names} - _FIELDS


def recognises(keys: Sequence[str]) -> bool:
    """Whether rows with `keys` have every column of `PAIR_SCHEMA`; those of turns came later."""
    return {*PAIR_SCHEMA.names} - {*TURN_COLUMNS} <= set(keys)


def fields(row: dict[str, Any]) -> Fields:
    """The final texts of a row of ours. Raises `RowError`."""
    for field in FIELDS:
        if field != "input" and field not in row:
            raise RowError(f"missing_{field}", keys_found(row))
    turn = _turn(row)
    about = {key: one for key, one in row.items() if key in _ABOUT and key not in turn and one is not None}
    added = {key: one for key, one in row.items() if key not in _ABOUT and key not in _FIELDS}
    earlier = _earlier(row.get("extra"))
    rest = {**earlier, **added}
    if _PREVIOUS in rest:
        about[_PREVIOUS] = rest.pop(_PREVIOUS)
    if hidden := {key: earlier[key] for key in earlier if key in added}:
        about["extra"] = hidden
    if about:
        rest[_PREVIOUS] = about
    return Fields(
        row["instruction"],
        row.get("input"),
        row["response"],
        row.get("id"),
        row.get("source_id"),
        {"language": row.get("language")},
        rest,
        _notes(row.get("repairs")),
        **turn,
    )


def to_row(pair: Pair) -> dict[str, Any]:
    """A row of `PAIR_SCHEMA`."""
    return {**pair._asdict(), "repairs": list(pair.repairs)}


def _turn(row: dict[str, Any]) -> dict[str, Any]:
    """The columns of a turn: it stays one of the conversation that it was read from first. Nothing for a pair by itself, and where
    rows that did not come from Parquet hold anything else there."""
    source, turn, context = (row.get(name) for name in TURN_COLUMNS)
    if not isinstance(source, str) or isinstance(turn, bool) or not isinstance(turn, int) or not 0 < turn < _MOST_TURNS:
        return {}
    if context is not None and (not isinstance(context, str) or not heard(context)):
        return {}
    return dict(zip(TURN_COLUMNS, (source, turn, context), strict=True))


def _notes(repairs: Any) -> tuple[str, ...]:
    """The repairs that an earlier run noted; rows that did not come from Parquet may hold anything there."""
    notes = repairs if isinstance(repairs, (list, tuple)) else ()
    return tuple(note.encode("utf-8", "replace").decode("utf-8") for note in notes if isinstance(note, str))


def _earlier(extra: Any) -> dict[str, Any]:
    """The rest of the row that the pair first came from; kept as it is where it is no JSON object."""
    if extra is None:
        return {}
    try:
        found = json.loads(extra) if isinstance(extra, str) else extra
    except ValueError:
        found = None
    return dict(found) if isinstance(found, dict) else {"extra": extra}
