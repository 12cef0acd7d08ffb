"""The row in flight: one shard per row, its pairs, dead letters, questions to the engine and finished rows as lists of structs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Any, NamedTuple

import pyarrow as pa

from midb_ray.engines.base import Comparison, Continuation, Likelihood, Request, Similarity
from midb_ray.engines.bundles import flat, nested
from midb_ray.pairs import (
    BOOSTED_SCHEMA,
    DEAD_LETTER_SCHEMA,
    TEXT,
    DeadLetter,
    Pair,
    pairs_to_table,
    rows_in,
    rows_to_table,
)

FINISHED_SCHEMA = BOOSTED_SCHEMA.append(pa.field("place", pa.int32(), nullable=False))
"""Output rows, and where each stands among all rows that come out of the shard."""
NOTHING_FINISHED = FINISHED_SCHEMA.empty_table()
_REQUEST_SCHEMA = pa.schema(
    [
        pa.field("text", TEXT),
        pa.field("ids", pa.large_list(pa.int32())),
        pa.field("limit", pa.int32(), nullable=False),
        pa.field("sample", pa.int32(), nullable=False),
    ]
)
_NOT_SENT = Request(None, None, 0)
_CONTINUATION_SCHEMA = pa.schema(
    [
        pa.field("prompt", pa.large_list(pa.int32()), nullable=False),
        pa.field("ids", pa.large_list(pa.int32()), nullable=False),
    ]
)
_NOT_MEASURED = Continuation((), ())
_COMPARISON_SCHEMA = pa.schema([pa.field("one", TEXT), pa.field("other", TEXT)])
_NOT_COMPARED: tuple[None, None] = (None, None)
_NOTHING_ADDED: Mapping[str, pa.Array] = MappingProxyType({})


class Flight(NamedTuple):
    """A shard on its way to an engine.

    `pairs` have `PAIR_SCHEMA`, and behind it what the capability has found out about them by now; they stay a table: most of their
    columns go to the output as they are. `requests` stand beside them, as many for each pair, one pair's together; None is a pair
    that must not reach the engine. So do `continuations`, texts that the engine is to measure, and `comparisons`, texts that it is
    to compare; once it has, `likelihoods` and `similarities` are what it found, None where there was nothing to ask. `finished` are
    rows of the shard that need no engine, with `FINISHED_SCHEMA`.
    """

    shard: int
    pairs: pa.Table
    dead_letters: pa.Table
    requests: list[Request | None]
    finished: pa.Table = NOTHING_FINISHED
    continuations: Sequence[Continuation | None] = ()
    likelihoods: Sequence[Likelihood | None] = ()
    comparisons: Sequence[Comparison | None] = ()
    similarities: Sequence[Similarity | None] = ()

    @property
    def sent(self) -> int:
        """How many questions reach the engine, equal ones included."""
        return sum(one is not None for one in (*self.requests, *self.continuations, *self.comparisons))


def pack(
    shard: int,
    pairs: Sequence[Pair],
    dead: Sequence[DeadLetter],
    requests: Sequence[Request | None],
    finished: pa.Table = NOTHING_FINISHED,
    added: Mapping[str, pa.Array] = _NOTHING_ADDED,
    continuations: Sequence[Continuation | None] = (),
    comparisons: Sequence[Comparison | None] = (),
) -> pa.Table:
    """One row; see `Flight`. `added` are the columns of `pairs` behind `PAIR_SCHEMA`."""
    table = pairs_to_table(list(pairs))
    for name, column in added.items():
        table = table.append_column(name, column)
    sent = [_NOT_SENT if request is None else request for request in requests]
    measured = [_NOT_MEASURED if continuation is None else continuation for continuation in continuations]
    compared = [_NOT_COMPARED if comparison is None else comparison for comparison in comparisons]
    return pa.table(
        {
            "shard": pa.array([shard], pa.int64()),
            "pairs": nested(table),
            "dead_letters": nested(rows_to_table(list(dead), DEAD_LETTER_SCHEMA)),
            "requests": nested(rows_to_table(sent, _REQUEST_SCHEMA)),
            "continuations": nested(rows_to_table(measured, _CONTINUATION_SCHEMA)),
            "comparisons": nested(rows_to_table(compared, _COMPARISON_SCHEMA)),
            "finished": nested(finished),
        }
    )


def unpack(row: pa.Table) -> Flight:
    """The inverse of `pack`, for a table of exactly one row."""
    requests, texts, both = (_values(row, name) for name in ("requests", "continuations", "comparisons"))
    return Flight(
        shard=row.column("shard")[0].as_py(),
        pairs=flat(row.column("pairs")),
        dead_letters=flat(row.column("dead_letters")),
        requests=[Request(*values) if values[2] else None for values in requests],
        finished=flat(row.column("finished")),
        continuations=[Continuation(*values) if values[1] else None for values in texts],
        comparisons=[None if values[0] is None else Comparison(*values) for values in both],
    )


def _values(row: pa.Table, name: str) -> Iterator[tuple[Any, ...]]:
    """The rows of a nested table, as values in the order of its columns."""
    return zip(*(column.to_pylist() for column in flat(row.column(name)).columns), strict=True)


def rows(row: pa.Table) -> int:
    """How many rows of the input a packed shard stands for."""
    pairs = sum(rows_in(flat(row.column(name))) for name in ("pairs", "finished"))
    return pairs + len(row.column("dead_letters")[0].values)
