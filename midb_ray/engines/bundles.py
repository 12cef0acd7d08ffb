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
    rows = pa.concat_tables(tables).combine_chunks()
    structs = pa.StructArray.from_arrays([column.chunk(0) for column in rows.columns], fields=list(rows.schema))
    return pa.table({_COLUMN: pa.LargeListArray.from_arrays(pa.array([0, rows.num_rows], pa.int64()), structs)})


def unfold(bundle: pa.Table) -> pa.Table:
    """The inverse of `fold`."""
    structs = bundle.column(_COLUMN).combine_chunks().flatten()
    fields = list(structs.type)
    return pa.Table.from_arrays([structs.field(index) for index in range(len(fields))], schema=pa.schema(fields))


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
