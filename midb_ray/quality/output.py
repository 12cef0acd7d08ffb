"""The rows that scoring writes: the pair as it was read, its scores, and the findings behind them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import pyarrow as pa

from midb_ray.pairs import PAIR_SCHEMA, TEXT
from midb_ray.quality.findings import Finding
from midb_ray.quality.scores import Scores
from midb_ray.runs.figures import Figures

FINDING: Final = pa.struct(
    [
        pa.field("kind", TEXT, nullable=False),
        pa.field("section", TEXT, nullable=False),
        pa.field("start", pa.int32(), nullable=False),
        pa.field("end", pa.int32(), nullable=False),
        pa.field("text", TEXT, nullable=False),
        pa.field("suggestion", TEXT),
    ]
)
"""A `Finding`, field by field."""

_SCORES: Final = pa.schema(
    [
        pa.field("content", pa.float32(), nullable=False),
        pa.field("translation", pa.float32(), nullable=False),
        pa.field("localisation", pa.float32(), nullable=False),
        pa.field("overall", pa.float32(), nullable=False),
        pa.field("has_source", pa.bool_(), nullable=False),
        pa.field("findings", pa.list_(pa.field("item", FINDING)), nullable=False),
    ]
)

SCORED_SCHEMA: Final = pa.schema([*PAIR_SCHEMA, *_SCORES])
"""An output row: a pair as it was read, its scores (0 to 100), whether it was compared with its source, and its findings."""

SOUND, FLAWED = "sound", "flawed"
"""The decisions of scoring: whether anything was found in a pair."""


def columns(
    scores: Sequence[Scores], has_source: Sequence[bool], findings: Sequence[Sequence[Finding]]
) -> dict[str, pa.Array]:
    """The columns behind the pair."""
    values = [
        [one.content for one in scores],
        [one.translation for one in scores],
        [one.localisation for one in scores],
        [one.overall for one in scores],
        list(has_source),
        [[one._asdict() for one in found] for found in findings],
    ]
    return {field.name: pa.array(column, type=field.type) for field, column in zip(_SCORES, values, strict=True)}


def rows(pairs: pa.Table) -> pa.Table:
    """A flight's pairs, with the columns of scoring, as `SCORED_SCHEMA`."""
    if not pairs.num_rows:
        return SCORED_SCHEMA.empty_table()
    return pairs.select(SCORED_SCHEMA.names).cast(SCORED_SCHEMA)


def figures(table: pa.Table, dead: pa.Table) -> Figures:
    """The counts of a shard: pairs by language, sound or flawed, and the kinds of findings as reasons."""
    found = Figures(rows_in=table.num_rows + dead.num_rows)
    findings = table.column("findings").to_pylist()
    for language, some in zip(table.column("language").to_pylist(), findings, strict=True):
        found.count(language, FLAWED if some else SOUND, tuple(sorted({one["kind"] for one in some})))
    found.dead_letters = dead.num_rows
    found.dead_letter_reasons.update(dead.column("reason").to_pylist())
    return found
