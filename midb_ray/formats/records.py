"""What goes into a reader, what comes out of a format, and why a row is turned down."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from midb_ray.pairs import DeadLetter, Pair, Turn

REASONS: dict[str, str] = {
    "invalid_encoding": "the row is not valid UTF-8; no other encoding is guessed",
    "invalid_json": "the row is not a JSON value, or breaks off in the middle of one",
    "unreadable_json": "the row is nested too deeply or holds a number too long to be read",
    "not_an_object": "the row is a JSON value, but not an object with fields",
    "duplicate_key": "a JSON object in the row has the same key twice with different values",
    "ambiguous_field": "several keys of the row mean the same field and their values differ",
    "missing_instruction": "no key of the row means the instruction",
    "missing_response": "no key of the row means the response",
    "empty_instruction": "the instruction is null or blank",
    "empty_response": "the response is null or blank",
    "number_out_of_range": "the instruction or the response is infinite: a number too large to be read, or Infinity",
    "wrong_type": "a field holds a list, an object or binary data where text is expected",
    "multi_turn": "a preference or a revision is about a conversation of several turns",
    "turn_order": "no answer of the conversation stands right behind a question",
    "unknown_role": "a turn of the conversation belongs to neither user, assistant, system nor tool",
    "unknown_language": "the language is not given and cannot be told, or is not among those known",
    "missing_revision": "the revised instruction or the revised response is missing or blank",
    "truncated_file": "the file breaks off; what it held further on is not known",
    "damaged_file": "the part of the file that holds the row is damaged and cannot be decoded",
    "unknown_kind": "a kind of revision is neither content, translation nor localisation",
}
"""Why a row becomes a dead letter: reason code to meaning."""

_LONGEST_DETAIL = 300


class Record(NamedTuple):
    """One input row as it stood in the file.

    `row` is "<file>:<position>" and unique, `file` the name as the user gave it. `line` counts from 1, `offset` is in
    bytes. `raw` is the row's bytes, or a row that its container has parsed already (Parquet), or the error that stands in
    the row's place because the container is damaged there.
    """

    row: str
    file: str
    line: int | None
    offset: int | None
    raw: bytes | dict[str, Any] | Exception


class Exchange(NamedTuple):
    """A question and its answer in a conversation of several turns, with the values as they stand there. `place` is that of the
    answer among the turns, from 0, and `context` what was said before the question."""

    place: int
    instruction: Any
    input: Any
    response: Any
    context: list[Turn]


class Fields(NamedTuple):
    """What a format finds in one row, with the values as they stand there: text, null, numbers, or anything wrong.

    `languages` are the values of all keys that name the language, by key, the most trustworthy first. `rest` is what
    belongs to no field, and `repairs` what an earlier run noted. The next three are the columns of a turn that an earlier run has
    read from a conversation. A conversation of several turns has `exchanges`, whose texts count instead of those of the fields.
    """

    instruction: Any
    input: Any
    response: Any
    id: Any
    source_id: Any
    languages: dict[str, Any]
    rest: dict[str, Any]
    repairs: tuple[str, ...] = ()
    source_row: str | None = None
    turn: int | None = None
    context: str | None = None
    exchanges: Sequence[Exchange] = ()


class Revised(NamedTuple):
    """The fields of a raw pair and what an expert made of it; `kinds` as it stands in the row."""

    fields: Fields
    instruction: Any
    input: Any
    response: Any
    kinds: Any


class RowError(Exception):
    """The row cannot become a pair. `reason` is a key of `REASONS`, `detail` one line for a person."""

    def __init__(self, reason: str, detail: str) -> None:
        assert reason in REASONS, reason
        super().__init__(f"{reason}: {detail}")
        self.reason = reason
        self.detail = detail


def dead_letter(record: Record, raw: bytes, error: RowError) -> DeadLetter:
    """The dead letter of a record whose bytes are `raw`; the detail becomes one writable line of bounded length."""
    line = " ".join(error.detail.encode("utf-8", "backslashreplace").decode("utf-8").replace("\0", "\\0").split())
    detail = line if len(line) <= _LONGEST_DETAIL else line[: _LONGEST_DETAIL - 1] + "…"
    return DeadLetter(record.row, record.file, record.line, record.offset, error.reason, detail, raw)


def row_of(pair: Pair, texts: dict[str, Any]) -> dict[str, Any]:
    """An output row: `texts`, the ids that are given, the language, and the rest of the row that the pair came from.

    What of the rest has the name of a field stays apart, under `extra`.
    """
    named = {"id": pair.id, "source_id": pair.source_id, "language": pair.language}
    row = {**texts, **{name: one for name, one in named.items() if one is not None}}
    rest: dict[str, Any] = json.loads(pair.extra) if pair.extra else {}
    apart = {key: one for key, one in rest.items() if key in row}
    if apart and "extra" in rest:
        apart["extra"] = rest["extra"]
    return {**rest, **row, "extra": apart} if apart else {**row, **rest}


def shown(value: object, longest: int = 60) -> str:
    """`value` as it may stand in a detail: on one line and not longer than `longest`."""
    try:
        text = repr(value[:longest] if isinstance(value, (str, bytes, list)) else value)
    except RecursionError:
        text = "something nested deeply"
    return text if len(text) <= longest else text[: longest - 1] + "…"


def keys_found(keys: Iterable[object]) -> str:
    """The clause of a detail that shows the keys of a row."""
    keys = list(keys)
    named = ", ".join(shown(key, 40) for key in keys[:8])
    more = f" and {len(keys) - 8} more" if len(keys) > 8 else ""
    return f"keys found: {named}{more}" if keys else "the row has no keys"
