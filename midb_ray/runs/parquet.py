"""Parquet as input: what the footer says, rows whatever is in them, and row groups that a shard can afford to read."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from midb_ray.runs import storage

_TAIL = 1 << 16
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


def rows(stream: pa.NativeFile, first: int, count: int) -> Iterator[dict[str, Any]]:
    """Rows `first` to `first + count`, reading only the row groups that hold them.

    Strings that are no UTF-8 come with lone surrogates in place of their bad bytes; times that Python cannot express come
    as numbers. Raises OSError or pyarrow's ArrowException for damaged pages.
    """
    file = pq.ParquetFile(stream)
    before = 0
    for group in range(file.num_row_groups):
        size = file.metadata.row_group(group).num_rows
        start, stop = max(first - before, 0), min(first + count - before, size)
        if start < stop:
            yield from plain(file.read_row_group(group).slice(start, stop - start))
        before += size


def plain(table: pa.Table) -> list[dict[str, Any]]:
    """The rows of a table as Python values, whatever is in them."""
    try:
        return list(table.to_pylist())
    except (ValueError, OverflowError):
        safe = pa.schema([pa.field(field.name, _safe(field.type)) for field in table.schema])
        columns = [
            [_restored(value, field.type) for value in column.cast(field_safe.type).to_pylist()]
            for column, field, field_safe in zip(table.columns, table.schema, safe, strict=True)
        ]
        return [dict(zip(table.column_names, values, strict=True)) for values in zip(*columns, strict=True)]


def has_large_groups(metadata: pq.FileMetaData, shard_rows: int) -> bool:
    """Whether shards of this file would read far more than their own rows."""
    groups = (metadata.row_group(index) for index in range(metadata.num_row_groups))
    return any(
        group.num_rows > _SHARDS_PER_GROUP * shard_rows or (group.num_rows > 1 and group.total_byte_size > _GROUP_BYTES)
        for group in groups
    )


def regroup(uri: str, target: str, shard_rows: int) -> None:
    """Copy a file into row groups of some shards each. Raises OSError, or pyarrow's ArrowException for damaged pages."""
    with storage.open_input(uri) as stream, storage.open_output(target) as out:
        file = pq.ParquetFile(stream)
        with pq.ParquetWriter(out, file.schema_arrow) as writer:
            for index in range(file.num_row_groups):
                group = file.metadata.row_group(index)
                affordable = _GROUP_BYTES * group.num_rows // max(group.total_byte_size, 1)
                step = max(min(_SHARDS_PER_GROUP * shard_rows, affordable), 1)
                for batch in file.iter_batches(batch_size=step, row_groups=[index]):
                    writer.write_batch(batch)


def _safe(type: pa.DataType) -> pa.DataType:
    """A type that holds the same values and that Python can always express."""
    if pa.types.is_dictionary(type):
        return _safe(type.value_type)
    if pa.types.is_string(type) or pa.types.is_large_string(type) or pa.types.is_string_view(type):
        return pa.large_binary()
    if pa.types.is_temporal(type):
        return pa.int32() if type.bit_width == 32 else pa.int64()
    if pa.types.is_struct(type):
        return pa.struct([pa.field(field.name, _safe(field.type)) for field in type])
    if pa.types.is_map(type):
        return pa.map_(_safe(type.key_type), _safe(type.item_type))
    if pa.types.is_list(type) or pa.types.is_large_list(type) or pa.types.is_fixed_size_list(type):
        return pa.large_list(_safe(type.value_type))
    return type


def _restored(value: Any, type: pa.DataType) -> Any:
    """A value of `_safe(type)` with its strings as strings."""
    if value is None:
        return None
    if pa.types.is_dictionary(type):
        return _restored(value, type.value_type)
    if pa.types.is_string(type) or pa.types.is_large_string(type) or pa.types.is_string_view(type):
        return value.decode("utf-8", "surrogateescape")
    if pa.types.is_struct(type):
        return {field.name: _restored(value[field.name], field.type) for field in type}
    if pa.types.is_map(type):
        return [(_restored(key, type.key_type), _restored(item, type.item_type)) for key, item in value]
    if pa.types.is_nested(type):
        return [_restored(item, type.value_type) for item in value]
    return value
