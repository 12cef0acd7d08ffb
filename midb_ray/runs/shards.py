"""A shard: the unit of work, of commit and of resume, and how its rows are read."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterable, Iterator
from typing import Any, Final, Literal, NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq

from midb_ray.errors import UserError
from midb_ray.runs import parquet, records, storage
from midb_ray.runs.inputs import InputFile, Layout

PARTS: Final = "parts"
"""Layout of a shard that is parts of an earlier run: `uri` is that run's, `offset` and `length` are numbers of parts."""


class Shard(NamedTuple):
    """One unit of work. For lines and arrays `offset` and `length` are bytes and `line` the first line's number; for Parquet
    they are row numbers. `position` is the number of the first row in the file, from 1; `picked` the selected rows in the shard
    (None: all), `rows` their number. `error` says that the file ended early here: one more row, which is a dead letter.

    With the layout `PARTS` `rows` counts all rows of the parts, and `picked` are the pairs that are tried again (None: all that
    the settings name)."""

    shard: int
    file: str
    uri: str
    layout: Layout | Literal["parts"]
    format: str
    offset: int
    length: int
    line: int
    position: int
    rows: int
    picked: list[int] | None = None
    error: str | None = None


_PLAN_ROW_GROUP = 4096
_FILES = b"midb_ray.files"

PLAN_SCHEMA = pa.schema(
    [
        pa.field("shard", pa.int64(), nullable=False),
        pa.field("file", pa.string(), nullable=False),
        pa.field("uri", pa.string(), nullable=False),
        pa.field("layout", pa.string(), nullable=False),
        pa.field("format", pa.string(), nullable=False),
        pa.field("offset", pa.int64(), nullable=False),
        pa.field("length", pa.int64(), nullable=False),
        pa.field("line", pa.int64(), nullable=False),
        pa.field("position", pa.int64(), nullable=False),
        pa.field("rows", pa.int64(), nullable=False),
        pa.field("picked", pa.list_(pa.int32())),
        pa.field("error", pa.string()),
    ]
)


def to_table(shards: Iterable[Shard]) -> pa.Table:
    """A plan as a table with `PLAN_SCHEMA`."""
    columns = list(zip(*shards, strict=True)) or [()] * len(PLAN_SCHEMA)
    arrays = [pa.array(column, type=field.type) for column, field in zip(columns, PLAN_SCHEMA, strict=True)]
    return pa.Table.from_arrays(arrays, schema=PLAN_SCHEMA)


def from_table(table: pa.Table) -> list[Shard]:
    """The inverse of `to_table`."""
    return [Shard(*row.values()) for row in table.to_pylist()]


def read(shard: Shard) -> Iterator[tuple[str, int | None, int | None, Any]]:
    """The selected rows of a shard: position in the file (unique), line, byte offset, and bytes, a parsed row, or the error
    that stands in the place of a damaged one.

    Raises OSError if storage refuses, and `UserError` if the file makes no sense or does not hold the planned rows any more: they
    would be lost in silence.
    """
    if shard.error is not None:
        return
    picked = None if shard.picked is None else set(shard.picked)
    found = 0
    try:
        with storage.open_input(shard.uri) as stream:
            rows = _parquet_rows(stream, shard) if shard.layout == "parquet" else _text_rows(stream, shard)
            for index, row in enumerate(rows):
                if picked is None or index in picked:
                    found += 1
                    yield row
    except pa.ArrowException as error:
        raise storage.explain(error, shard.uri, f"read shard {shard.shard} in") from None
    if found != shard.rows:
        raise UserError(
            f"{shard.uri} has changed since it was planned: shard {shard.shard} had {shard.rows} rows and has {found} now; put the "
            "file back as it was, or start over with --fresh."
        )


@contextlib.contextmanager
def explained(shard: Shard) -> Iterator[None]:
    """Storage that refuses inside becomes a `UserError`: for those who do not try again."""
    try:
        yield
    except OSError as error:
        raise storage.explain(error, shard.uri, f"read shard {shard.shard} in") from None


def _parquet_rows(stream: pa.NativeFile, shard: Shard) -> Iterator[tuple[str, int | None, int | None, Any]]:
    for index, row in enumerate(parquet.rows(stream, shard.offset, shard.length)):
        yield str(shard.position + index), None, None, row


def _text_rows(stream: pa.NativeFile, shard: Shard) -> Iterator[tuple[str, int | None, int | None, Any]]:
    cutter = records.lines if shard.layout == "lines" else records.elements
    for index, row in enumerate(cutter(stream, shard.offset, shard.length)):
        line = shard.line + row.line - 1
        yield str(line if shard.layout == "lines" else shard.position + index), line, row.offset, row.raw


def read_plan(uri: str, start: int = 0, count: int | None = None) -> Iterator[pa.Table]:
    """The plan's shards `start` to `start + count` as tables, one row group at a time."""
    with storage.open_input(uri) as stream:
        file = pq.ParquetFile(stream)
        stop = file.metadata.num_rows if count is None else start + count
        first = 0
        for group in range(file.num_row_groups):
            rows = file.metadata.row_group(group).num_rows
            begin, end = max(start - first, 0), min(stop - first, rows)
            if begin < end:
                yield file.read_row_group(group).slice(begin, end - begin)
            first += rows


def planned_files(uri: str) -> list[InputFile]:
    """The files that a plan covers, as they were when it was made, those without a shard among them. Raises `UserError` for a
    damaged plan."""
    try:
        metadata = parquet.footer(uri).metadata
        return [InputFile(*values) for values in json.loads(metadata[_FILES])]
    except (pa.ArrowInvalid, KeyError, TypeError, ValueError):
        raise UserError(f"{uri} is damaged, or no plan of midb_ray; start over with --fresh.") from None


def write_plan(uri: str, tables: Iterable[pa.Table], files: Iterable[InputFile] = ()) -> None:
    """Write a plan whole, in row groups that are read one at a time, with the `files` it covers: shards and files are known
    together or not at all."""
    sink = pa.BufferOutputStream()
    metadata = {_FILES: json.dumps(list(files), ensure_ascii=False)}
    with pq.ParquetWriter(sink, PLAN_SCHEMA.with_metadata(metadata)) as writer:
        for table in tables:
            if table.num_rows:
                writer.write_table(table, row_group_size=_PLAN_ROW_GROUP)
    storage.write_bytes(uri, sink.getvalue())
