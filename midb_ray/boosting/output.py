"""The rows that come out of a shard: judged pairs, pairs that the gate left alone, and those that an earlier run has finished."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from midb_ray.boosting.guard import Verdict
from midb_ray.engines.base import Completion, Request
from midb_ray.engines.flight import FINISHED_SCHEMA
from midb_ray.pairs import BOOSTED_SCHEMA, TURN_COLUMNS, Pair, Text, pairs_to_table
from midb_ray.runs.figures import Figures

_UNTOUCHED = ("row", "id", "source_id", "language", "repairs", "extra", *TURN_COLUMNS)


def judged(
    pairs: pa.Table, verdicts: Sequence[Verdict], prompts: list[int | None], answers: list[int | None]
) -> pa.Table:
    """The rows of pairs that were judged, with their counts of tokens. Columns that nothing changes are those of `pairs`."""
    decisions, reasons, final, distances = zip(*verdicts, strict=True) if verdicts else ((), (), (), ())
    return _table(
        pairs,
        {
            **dict(zip(Text._fields, zip(*final, strict=True) if final else ((), (), ()), strict=True)),
            "decision": decisions,
            "reasons": reasons,
            "distance": distances,
            "prompt_tokens": prompts,
            "answer_tokens": answers,
        },
    )


def skipped(pairs: Sequence[Pair], places: Sequence[int]) -> pa.Table:
    """The rows of pairs that the gate left alone, with `FINISHED_SCHEMA`."""
    table, nothing = pairs_to_table(list(pairs)), [None] * len(pairs)
    rows = _table(
        table,
        {
            **{name: table.column(name) for name in Text._fields},
            "decision": ["skipped"] * len(pairs),
            "reasons": [()] * len(pairs),
            **dict.fromkeys(("distance", "prompt_tokens", "answer_tokens"), nothing),
        },
    )
    return finished(rows, places)


def finished(rows: pa.Table, places: Sequence[int]) -> pa.Table:
    """Rows of `BOOSTED_SCHEMA` as rows of `FINISHED_SCHEMA`."""
    return pa.Table.from_arrays([*rows.columns, pa.array(places, pa.int32())], schema=FINISHED_SCHEMA)


def merged(rows: pa.Table, others: pa.Table) -> pa.Table:
    """`rows` with `others`, which have `FINISHED_SCHEMA`, in the places that these name."""
    if not others.num_rows:
        return rows
    places = others.column("place").to_numpy()
    order = np.full(rows.num_rows + others.num_rows, -1)
    order[places] = rows.num_rows + np.arange(others.num_rows)
    order[order < 0] = np.arange(rows.num_rows)
    return pa.concat_tables([rows, others.drop_columns(["place"])]).take(order)


def tokens(
    requests: Sequence[Request | None], completions: Sequence[Completion | None], samples: int
) -> tuple[list[int | None], list[int | None]]:
    """The tokens of prompts and answers of each pair, over all its samples; None where an engine does not count or was not
    asked."""
    sent = [None if request is None or request.ids is None else len(request.ids) for request in requests]
    got = [None if completion is None else completion.tokens for completion in completions]
    return _summed(sent, samples), _summed(got, samples)


def figures(pairs: pa.Table, verdicts: Sequence[Verdict], others: pa.Table, dead: pa.Table) -> Figures:
    """The counts of a shard but for its tokens: `pairs` were judged, `others` are rows that were finished before, `dead` its dead
    letters."""
    found = Figures.of([pairs, others], dead)
    for language, verdict in zip(pairs.column("language").to_pylist(), verdicts, strict=True):
        found.count(language, verdict.decision, verdict.reasons)
    columns = [others.column(name).to_pylist() for name in ("language", "decision", "reasons")]
    for language, decision, reasons in zip(*columns, strict=True):
        found.count(language, decision, tuple(reasons))
    return found


def _table(pairs: pa.Table, columns: dict[str, Any]) -> pa.Table:
    """The table of `BOOSTED_SCHEMA` from `pairs`, whose texts are the raw ones, and all that was found out about them."""
    columns = {
        **{name: pairs.column(name) for name in _UNTOUCHED},
        **{f"raw_{name}": pairs.column(name) for name in Text._fields},
        **columns,
    }
    arrays = [
        column if isinstance(column, pa.ChunkedArray) else pa.array(column, type=field.type)
        for field in BOOSTED_SCHEMA
        for column in [columns[field.name]]
    ]
    return pa.Table.from_arrays(arrays, schema=BOOSTED_SCHEMA)


def _summed(counts: list[int | None], samples: int) -> list[int | None]:
    if samples == 1:
        return counts
    groups = [counts[start : start + samples] for start in range(0, len(counts), samples)]
    return [
        sum(one for one in group if one is not None) if any(one is not None for one in group) else None
        for group in groups
    ]
