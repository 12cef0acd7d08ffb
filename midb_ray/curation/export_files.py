"""The files of an export: rows in JSON lines or Parquet, begun anew where one is full, and several put together into one.

Files are made whole on the machine's own disk and then written to storage under their names, in one piece.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Final, Protocol

import pyarrow as pa
import pyarrow.parquet as pq

from midb_ray.formats import json_rows
from midb_ray.pairs import writable
from midb_ray.runs import storage

_GROUP_ROWS, _GROUP_CHARACTERS = 10_000, 16 << 20  # of a row group of Parquet
_BLOCK = 8 << 20
_LINE_ENDS: Final = {"\x85": "\\u0085", "\u2028": "\\u2028", "\u2029": "\\u2029"}


class Sink(Protocol):
    """A local file that takes rows, as `encode` gives them. `size` is in bytes, of what has been written so far."""

    rows: int

    @property
    def size(self) -> int: ...

    def add(self, row: Any, most: int) -> bool:
        """Take one more row, unless the file has some and would not stay within `most` bytes."""
        ...

    def close(self) -> None: ...


class LineSink:
    """JSON lines; rows are lines."""

    def __init__(self, path: Path) -> None:
        self.rows = self.size = 0
        self._file = path.open("wb")

    def add(self, row: bytes, most: int) -> bool:
        if self.rows and self.size + len(row) > most:
            return False
        self._file.write(row)
        self.rows, self.size = self.rows + 1, self.size + len(row)
        return True

    def close(self) -> None:
        self._file.close()


class TableSink:
    """Parquet; rows are values by column, and wait in memory until they are a row group. A file is full when its row groups are."""

    def __init__(self, path: Path, schema: pa.Schema) -> None:
        self.rows = 0
        self._path = path
        self._schema = schema
        self._writer = _writer(path, schema)
        self._waiting: list[dict[str, Any]] = []
        self._characters = 0

    @property
    def size(self) -> int:
        return self._path.stat().st_size

    def add(self, row: dict[str, Any], most: int) -> bool:
        if self.rows and not self._waiting and self.size >= most:
            return False
        self._waiting.append(row)
        self._characters += _characters(row)
        self.rows += 1
        if len(self._waiting) == _GROUP_ROWS or self._characters > min(_GROUP_CHARACTERS, most):
            self._flush()
        return True

    def close(self) -> None:
        self._flush()
        self._writer.close()

    def _flush(self) -> None:
        if self._waiting:
            self._writer.write_table(pa.Table.from_pylist(self._waiting, self._schema))
            self._waiting, self._characters = [], 0


def line(row: dict[str, Any]) -> bytes:
    """A row as one line of JSON that every reader takes: strict, UTF-8, no half of a surrogate pair, nothing in it that some reader
    ends a line at."""
    text = json_rows.to_json(row)[0]
    if (
        "\\ud" in text
    ):  # perhaps the escape of half a pair: what is no character becomes U+FFFD, as in the texts of pairs
        text = json.dumps(json.loads(text), ensure_ascii=False, separators=(",", ":"))
        text = writable(text)
    if not text.isascii():
        for character, escape in _LINE_ENDS.items():
            text = text.replace(character, escape)
    return f"{text}\n".encode()


def put(path: Path, uri: str) -> int:
    """Write a local file to storage, whole or not at all; returns its size. Raises OSError."""
    with pa.memory_map(str(path)) as file:
        content = file.read_buffer()
        storage.write_bytes(uri, content)
        return int(content.size)


def join_lines(uris: Iterable[str], path: Path) -> int:
    """The lines of some files, one after the other, in a local one; returns their number. Raises OSError."""
    lines = 0
    with path.open("wb") as target:
        for uri in uris:
            with storage.open_input(uri) as file:
                while block := file.read(_BLOCK):
                    lines += block.count(b"\n")
                    target.write(block)
    return lines


def join_tables(uris: Iterable[str], path: Path, schema: pa.Schema) -> int:
    """The rows of some Parquet files, one after the other, in a local one; returns their number. Raises OSError."""
    with _writer(path, schema) as writer:
        for table in _grouped(_row_groups(uris, schema)):
            writer.write_table(table)
    with pq.ParquetFile(path) as file:
        return int(file.metadata.num_rows)


def _row_groups(uris: Iterable[str], schema: pa.Schema) -> Iterator[pa.Table]:
    for uri in uris:
        with storage.open_input(uri) as stream:
            file = pq.ParquetFile(stream)
            for group in range(file.num_row_groups):
                yield file.read_row_group(group).cast(schema)


def _grouped(tables: Iterable[pa.Table]) -> Iterator[pa.Table]:
    """Tables put together as long as they make no more than a row group."""
    waiting: list[pa.Table] = []
    rows = size = 0
    for table in tables:
        if waiting and (rows + table.num_rows > _GROUP_ROWS or size + table.nbytes > _GROUP_CHARACTERS):
            yield pa.concat_tables(waiting)
            waiting, rows, size = [], 0, 0
        waiting.append(table)
        rows, size = rows + table.num_rows, size + table.nbytes
    if waiting:
        yield pa.concat_tables(waiting)


def _writer(path: Path, schema: pa.Schema) -> pq.ParquetWriter:
    # Without Arrow's own schema in it, so that readers find plain strings and not ours with 64-bit offsets.
    return pq.ParquetWriter(path, schema, compression="zstd", store_schema=False)


def _characters(value: Any) -> int:
    """About how much text a row holds."""
    if isinstance(value, str):
        return len(value)
    if isinstance(value, dict):
        return sum(map(_characters, value.values()))
    return sum(map(_characters, value)) if isinstance(value, list) else 0
