"""The row in flight: one shard per row, its pairs, dead letters and requests as lists of structs.

Lists are built around whole columns, so packing and unpacking copy nothing that Arrow already holds.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import pyarrow as pa

from midb_ray.engines.base import Request
from midb_ray.pairs import (
    DEAD_LETTER_SCHEMA,
    PAIR_SCHEMA,
    TEXT,
    DeadLetter,
    Pair,
    pairs_to_table,
    rows_to_table,
)

_REQUEST_SCHEMA = pa.schema(
    [pa.field("text", TEXT), pa.field("ids", pa.large_list(pa.int32())), pa.field("limit", pa.int32(), nullable=False)]
)
_NOT_SENT = Request(None, None, 0)


class Flight(NamedTuple):
    """A shard on its way to an engine. `pairs` have `PAIR_SCHEMA` and stay a table: most of their columns go to the output as
    they are. `requests` stand beside them; None is a pair that must not reach the engine."""

    shard: int
    pairs: pa.Table
    dead_letters: pa.Table
    requests: list[Request | None]


def pack(shard: int, pairs: Sequence[Pair], dead: Sequence[DeadLetter], requests: Sequence[Request | None]) -> pa.Table:
    """One row. `requests[i]` belongs to `pairs[i]`."""
    sent = [_NOT_SENT if request is None else request for request in requests]
    return pa.table(
        {
            "shard": pa.array([shard], pa.int64()),
            "pairs": _folded(pairs_to_table(list(pairs))),
            "dead_letters": _folded(rows_to_table(list(dead), DEAD_LETTER_SCHEMA)),
            "requests": _folded(rows_to_table(sent, _REQUEST_SCHEMA)),
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
    )


def rows(row: pa.Table) -> int:
    """How many rows of the input a packed shard stands for."""
    return sum(len(row.column(name)[0].values) for name in ("pairs", "dead_letters"))


def _folded(table: pa.Table) -> pa.Array:
    table = table.combine_chunks()
    columns = [column.chunk(0) if column.num_chunks else pa.array([], column.type) for column in table.columns]
    structs = pa.StructArray.from_arrays(columns, fields=list(table.schema))
    return pa.LargeListArray.from_arrays(pa.array([0, table.num_rows], pa.int64()), structs)


def _unfolded(column: pa.ChunkedArray, schema: pa.Schema) -> pa.Table:
    structs = column.combine_chunks().flatten() if column.num_chunks != 1 else column.chunk(0).flatten()
    return pa.Table.from_arrays([structs.field(index) for index in range(len(schema))], schema=schema)
