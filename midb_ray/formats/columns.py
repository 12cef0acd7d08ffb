"""Which keys of a row stand for which field, worked out once for every tuple of keys.

Two keys may mean the same field. Where a rule can know, it decides; else the row is turned down:
1. A row that names instruction, input and response by their own names ("instruction", "input", "output", or these in
   another language) has said all: other names in it ("prompt", "context", "answer") belong to the rest.
2. Blank values are passed over, and equal values are one value.
3. Different values are ambiguous.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any, NamedTuple

from midb_ray.formats.names import FIELDS, IDS, LANGUAGES, SOURCE_IDS, Field, Side, fold, meaning
from midb_ray.formats.records import Fields, RowError, keys_found, shown


class Columns(NamedTuple):
    """The keys of each field: several where they mean the same, none where the field is absent.

    Of several ids or languages the first is the field, and the others stay in the rest.
    """

    instruction: tuple[str, ...]
    input: tuple[str, ...]
    response: tuple[str, ...]
    ids: tuple[str, ...]
    source_ids: tuple[str, ...]
    languages: tuple[str, ...]
    rest: tuple[str, ...]


@lru_cache(maxsize=256)
def columns(keys: tuple[str, ...], side: Side = "") -> Columns:
    """The columns of one side of a pair in a row with `keys`; what belongs to the other side is in the rest."""
    folded = [(key, fold(key)) for key in keys]
    named = {field: _named(folded, field, side, own_only=True) for field in FIELDS}
    if not all(named.values()):
        named = {field: _named(folded, field, side, own_only=False) for field in FIELDS}
    ids, source_ids = _ranked(folded, IDS), _ranked(folded, SOURCE_IDS)
    languages = _ranked(folded, LANGUAGES)
    taken = {*named["instruction"], *named["input"], *named["response"], *ids[:1], *source_ids[:1], *languages[:1]}
    rest = tuple(key for key in keys if key not in taken)
    return Columns(named["instruction"], named["input"], named["response"], ids, source_ids, languages, rest)


def named_fields(row: dict[str, Any], side: Side = "") -> Fields:
    """The fields of one side of the pair in `row`. Raises `RowError` when one is missing or ambiguous."""
    found = columns(tuple(row), side)
    return Fields(
        required(row, "instruction", found.instruction),
        value(row, "input", found.input),
        required(row, "response", found.response),
        row[found.ids[0]] if found.ids else None,
        row[found.source_ids[0]] if found.source_ids else None,
        {key: row[key] for key in found.languages} if found.languages else {},
        {key: row[key] for key in found.rest} if found.rest else {},
    )


def required(row: dict[str, Any], field: Field, keys: Sequence[str]) -> Any:
    """The value under `keys`. Raises `RowError` when there are none."""
    if not keys:
        raise RowError(f"missing_{field}", keys_found(row))
    return value(row, field, keys)


def value(row: dict[str, Any], field: Field, keys: Sequence[str]) -> Any:
    """The one value under `keys`, None without keys. Raises `RowError` when they disagree."""
    if len(keys) == 1:
        return row[keys[0]]
    said = {key: row[key] for key in keys if not blank(row[key])}
    if len({repr(one) for one in said.values()}) > 1:
        named = ", ".join(f"{shown(key, 40)} is {shown(one, 30)}" for key, one in said.items())
        raise RowError("ambiguous_field", f"several keys mean the {field}: {named}")
    return next(iter(said.values()), None)


def blank(text: object) -> bool:
    """Whether a value says nothing: null, or a string without anything visible."""
    return text is None or (isinstance(text, str) and (not text or text.isspace()))


def _named(folded: list[tuple[str, str]], field: Field, side: Side, own_only: bool) -> tuple[str, ...]:
    keys = []
    for key, name in folded:
        found = meaning(name)
        if found and found.field == field and found.side == side and (found.own or not own_only):
            keys.append(key)
    return tuple(keys)


def _ranked(folded: list[tuple[str, str]], names: Sequence[str]) -> tuple[str, ...]:
    """The keys with one of `names`, in the order of `names`."""
    return tuple(key for wanted in names for key, name in folded if name == wanted)
