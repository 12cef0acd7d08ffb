"""The row in flight: one shard per row, its pairs, dead letters, requests and finished rows as lists of structs.

Lists are built around whole columns, so packing and unpacking copy nothing that Arrow already holds.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import pyarrow as pa

from midb_ray.engines.base import Request
from midb_ray.pairs import (
    BOOSTED_SCHEMA,
    DEAD_LETTER_SCHEMA,
    PAIR_SCHEMA,
    TEXT,
    DeadLetter,
    Pair,
    pairs_to_table,
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


class Flight(NamedTuple):
    """A shard on its way to an engine. `pairs` have `PAIR_SCHEMA` and stay a table: most of their columns go to the output as
    they are. `requests` stand beside them, as many for each pair, one pair's together; None is a pair that must not reach the
    engine. `finished` are rows of the shard that need no engine, with `FINISHED_SCHEMA`."""

    shard: int
    pairs: pa.Table
    dead_letters: pa.Table
    requests: list[Request | None]
    finished: pa.Table = NOTHING_FINISHED


def pack(
    shard: int,
    pairs: Sequence[Pair],
    dead: Sequence[DeadLetter],
    requests: Sequence[Request | None],
    finished: pa.Table = NOTHING_FINISHED,
) -> pa.Table:
    """One row; see `Flight`."""
    sent = [_NOT_SENT if request is None else request for request in requests]
    return pa.table(
        {
            "shard": pa.array([shard], pa.int64()),
            "pairs": _folded(pairs_to_table(list(pairs))),
            "dead_letters": _folded(rows_to_table(list(dead), DEAD_LETTER_SCHEMA)),
            "requests": _folded(rows_to_table(sent, _REQUEST_SCHEMA)),
            "finished": _folded(finished),
        }
    )


def unpack(row: pa.Table) -> Flight:
    """The inverse of `pack`, for a table of exactly one row."""
    requests = _unfolded(row.column("requests"), _REQUEST_SCHEMA)
    columns = [requests.column(name).to_pylist() for name in _REQUEST_SCHEMA.names]
    return Flight(
        shard=row.column("shard")[0].as_py(),
        pairs=_unfolded(row.column("pairs"), PAIR_SCHEMA),
        dead_letters=_unfolded(row.column("dead_letters"), DEAD_LETTER_SCHEMA),
        requests=[Request(*values) if values[2] else None for values in zip(*columns, strict=True)],
        finished=_unfolded(row.column("finished"), FINISHED_SCHEMA),
    )


def rows(row: pa.Table) -> int:
    """How many rows of the input a packed shard stands for."""
    return sum(len(row.column(name)[0].values) for name in ("pairs", "dead_letters", "finished"))


def _folded(table: pa.Table) -> pa.Array:
    table = table.combine_chunks()
    columns = [column.chunk(0) if column.num_chunks else pa.array([], column.type) for column in table.columns]
    structs = pa.StructArray.from_arrays(columns, fields=list(table.schema))
    return pa.LargeListArray.from_arrays(pa.array([0, table.num_rows], pa.int64()), structs)


def _unfolded(column: pa.ChunkedArray, schema: pa.Schema) -> pa.Table:
    structs = column.combine_chunks().flatten() if column.num_chunks != 1 else column.chunk(0).flatten()
    return pa.Table.from_arrays([structs.field(index) for index in range(len(schema))], schema=schema)
