"""Alpaca: one object per pair with instruction, input and output, under whatever names `names` knows for them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from midb_ray.formats.columns import columns, named_fields
from midb_ray.formats.records import Fields, RowError, row_of
from midb_ray.pairs import Pair


def recognises(keys: Sequence[str]) -> bool:
    """Whether rows with `keys` hold an instruction and a response."""
    found = columns(tuple(keys))
    return bool(found.instruction and found.response)


def fields(row: dict[str, Any]) -> Fields:
    """The pair in an Alpaca row. Raises `RowError`; earlier turns in a `history` make the row multi-turn."""
    found = named_fields(row)
    history = found.rest.get("history")
    if isinstance(history, list) and history:
        raise RowError("multi_turn", f"the history holds {len(history)} earlier turns")
    return found


def to_row(pair: Pair) -> dict[str, Any]:
    """An Alpaca row, which `fields` reads back as the same pair."""
    return row_of(pair, {"instruction": pair.instruction, "input": pair.input, "output": pair.response})
