"""Parquet as input: what the footer says, rows whatever is in them, and row groups that a shard can afford to read.

A page that is damaged costs the rows from there to the end of its row group, no others: they come as the error that pyarrow
gave for them, each in its place. pyarrow raises OSError for damaged bytes as it does for storage that fails; see `_salvage`.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from midb_ray.runs import storage
from midb_ray.runs.values import plain

Row = dict[str, Any] | bytes | Exception
"""A row as Python values; as JSON if a key stands twice in it with different values; or why it cannot be decoded."""

_TAIL = 1 << 16
_SALVAGED = 64  # rows of a damaged row group that are tried together
_UNREADABLE = (pa.ArrowException, ValueError, LookupError, OverflowError)
_DAMAGED = b"midb_ray.damaged"  # in a staged file's metadata: number of row group -> why its rows could not be copied
_SHARDS_PER_GROUP = 16  # a shard reads the whole row group that it lies in; smaller groups would make a huge footer
_GROUP_BYTES = 256 << 20


def footer(uri: str) -> pq.FileMetaData:
    """A file's metadata. Raises OSError if storage fails, and pyarrow's ArrowInvalid if it is no whole Parquet file."""
    with storage.open_input(uri) as stream:
        size = stream.size()
        tail = stream.read_at(min(size, _TAIL), max(size - _TAIL, 0))
        length = int.from_bytes(tail[-8:-4], "little") + 8
        if len(tail) < 12 or tail[-4:] != b"PAR1" or length > size:
            raise pa.ArrowInvalid("the end of the file is missing")
        if length > len(tail):
            tail = stream.read_at(length, size - length)
    try:
        return pq.ParquetFile(pa.BufferReader(tail[-length:])).metadata
    except OSError as error:  # what storage says is OSError too: only here is it known to be the bytes
        raise pa.ArrowInvalid(str(error)) from None


def rows(stream: pa.NativeFile, first: int, count: int) -> Iterator[Row]:
    """Rows `first` to `first + count`, reading only the row groups that hold them; errors take the place of damaged rows.

    Strings that are no UTF-8 come with lone surrogates in place of their bad bytes; times that Python cannot express come
    as numbers. Raises OSError if storage fails.
    """
    file = _open(stream)
    damaged = _noted(file.metadata)
    before = 0
    for group in range(file.num_row_groups):
        size = file.metadata.row_group(group).num_rows
        start, stop = max(first - before, 0), min(first + count - before, size)
        before += size
        if start >= stop:
            continue
        if (told := damaged.get(str(group))) is not None:
            yield from itertools.repeat(pa.ArrowInvalid(told), stop - start)
            continue
        try:
            table = file.read_row_group(group)
            found = plain(table.slice(start, stop - start)) if table.num_rows == size else None
        except (OSError, *_UNREADABLE):
            found = None
        yield from found if found is not None else _salvaged_rows(stream, group, start, stop)


def has_large_groups(metadata: pq.FileMetaData, shard_rows: int) -> bool:
    """Whether shards of this file would read far more than their own rows."""
    groups = (metadata.row_group(index) for index in range(metadata.num_row_groups))
    return any(
        group.num_rows > _SHARDS_PER_GROUP * shard_rows or (group.num_rows > 1 and group.total_byte_size > _GROUP_BYTES)
        for group in groups
    )


def regroup(uri: str, target: str, shard_rows: int) -> None:
    """Copy a file into row groups of some shards each; every row keeps its number. Row groups of nulls stand for rows that are
    damaged, and the metadata say which. Raises OSError if storage fails."""
    damaged: dict[int, str] = {}
    written = 0
    with storage.open_input(uri) as stream, storage.open_output(target) as out:
        file = _open(stream)
        schema = pa.schema([field.with_nullable(True) for field in file.schema_arrow], file.schema_arrow.metadata)
        with pq.ParquetWriter(out, schema) as writer:
            for index in range(file.num_row_groups):
                group = file.metadata.row_group(index)
                affordable = _GROUP_BYTES * group.num_rows // max(group.total_byte_size, 1)
                step = max(min(_SHARDS_PER_GROUP * shard_rows, affordable), 1)
                for piece in _pieces(stream, file, index, step):
                    if not isinstance(piece, pa.Table):
                        length, error = piece
                        piece = pa.Table.from_arrays([pa.nulls(length, field.type) for field in schema], schema=schema)
                        damaged[written] = str(error)
                    writer.write_table(pa.Table.from_arrays(piece.columns, schema=schema), row_group_size=step)
                    written += 1
            if damaged:
                writer.add_key_value_metadata({_DAMAGED: json.dumps(damaged)})


def _noted(metadata: pq.FileMetaData) -> dict[str, str]:
    """Which row groups of a staged file stand for damaged rows, and what the damage is."""
    try:
        noted = json.loads((metadata.metadata or {}).get(_DAMAGED, b"{}"))
    except ValueError:  # not by us
        return {}
    return noted if isinstance(noted, dict) else {}


def _pieces(
    stream: pa.NativeFile, file: pq.ParquetFile, index: int, step: int
) -> Iterator[pa.Table | tuple[int, Exception]]:
    """A row group in tables of `step` rows; where it is damaged, numbers of rows and why they cannot be decoded."""
    size = file.metadata.row_group(index).num_rows
    done = 0
    failed, error = None, None
    try:
        for batch in file.iter_batches(batch_size=step, row_groups=[index]):
            yield pa.Table.from_batches([batch])
            done += batch.num_rows
    except (OSError, *_UNREADABLE) as failure:
        failed = failure
    while done < size and error is None:
        table, error = _salvage(stream, index, done, min(done + step, size))
        if error is None and isinstance(failed, OSError):
            raise failed  # the bytes are sound
        if table.num_rows:
            yield table
        done += table.num_rows
    for first in range(done, size, step):
        assert error is not None
        yield min(step, size - first), error


def _salvaged_rows(stream: pa.NativeFile, index: int, start: int, stop: int) -> Iterator[Row]:
    """Rows of a row group that cannot be decoded as a whole."""
    table, error = _salvage(stream, index, start, stop)
    for first in range(0, table.num_rows, _SALVAGED):
        part = table.slice(first, _SALVAGED)
        try:
            yield from plain(part)
        except _UNREADABLE as unreadable:
            yield from itertools.repeat(unreadable, part.num_rows)
    if error is not None:
        yield from itertools.repeat(error, stop - start - table.num_rows)


def _salvage(stream: pa.NativeFile, index: int, start: int, stop: int) -> tuple[pa.Table, Exception | None]:
    """Rows `start` to `stop` of a row group as far as they can be decoded, and the error if that is not to the end.

    The bytes come through a witness: if storage gave all that was asked for, they are damaged, else its error is raised.
    """
    witness = _Witness(stream)
    file = _open(pa.PythonFile(witness, mode="r"))
    batches, before = [], 0
    error: Exception | None = None
    try:
        for batch in file.iter_batches(batch_size=_SALVAGED, row_groups=[index], use_threads=False):
            first = max(start - before, 0)
            batches.append(batch.slice(first, max(stop - before - first, 0)))
            before += batch.num_rows
            if before >= stop:
                break
    except pa.ArrowMemoryError:
        raise
    except (OSError, *_UNREADABLE) as failure:
        if witness.failure is not None:
            raise witness.failure from None
        error = failure
    if before < stop and error is None:
        error = pa.ArrowInvalid(f"row group {index} ends after {before} rows, earlier than the footer says")
    return pa.Table.from_batches(batches, file.schema_arrow), error


class _Witness:
    """A file that remembers when storage failed."""

    closed = False

    def __init__(self, stream: pa.NativeFile) -> None:
        self._stream = stream
        self.failure: Exception | None = None

    def read(self, size: int = -1) -> bytes:
        try:
            return bytes(self._stream.read(None if size < 0 else size))
        except Exception as error:  # whatever a file system raises
            self.failure = error
            raise

    def seek(self, offset: int, whence: int = 0) -> int:
        return int(self._stream.seek(offset, whence))

    def tell(self) -> int:
        return int(self._stream.tell())

    def flush(self) -> None: ...

    def close(self) -> None:
        self.closed = True  # the stream belongs to the caller


def _open(stream: pa.NativeFile) -> pq.ParquetFile:
    return pq.ParquetFile(stream, page_checksum_verification=True)  # where pages have checksums
