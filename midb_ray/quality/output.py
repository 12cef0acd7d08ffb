"""The rows that scoring writes: the pair as it was read, its scores, and the findings behind them."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any, Final

import pyarrow as pa
import pyarrow.compute as pc

from midb_ray.pairs import LACKING, PAIR_SCHEMA, SCORES, TEXT, Text, writable
from midb_ray.quality.findings import HINT, KINDS, Finding
from midb_ray.quality.judge import Verdict
from midb_ray.quality.measures import Measures
from midb_ray.quality.scores import Scores, enriched, overall, scores
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
        pa.field("richness", pa.float32(), nullable=False),
        pa.field("has_source", pa.bool_(), nullable=False),
        pa.field("sisters", pa.int32()),
        pa.field("findings", pa.list_(pa.field("item", FINDING)), nullable=False),
    ]
)
_JUDGED: Final = pa.schema(
    [
        pa.field("judge_content", pa.float32()),
        pa.field("judge_translation", pa.float32()),
        pa.field("judge_localisation", pa.float32()),
        pa.field("judge_overall", pa.float32()),
        pa.field("judge_notes", TEXT),
        pa.field("judge_error", TEXT),
    ]
)
_MEASURED: Final = pa.schema(
    [
        pa.field("perplexity", pa.float64()),
        pa.field("ifd", pa.float64()),
        pa.field("explained", pa.float64()),
        pa.field("similarity", pa.float64()),
        pa.field("measure_error", TEXT),
    ]
)

SCORED_SCHEMA: Final = pa.schema([*PAIR_SCHEMA, *_SCORES, *_JUDGED, *_MEASURED])
"""An output row: a pair as it was read; its scores (0 to 100), its richness (0 to 1), whether it was compared with its source, in
how many other languages it has sisters (null where they were not looked for), and its findings; then the judge's scores with flaws
and reasons as JSON, or why there are none; then a model's measures, or why some are missing. All of these are null where no judge
or no model was asked."""

SOUND, FLAWED = "sound", "flawed"
"""The decisions of scoring: whether anything but hints was found in a pair."""


def columns(
    scores: Sequence[Scores],
    richness: Sequence[float],
    sources: Sequence[Text | None],
    sisters: Sequence[int | None],
    findings: Sequence[Sequence[Finding]],
) -> dict[str, pa.Array]:
    """The columns behind the pair."""
    values = [
        [one.content for one in scores],
        [one.translation for one in scores],
        [one.localisation for one in scores],
        [one.overall for one in scores],
        list(richness),
        [source is not None for source in sources],
        list(sisters),
        [[_written(one) for one in found] for found in findings],
    ]
    return {field.name: pa.array(column, type=field.type) for field, column in zip(_SCORES, values, strict=True)}


def _written(finding: Finding) -> dict[str, Any]:
    suggestion = finding.suggestion
    found = finding._replace(
        text=writable(finding.text), suggestion=None if suggestion is None else writable(suggestion)
    )
    return found._asdict()


def rows(
    pairs: pa.Table, judged: Sequence[Verdict | str] | None, measured: Sequence[Measures] | None = None
) -> pa.Table:
    """A flight's pairs, with the columns of scoring, as `SCORED_SCHEMA`. `judged` are a judge's verdicts, or why there is none; the
    lower of signals and judge counts. `measured` is what a model found."""
    if not pairs.num_rows:
        return SCORED_SCHEMA.empty_table()
    found: Sequence[Verdict | str | None] = [None] * pairs.num_rows if judged is None else judged
    verdicts = [one if isinstance(one, Verdict) else None for one in found]
    errors = [one if isinstance(one, str) else None for one in found]
    rich = enriched(pairs.column("content"), pairs.column("richness"))  # a judge says itself how rich a pair is
    is_judged = pa.array([one is not None for one in verdicts], pa.bool_())
    pairs = _with(pairs, "content", pc.cast(pc.if_else(is_judged, pairs.column("content"), rich), pa.float32()))
    for name in SCORES:
        given = pa.array([None if one is None else getattr(one, name) for one in verdicts], pa.float32())
        if name == "overall":
            pairs = _with(pairs, name, overall(*(pairs.column(one) for one in SCORES[:3])))
        pairs = _with(pairs, name, pc.min_element_wise(pairs.column(name), given))
        pairs = pairs.append_column(f"judge_{name}", given)
    notes = pa.array([None if one is None else one.told() for one in verdicts], TEXT)
    pairs = pairs.append_column("judge_notes", notes).append_column("judge_error", pa.array(errors, TEXT))
    columns = zip(*([Measures()] * pairs.num_rows if measured is None else measured), strict=True)
    for field, column in zip(_MEASURED, columns, strict=True):
        pairs = pairs.append_column(field.name, pa.array(column, field.type))
    return pairs.select(SCORED_SCHEMA.names).cast(SCORED_SCHEMA)


def with_findings(pairs: pa.Table, found: Sequence[Finding | None]) -> pa.Table:
    """A flight's pairs, each with one finding more where there is one, and the scores that follow from all of them."""
    if not any(found):
        return pairs
    findings = pairs.column("findings").to_pylist()
    columns = {name: pairs.column(name).to_pylist() for name in Scores._fields}
    for place, one in enumerate(found):
        if one is not None:
            findings[place].append(_written(one))
            worth = scores(Finding(**known) for known in findings[place])
            for name, column in columns.items():
                column[place] = getattr(worth, name)
    for name, column in {**columns, "findings": findings}.items():
        pairs = _with(pairs, name, pa.array(column, SCORED_SCHEMA.field(name).type))
    return pairs


def _with(table: pa.Table, name: str, column: pa.Array) -> pa.Table:
    return table.set_column(table.schema.get_field_index(name), name, column)


def figures(table: pa.Table, dead: pa.Table) -> Figures:
    """The counts of a shard: pairs by language, sound or flawed, and the kinds of findings as reasons."""
    found = Figures.of([table], dead)
    findings = table.column("findings").to_pylist()
    missing = zip(*(pc.is_valid(table.column(column)).to_pylist() for column in LACKING.values()), strict=True)
    for language, some, lacks in zip(table.column("language").to_pylist(), findings, missing, strict=True):
        kinds = sorted({one["kind"] for one in some})
        flawed = any(KINDS[kind].weight > HINT for kind in kinds)
        found.count(language, FLAWED if flawed else SOUND, (*kinds, *itertools.compress(LACKING, lacks)))
    return found
