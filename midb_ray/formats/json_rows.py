"""JSON in and out of rows: strict where leniency would lose data, lenient where a person would expect it.

- Bytes are UTF-8 or nothing; a byte order mark and any line end are allowed.
- Control characters may stand unescaped in strings: their meaning is not in doubt.
- A key that stands twice in one object is allowed only with the same value: "the last one wins" would lose the first.
- NaN and Infinity, which Python writes and JSON does not know, are read; on the way out they become null.
"""

from __future__ import annotations

import base64
import datetime
import json
import math
import re
from typing import Any

from midb_ray.formats.records import RowError, shown


def parse(raw: bytes) -> dict[str, Any]:
    """The JSON object in `raw`. Raises `RowError`, whatever the bytes are."""
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError as error:
        raise RowError("invalid_encoding", _encoding_detail(raw, error)) from None
    if text[:1] == "\ufeff":
        text = text[1:]
    try:
        row = _DECODER.decode(text)
    except json.JSONDecodeError as error:
        raise RowError("invalid_json", _json_detail(text, error)) from None
    except RecursionError:
        raise RowError("unreadable_json", "the row is nested too deeply") from None
    except ValueError as error:  # Python refuses integers of more than some thousand digits
        raise RowError("unreadable_json", str(error)) from None
    if not isinstance(row, dict):
        raise RowError("not_an_object", f"expected an object with fields, found {type_name(row)} {shown(row)}")
    return row


def to_bytes(row: dict[str, Any]) -> bytes:
    """A parsed row as JSON bytes: what its dead letter shows."""
    return to_json(row)[0].encode("utf-8")


def to_json(value: Any) -> tuple[str, bool]:
    """`value` as compact JSON that can be written as UTF-8, and whether nothing had to be replaced by null for it.

    Lone surrogates stay, as escapes. Types that only Parquet knows become text: dates in ISO 8601, binary data as UTF-8
    or else base64.
    """
    try:
        return escaped(_ENCODER.encode(value)), True
    except (ValueError, TypeError):
        plain, exact = _plain(value)
        return escaped(_ENCODER.encode(plain)), exact


def escaped(text: str) -> str:
    """JSON text with every lone surrogate in its strings written as an escape."""
    if text.isascii():
        return text
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return _SURROGATE.sub(lambda match: f"\\u{ord(match[0]):04x}", text)
    return text


def type_name(value: object) -> str:
    """The type of a parsed value in JSON's own words."""
    if value is None:
        return "null"
    for types, name in ((bool, "a boolean"), ((int, float), "a number"), (str, "a string"), (dict, "an object")):
        if isinstance(value, types):
            return name
    return "a list" if isinstance(value, (list, tuple)) else type(value).__name__


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """A JSON object from its keys and values. Raises `RowError` for a key with two values."""
    values = dict(pairs)
    if len(values) != len(pairs):
        for key, value in pairs:
            if repr(values[key]) != repr(value):
                raise RowError("duplicate_key", f"the key {shown(key)} stands twice with different values")
    return values


def _plain(value: Any) -> tuple[Any, bool]:
    """`value` with null for every NaN and infinity and with text for every key, and whether no number was replaced."""
    if isinstance(value, float) and not math.isfinite(value):
        return None, False
    if isinstance(value, dict):
        inner = {key if isinstance(key, str) else str(key): _plain(one) for key, one in value.items()}
        return {key: one for key, (one, _) in inner.items()}, all(exact for _, exact in inner.values())
    if isinstance(value, (list, tuple)):
        items = [_plain(one) for one in value]
        return [one for one, _ in items], all(exact for _, exact in items)
    return value, True


def _encoding_detail(raw: bytes, error: UnicodeDecodeError) -> str:
    known = next((name for mark, name in _MARKS if raw.startswith(mark)), None)
    hint = f"; the row begins like {known}, convert the file to UTF-8" if known else ""
    return f"byte 0x{raw[error.start]:02x} at position {error.start} of the row is not UTF-8{hint}"


def _json_detail(text: str, error: json.JSONDecodeError) -> str:
    if not text.strip():
        return "the row is blank"
    near = text[max(0, error.pos - 20) : error.pos + 20]
    problem = error.msg.removesuffix(" at")  # "Unterminated string starting at"
    return f"{problem} at character {error.pos} of {len(text)}, near {shown(near)}"


def _default(value: object) -> object:
    if isinstance(value, (bytes, bytearray, memoryview)):
        data = bytes(value)
        try:
            return data.decode("utf-8")
        except UnicodeDecodeError:
            return base64.b64encode(data).decode("ascii")
    if isinstance(value, (datetime.date, datetime.time)):
        return value.isoformat()
    return str(value)


_SURROGATE = re.compile("[\ud800-\udfff]")
_MARKS = ((b"\xff\xfe", "UTF-16"), (b"\xfe\xff", "UTF-16"), (b"\x1f\x8b", "gzip"), (b"\x28\xb5\x2f\xfd", "zstd"))
_DECODER = json.JSONDecoder(object_pairs_hook=_object, strict=False)
_ENCODER = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":"), default=_default)
