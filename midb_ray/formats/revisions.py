"""Expert revisions: a raw pair and the revised one side by side in one object.

Two forms: every field with a qualifier ("Raw Instruction" … "Revised Response", also in another language), and our own,
where the revised fields have no qualifier (`raw_instruction` … `instruction` …, `kinds`).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from midb_ray.formats.columns import Columns, columns, named_fields, value
from midb_ray.formats.names import fold
from midb_ray.formats.records import Fields, Revised, RowError, keys_found


def recognises(keys: Sequence[str]) -> bool:
    """Whether rows with `keys` hold a raw instruction and a raw response."""
    found = columns(tuple(keys), "raw")
    return bool(found.instruction and found.response)


def fields(row: dict[str, Any]) -> Fields:
    """The raw pair; the revised one is in the rest. Raises `RowError`."""
    return named_fields(row, "raw")


def revised(row: dict[str, Any]) -> Revised:
    """The raw pair and the revised one. Raises `RowError`, with reason `missing_revision` for a raw pair alone."""
    raw = named_fields(row, "raw")
    found = _revised_columns(tuple(row))
    if not (found.instruction and found.response):
        raise RowError("missing_revision", keys_found(row))
    kinds = [key for key in raw.rest if fold(key) == "kinds"]
    taken = {*found.instruction, *found.input, *found.response, *kinds}
    return Revised(
        raw._replace(rest={key: one for key, one in raw.rest.items() if key not in taken}),
        value(row, "instruction", found.instruction),
        value(row, "input", found.input),
        value(row, "response", found.response),
        row[kinds[0]] if kinds else None,
    )


def _revised_columns(keys: tuple[str, ...]) -> Columns:
    """The columns of the revised pair: those that say so, else those without a qualifier."""
    qualified = columns(keys, "revised")
    return qualified if qualified.instruction or qualified.response else columns(keys, "")
