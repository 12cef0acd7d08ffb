"""What a pair, a revision, a boosted pair and a dead letter are: the words that everything else speaks.

All text columns are `large_string`: one shard may hold a few hundred rows of many megabytes each, and the 32-bit
offsets of `string` would overflow.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, Final, Literal, NamedTuple

import pyarrow as pa
import pyarrow.compute as pc

TEXT = pa.large_string()
TEXTS = pa.list_(pa.field("item", TEXT))

Decision = Literal["boosted", "unchanged", "kept_original", "skipped"]
DECISIONS: tuple[Decision, ...] = ("boosted", "unchanged", "kept_original", "skipped")

Kind = Literal["content", "translation", "localisation"]
KINDS: tuple[Kind, ...] = ("content", "translation", "localisation")

SCORES = (*KINDS, "overall")
"""The columns with scores, 0 to 100."""

UNJUDGED, UNMEASURED = "unjudged", "unmeasured"
"""Reasons, beside the kinds of findings, of a pair for which a judge was asked and gave no verdict, or that a model was to measure
and did not."""
LACKING = {UNJUDGED: "judge_error", UNMEASURED: "measure_error"}
"""The columns that say why."""


class Pair(NamedTuple):
    """One instruction pair as read from a corpus.

    `row` is file and position and unique by construction; `id` and `source_id` are the user's own and may be absent or
    repeated. `language` is a BCP-47 tag known to `locales`. `repairs` names what the reader had to mend in the text
    (lone surrogates, NUL bytes); `extra` is the untouched rest of the input row as JSON.

    The last three are those of a turn in a conversation and None for a pair by itself: `source_row` is the conversation's row,
    `turn` counts its pairs from 1, and `context` is what was said before, as `told` writes it; `row` is `turn_row` of these two.
    """

    row: str
    id: str | None
    source_id: str | None
    language: str
    instruction: str
    input: str
    response: str
    repairs: tuple[str, ...] = ()
    extra: str | None = None
    source_row: str | None = None
    turn: int | None = None
    context: str | None = None


class Revision(NamedTuple):
    """A raw pair and what an expert made of it."""

    pair: Pair
    instruction: str
    input: str
    response: str
    kinds: tuple[str, ...] = ()


class DeadLetter(NamedTuple):
    """An input row that could not become a pair, kept whole: `raw` is its bytes as they stood in the file.

    `line` counts from 1 and `offset` is in bytes; both are None for formats without lines.
    """

    row: str
    file: str
    line: int | None
    offset: int | None
    reason: str
    detail: str
    raw: bytes


class Turn(NamedTuple):
    """What one speaker of a conversation said: `role` is user, assistant, system, or whatever else the row calls a speaker."""

    role: str
    content: str


class Text(NamedTuple):
    """The three texts of a pair, raw or revised: what prompts render and answers parse to."""

    instruction: str
    input: str
    response: str


_TURN: Final = (pa.field("source_row", TEXT), pa.field("turn", pa.int32()), pa.field("context", TEXT))

TURN_COLUMNS: Final = tuple(field.name for field in _TURN)
"""The columns of a pair that is a turn of a conversation. Null for all others, and not there at all in files of before."""

PAIR_SCHEMA = pa.schema(
    [
        pa.field("row", TEXT, nullable=False),
        pa.field("id", TEXT),
        pa.field("source_id", TEXT),
        pa.field("language", TEXT, nullable=False),
        pa.field("instruction", TEXT, nullable=False),
        pa.field("input", TEXT, nullable=False),
        pa.field("response", TEXT, nullable=False),
        pa.field("repairs", TEXTS, nullable=False),
        pa.field("extra", TEXT),
        *_TURN,
    ]
)

DEAD_LETTER_SCHEMA = pa.schema(
    [
        pa.field("row", TEXT, nullable=False),
        pa.field("file", TEXT, nullable=False),
        pa.field("line", pa.int64()),
        pa.field("offset", pa.int64()),
        pa.field("reason", TEXT, nullable=False),
        pa.field("detail", TEXT, nullable=False),
        pa.field("raw", pa.large_binary(), nullable=False),
    ]
)

# An output row: a pair, what it was, and why it is now what it is. `distance` (characters) is null where no answer was
# judged; token counts are null where an engine does not count.
BOOSTED_SCHEMA = pa.schema(
    [
        pa.field("row", TEXT, nullable=False),
        pa.field("id", TEXT),
        pa.field("source_id", TEXT),
        pa.field("language", TEXT, nullable=False),
        pa.field("instruction", TEXT, nullable=False),
        pa.field("input", TEXT, nullable=False),
        pa.field("response", TEXT, nullable=False),
        pa.field("raw_instruction", TEXT, nullable=False),
        pa.field("raw_input", TEXT, nullable=False),
        pa.field("raw_response", TEXT, nullable=False),
        pa.field("decision", TEXT, nullable=False),
        pa.field("reasons", TEXTS, nullable=False),
        pa.field("distance", pa.int32()),
        pa.field("prompt_tokens", pa.int32()),
        pa.field("answer_tokens", pa.int32()),
        pa.field("repairs", TEXTS, nullable=False),
        pa.field("extra", TEXT),
        *_TURN,
    ]
)

# A row of a training set: a raw pair and the revised one, in the form of our own that `formats.revisions` reads. `distance` is in
# characters, 0 where nothing is to be changed.
REVISION_SCHEMA = pa.schema(
    [
        pa.field("row", TEXT, nullable=False),
        pa.field("id", TEXT),
        pa.field("source_id", TEXT),
        pa.field("language", TEXT, nullable=False),
        pa.field("raw_instruction", TEXT, nullable=False),
        pa.field("raw_input", TEXT, nullable=False),
        pa.field("raw_response", TEXT, nullable=False),
        pa.field("instruction", TEXT, nullable=False),
        pa.field("input", TEXT, nullable=False),
        pa.field("response", TEXT, nullable=False),
        pa.field("kinds", TEXTS, nullable=False),
        pa.field("distance", pa.int32(), nullable=False),
    ]
)


def turn_row(source_row: str, turn: int) -> str:
    """The `row` of a turn: that of its conversation and the turn's number behind a sharp, such as `corpus.jsonl:12#2`."""
    return f"{source_row}#{turn}"


def rows_in(pairs: pa.Table) -> int:
    """How many rows of the input these pairs were read from: turns of a conversation, whose `row` ends with `#` and a number, come
    from the same row as the first of them."""
    rows = pairs.column("row")
    turns = pc.sum(pc.match_substring_regex(rows, r"#\d+$")).as_py() or 0
    firsts = pc.sum(pc.ends_with(rows, "#1")).as_py() or 0
    return int(pairs.num_rows - turns + firsts)


def told(turns: Sequence[Turn]) -> str | None:
    """The column `context`: a JSON list of objects with role and content; None where nothing was said."""
    return json.dumps([turn._asdict() for turn in turns], ensure_ascii=False) if turns else None


def heard(context: str | None) -> list[Turn]:
    """The inverse of `told`; nothing where a column that somebody else wrote is no such list."""
    if context is None:
        return []
    try:
        found = json.loads(context)
    except (RecursionError, ValueError):
        return []
    if not isinstance(found, list):
        return []
    known = [one for one in found if isinstance(one, dict)]
    turns = [Turn(one.get("role"), one.get("content")) for one in known]  # type: ignore[arg-type]
    return turns if len(known) == len(found) and all(isinstance(text, str) for turn in turns for text in turn) else []


def writable(text: str) -> str:
    """A text that Parquet and tokenizers take: halves of characters that stand together become the one they mean, halves alone,
    which escapes in JSON smuggle in, U+FFFD."""
    return text if text.isascii() else text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")


def pairs_to_table(pairs: list[Pair]) -> pa.Table:
    """A table with `PAIR_SCHEMA`, one row per pair, built column by column (several times faster than row by row)."""
    return rows_to_table(pairs, PAIR_SCHEMA)


def rows_to_table(rows: list[Any], schema: pa.Schema) -> pa.Table:
    """A table with `schema` from tuples whose fields stand in the order of the schema's columns."""
    columns = list(zip(*rows, strict=True)) if rows else [()] * len(schema)
    return pa.Table.from_arrays(
        [pa.array(column, type=field.type) for column, field in zip(columns, schema, strict=True)], schema=schema
    )


def table_to_pairs(table: pa.Table) -> list[Pair]:
    """The inverse of `pairs_to_table`; columns are found by name."""
    columns = [table.column(name).to_pylist() for name in PAIR_SCHEMA.names]
    repairs = PAIR_SCHEMA.names.index("repairs")
    columns[repairs] = [tuple(names) for names in columns[repairs]]
    return [Pair(*values) for values in zip(*columns, strict=True)]
