"""The formats by name, and which one an input is in."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from midb_ray.errors import UserError
from midb_ray.formats import alpaca, conversations, json_rows, pairs, preferences, revisions
from midb_ray.formats.records import Fields, Revised, RowError, keys_found
from midb_ray.pairs import Pair


@dataclass(frozen=True)
class Format:
    """An outside form of pairs. `fields` and `revised` raise `RowError`; `revised` and `to_row` are None where the
    format has no revisions or nothing is written in it."""

    name: str
    recognises: Callable[[Sequence[str]], bool]
    fields: Callable[[dict[str, Any]], Fields]
    revised: Callable[[dict[str, Any]], Revised] | None = None
    to_row: Callable[[Pair], dict[str, Any]] | None = None


# The most demanding first: that one decides where several recognise a row.
FORMATS: dict[str, Format] = {
    "pairs": Format("pairs", pairs.recognises, pairs.fields, to_row=pairs.to_row),
    "revisions": Format("revisions", revisions.recognises, revisions.fields, revised=revisions.revised),
    "preferences": Format("preferences", preferences.recognises, preferences.fields, revised=preferences.revised),
    "alpaca": Format("alpaca", alpaca.recognises, alpaca.fields, to_row=alpaca.to_row),
    "conversations": Format(
        "conversations", conversations.recognises, conversations.fields, to_row=conversations.to_row
    ),
}


def detect(samples: Sequence[bytes | dict[str, Any]]) -> Format:
    """The format that most of the sampled rows are in; rows that cannot be read have no say. Where none can be read, any will do:
    they become dead letters.

    Raises `UserError` that shows the keys when no format recognises those that can be read.
    """
    votes: Counter[str] = Counter()
    unknown: dict[str, None] = {}
    for sample in samples:
        try:
            row = sample if isinstance(sample, dict) else json_rows.parse(sample)
        except RowError:
            continue
        if recognised := next((name for name in FORMATS if FORMATS[name].recognises(tuple(row))), None):
            votes[recognised] += 1
        else:
            unknown.update(dict.fromkeys(row))
    if votes:
        return FORMATS[max(FORMATS, key=lambda name: votes[name])]
    if not unknown:
        return next(iter(FORMATS.values()))
    raise UserError(
        f"Cannot tell the format from the first {len(samples)} rows ({keys_found(unknown)}); rename the keys, for example to "
        f"instruction, input and output, or give the format as one of {', '.join(FORMATS)}."
    )
