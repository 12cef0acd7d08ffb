"""Unpack what cannot be split: compressed files, and Parquet files with row groups far larger than a shard."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Iterator
from typing import NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq
import xxhash
import zstandard

from midb_ray.runs import inputs, storage
from midb_ray.runs.inputs import InputFile, Layout

_BLOCK = 4 << 20
_LARGE_ROW_GROUP = 16  # in shards: a shard reads the whole row group that it lies in


class Staged(NamedTuple):
    """A file ready to be planned: where its rows are to be read from. `error` says that it ended early."""

    file: InputFile
    uri: str
    layout: Layout
    error: str | None


def stage(folder: str, shard_rows: int, file: InputFile) -> Staged:
    """Make a file splittable, in `folder` if it has to be written anew. Raises `UserError`, or OSError if storage fails."""
    layout, compression = inputs.layout(file)
    target = storage.join(folder, xxhash.xxh3_64_hexdigest(file.name.encode()))
    if compression != "none":
        error = _unpack(file, compression, target)
        layout, nested = inputs.layout(file, target)
        if nested != "none":
            return Staged(file, target, "lines", f"{file.name} is compressed twice")
        return Staged(file, target, layout, error)
    if layout == "parquet" and _has_large_row_groups(file.uri, shard_rows):
        _regroup(file.uri, target, shard_rows)
        return Staged(file, target, layout, None)
    return Staged(file, file.uri, layout, None)


def _unpack(file: InputFile, compression: str, target: str) -> str | None:
    """Decompress; a file that breaks off is kept as far as it goes, and the reason returned."""
    error: str | None = None
    with storage.open_output(target) as out, storage.open_input(file.uri) as source:
        blocks = _gzip_blocks(source) if compression == "gz" else _zstd_blocks(source)
        try:
            for block in blocks:
                out.write(block)
        except (EOFError, zlib.error, gzip.BadGzipFile, zstandard.ZstdError) as broken:
            error = f"the {compression} stream breaks off: {broken}"
    return error


def _gzip_blocks(source: pa.NativeFile) -> Iterator[bytes]:
    with gzip.GzipFile(fileobj=source) as unpacked:
        while block := unpacked.read1(_BLOCK):
            yield block


def _zstd_blocks(source: pa.NativeFile) -> Iterator[bytes]:
    """All frames of a file. Raises EOFError when the last one is cut off, which a plain reader passes over in silence."""
    frame = zstandard.ZstdDecompressor().decompressobj()
    begun = False
    while block := source.read(_BLOCK):
        while block:
            yield frame.decompress(block)
            block = frame.unused_data if frame.eof else b""
            if frame.eof:
                frame = zstandard.ZstdDecompressor().decompressobj()
                begun = bool(block)
            else:
                begun = True
    if begun:
        raise EOFError("the last frame is incomplete")


def _has_large_row_groups(uri: str, shard_rows: int) -> bool:
    with storage.open_input(uri) as stream:
        metadata = pq.ParquetFile(stream).metadata
    groups = (metadata.row_group(index).num_rows for index in range(metadata.num_row_groups))
    return any(rows > _LARGE_ROW_GROUP * shard_rows for rows in groups)


def _regroup(uri: str, target: str, shard_rows: int) -> None:
    with storage.open_input(uri) as stream, storage.open_output(target) as out:
        file = pq.ParquetFile(stream)
        with pq.ParquetWriter(out, file.schema_arrow) as writer:
            for batch in file.iter_batches(batch_size=shard_rows):
                writer.write_batch(batch)
