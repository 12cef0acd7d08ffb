"""Unpack what cannot be split: compressed files, and Parquet files with row groups far larger than a shard."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Iterator
from typing import NamedTuple

import pyarrow as pa
import xxhash
import zstandard

from midb_ray.errors import UserError
from midb_ray.runs import inputs, parquet, storage
from midb_ray.runs.inputs import Compression, InputFile, Layout

_BLOCK = 4 << 20
_ZSTD_BLOCK = 1024  # compressed bytes at a time: four may become 128 KiB, and all that comes out is held at once
_ZSTD_WINDOW = 1 << 31  # as `zstd --long=31` writes


class Staged(NamedTuple):
    """A file ready to be planned: where its rows are to be read from. `error` says that it ended early."""

    file: InputFile
    uri: str
    layout: Layout
    error: str | None


def stage(folder: str, shard_rows: int, file: InputFile) -> Staged:
    """Make a file splittable, in `folder` if it has to be written anew. Raises `UserError` for what cannot be read."""
    try:
        return _stage(storage.join(folder, xxhash.xxh3_64_hexdigest(file.name.encode())), shard_rows, file)
    except (OSError, pa.ArrowException) as error:
        raise storage.explain(error, f"{file.uri} into {folder}", "unpack") from None


def _stage(target: str, shard_rows: int, file: InputFile) -> Staged:
    uri, error = file.uri, None
    layout, compression = inputs.layout(file)
    if compression != "none":
        uri, error = target, _unpack(file, compression, target)
        layout, inner = inputs.layout(file, uri)
        if inner != "none":
            raise UserError(f"{file.name} is compressed twice, {inner} inside {compression}; unpack it once.")
    if layout != "parquet":
        return Staged(file, uri, layout, error)
    try:
        metadata = parquet.footer(uri)
    except pa.ArrowInvalid as broken:
        return Staged(file, uri, layout, error or f"no whole Parquet file: {broken}")
    if parquet.has_large_groups(metadata, shard_rows):
        parquet.regroup(uri, f"{target}.parquet", shard_rows)
        uri = f"{target}.parquet"
    return Staged(file, uri, layout, error)


def _unpack(file: InputFile, compression: Compression, target: str) -> str | None:
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
    unpacker = zstandard.ZstdDecompressor(max_window_size=_ZSTD_WINDOW)
    frame = unpacker.decompressobj()
    begun = False
    while block := source.read(_BLOCK):
        for start in range(0, len(block), _ZSTD_BLOCK):
            part = block[start : start + _ZSTD_BLOCK]
            while part:
                yield frame.decompress(part)
                begun, part = not frame.eof, frame.unused_data if frame.eof else b""
                if frame.eof:
                    frame = unpacker.decompressobj()
    if begun:
        raise EOFError("the last frame is incomplete")
