"""Alpaca: one object per pair with instruction, input and output, under whatever names `names` knows for them.

A `history`, a list of questions and answers, makes the row a conversation that ends with its pair.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from midb_ray.formats import frames, turns
from midb_ray.formats.columns import columns, named_fields
from midb_ray.formats.names import fold
from midb_ray.formats.records import Fields, RowError, row_of, shown
from midb_ray.pairs import Pair


def recognises(keys: Sequence[str]) -> bool:
    """Whether rows with `keys` hold an instruction and a response."""
    found = columns(tuple(keys))
    return bool(found.instruction and found.response)


def fields(row: dict[str, Any]) -> Fields:
    """The pair in an Alpaca row, or all exchanges of its history and then the pair. Raises `RowError`."""
    found = named_fields(row)
    key = next((key for key in found.rest if fold(key) == frames.HISTORY), None)
    history = None if key is None else found.rest[key]
    if key is None or not isinstance(history, list) or not history:
        return found
    said = [{"role": role, "content": text} for one in history for role, text in _exchange(one)]
    said += [{"role": "user", "content": found.instruction}, {"role": "assistant", "content": found.response}]
    *earlier, last = turns.exchanges(said, ["user", "assistant"] * (len(history) + 1))
    if last.place != len(said) - 1:  # the row's own pair says nothing: the reader knows what is missing
        return found
    exchanges = (*earlier, last._replace(input=found.input))
    left = frames.emptied(said, [exchange.place for exchange in exchanges])
    return found._replace(rest={**found.rest, key: left}, exchanges=exchanges)


def to_row(pair: Pair) -> dict[str, Any]:
    """An Alpaca row, which `fields` reads back as the same pair; a turn of a conversation becomes a pair by itself."""
    return row_of(frames.alone(pair), {"instruction": pair.instruction, "input": pair.input, "output": pair.response})


def _exchange(value: Any) -> list[tuple[str, Any]]:
    """Question and answer in a history. Raises `RowError` for anything else."""
    if not isinstance(value, list) or len(value) != 2:
        raise RowError("wrong_type", f"the history holds {shown(value)}, expected a question and an answer")
    return list(zip(("user", "assistant"), value, strict=True))
