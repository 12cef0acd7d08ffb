"""The rules for texts, in whatever format they stand.

- null means empty. Numbers and booleans become the text that JSON writes for them, which is noted.
- Lists, objects and binary data are never text. An instruction or a response without anything visible is empty.
- NUL bytes are removed and lone surrogates replaced by U+FFFD, for Parquet and tokenizers take neither; both are noted.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from midb_ray.formats import json_rows
from midb_ray.formats.columns import blank
from midb_ray.formats.records import RowError, shown
from midb_ray.pairs import Text, Turn, writable


def texts(instruction: Any, given: Any, response: Any, repairs: list[str]) -> Text:
    """The texts of a pair; adds to `repairs` what had to be mended. Raises `RowError` where one is no text or says nothing."""
    found = Text(
        text("instruction", instruction, repairs), text("input", given, repairs), text("response", response, repairs)
    )
    for name, one, value in (("instruction", found.instruction, instruction), ("response", found.response, response)):
        if blank(one):
            refuse_infinity(name, value)
            raise RowError(f"empty_{name}", f"the {name} is {shown(value)}")
    return found


def repaired(turns: Sequence[Turn]) -> list[Turn]:
    """What was said, as text that Parquet and tokenizers take."""
    return [Turn(text("role", turn.role, []), text("content", turn.content, [])) for turn in turns]


def text(name: str, value: Any, repairs: list[str]) -> str:
    """`value` as text that Parquet and tokenizers take; adds to `repairs` what had to be mended. Raises `RowError`."""
    if not isinstance(value, str):
        value = _as_text(name, value, repairs)
    if "\0" in value:
        value = value.replace("\0", "")
        repairs.append(f"{name}: NUL removed")
    if not value.isascii():
        try:
            value.encode("utf-8")
        except UnicodeEncodeError:
            value = writable(value)
            repairs.append(f"{name}: lone surrogate replaced")
    return str(value)


def _as_text(name: str, value: Any, repairs: list[str]) -> str:
    if value is None:
        return ""
    if isinstance(value, float) and not math.isfinite(value):
        repairs.append(f"{name}: NaN or Infinity read as null")
        return ""
    if isinstance(value, (bool, int, float)):
        repairs.append(f"{name}: {json_rows.type_name(value).split()[-1]} written as text")
        return json_rows.to_json(value)[0]
    raise RowError("wrong_type", f"the {name} is {json_rows.type_name(value)}, expected text; found {shown(value)}")


def refuse_infinity(name: str, value: Any) -> None:
    """A text that is empty because JSON's reader made infinity of its number (1e400) is not called empty."""
    if isinstance(value, float) and math.isinf(value):
        raise RowError("number_out_of_range", f"the {name} is infinite: a number too large to be read, or Infinity")


def identifier(name: str, value: Any, repairs: list[str]) -> str | None:
    """An id as it stands: strings as they are, other values as their JSON text."""
    if value is None:
        return None
    return text(name, value if isinstance(value, str) else json_rows.to_json(value)[0], repairs)
