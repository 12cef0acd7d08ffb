"""Small shards travel together: what Ray spends on one task is as much as ten of these cost here.

A bundle is a table of one row that holds the rows of others. Its shards stay apart in all that counts: each is generated,
committed, suspected and resumed by itself.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import pyarrow as pa

_COLUMN = "bundle"


def fold(*tables: pa.Table) -> pa.Table:
    """The rows of tables with one schema as a single row."""
    return pa.table({_COLUMN: nested(pa.concat_tables(tables))})


def unfold(bundle: pa.Table) -> pa.Table:
    """The inverse of `fold`."""
    return flat(bundle.column(_COLUMN))


def nested(table: pa.Table) -> pa.LargeListArray:
    """A table as one value, a list of structs, built around whole columns: nothing is copied that Arrow holds in one piece."""
    table = table.combine_chunks()
    columns = [column.chunk(0) if column.num_chunks else pa.array([], column.type) for column in table.columns]
    structs = pa.StructArray.from_arrays(columns, fields=list(table.schema))
    return pa.LargeListArray.from_arrays(pa.array([0, table.num_rows], pa.int64()), structs)


def flat(column: pa.ChunkedArray) -> pa.Table:
    """The inverse of `nested`, for a column with one value."""
    structs = (column.chunk(0) if column.num_chunks == 1 else column.combine_chunks()).flatten()
    schema = pa.schema(list(structs.type))
    return pa.Table.from_arrays([structs.field(index) for index in range(len(schema))], schema=schema)


def reports(row: dict[str, Any]) -> list[dict[str, Any]]:
    """The rows inside a bundle that Ray Data has taken apart."""
    found: list[dict[str, Any]] = row[_COLUMN]
    return found


def cut(rows: Sequence[int], most: int) -> Iterator[tuple[int, int]]:
    """Beginning and end of each bundle of shards that have so many `rows`: at most `most` together, or a single shard."""
    first = together = 0
    for place, count in enumerate(rows):
        if place > first and together + count > most:
            yield first, place
            first, together = place, 0
        together += count
    if first < len(rows):
        yield first, len(rows)
