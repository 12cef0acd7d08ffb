"""The planning pass: read the input once, in parallel, and note where every shard begins.

The plan gives exact totals, line numbers for dead letters, and the same shards for the same input every time. Lines are
scanned in fixed stretches of a file that do not depend on each other; a JSON array is scanned from its beginning;
Parquet needs only its footer. A scan is a plain function of its task, so anything that maps can run it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import xxhash

from midb_ray.runs import records, storage
from midb_ray.runs.inputs import InputFile, Layout
from midb_ray.runs.shards import Shard

STRETCH = 64 << 20  # bytes of a file that one scan covers; part of what makes plans reproducible
SHARD_BYTES = 64 << 20  # a shard of very long rows ends here, so that it fits into memory many times over


class Scan(NamedTuple):
    """A stretch of one file to be scanned: bytes `start` to `stop` for lines, the whole file otherwise."""

    file: InputFile
    uri: str
    layout: Layout
    format: str
    start: int
    stop: int
    shard_rows: int
    sample: float
    error: str | None


class Scanned(NamedTuple):
    """What a scan found: shards with lines and positions counted from the stretch's beginning, and how many it has."""

    shards: list[Shard]
    lines: int
    rows: int


def scans(
    file: InputFile, uri: str, layout: Layout, form: str, shard_rows: int, sample: float, error: str | None
) -> list[Scan]:
    """The scans that cover a file."""
    found = storage.info(uri)
    size = found.size if found else 0
    step = STRETCH if layout == "lines" else max(size, 1)
    starts = range(0, max(size, 1), step)
    return [
        Scan(file, uri, layout, form, start, start + step, shard_rows, sample, error if start == starts[-1] else None)
        for start in starts
    ]


def scan(task: Scan) -> Scanned:
    """The shards of one stretch. Raises OSError if the file cannot be read."""
    scanner = {"lines": _scan_lines, "array": _scan_array, "parquet": _scan_parquet}[task.layout]
    found = scanner(task)
    if task.error is None:
        return found
    last = Shard(
        0, task.file.name, task.uri, task.layout, task.format, 0, 0, found.lines, found.rows + 1, 1, [], task.error
    )
    return found._replace(shards=[*found.shards, last])


def assemble(tasks: Iterable[Scan], results: Iterable[Scanned], first_shard: int = 0) -> Iterator[Shard]:
    """All shards of a plan in order, numbered, with lines and positions counted from the beginnings of the files."""
    file, lines, rows, number = "", 0, 0, first_shard
    for task, result in zip(tasks, results, strict=True):
        if task.file.name != file:
            file, lines, rows = task.file.name, 0, 0
        for shard in result.shards:
            yield shard._replace(shard=number, line=shard.line + lines, position=shard.position + rows)
            number += 1
        lines, rows = lines + result.lines, rows + result.rows


def is_picked(name: str, place: int, sample: float) -> bool:
    """Whether a row belongs to the sample: by a hash of where it stands, so the choice is unbiased and never changes."""
    return xxhash.xxh3_64_intdigest(f"{name}@{place}".encode(), seed=7) < sample * 2.0**64


def _scan_lines(task: Scan) -> Scanned:
    content, begin = _stretch(task)
    if not content:
        return Scanned([], 0, 0)
    ends = np.flatnonzero(np.frombuffer(content, dtype=np.uint8) == 0x0A)
    lines = len(ends)
    if not content.endswith(b"\n"):
        ends = np.append(ends, len(content))
    starts = np.concatenate(([0], ends[:-1] + 1))
    blank = np.zeros(len(ends), dtype=bool)
    for index in np.flatnonzero(ends - starts <= records.BLANK_LIMIT):
        blank[index] = not content[starts[index] : ends[index]].removeprefix(b"\xef\xbb\xbf").strip()
    numbers = np.flatnonzero(~blank)
    starts, ends = starts[numbers] + begin, ends[numbers] + begin
    places = [(int(start), int(end)) for start, end in zip(starts, ends, strict=True)]
    shards = [
        _shard(task, places[rows[0]][0], places[rows[-1]][1] - places[rows[0]][0], int(numbers[rows[0]]) + 1, rows)
        for rows in _cut(task, places)
    ]
    return Scanned(shards, lines, len(places))


def _stretch(task: Scan) -> tuple[bytes, int]:
    """The lines that begin in the stretch, as bytes, and the offset of the first."""
    with storage.open_input(task.uri) as stream:
        size = stream.size()
        begin = task.start
        if begin:
            begin = _after_newline(stream, begin - 1, size)
        stop = _after_newline(stream, task.stop - 1, size) if task.stop < size else size
        return (stream.read_at(stop - begin, begin), begin) if begin < stop else (b"", begin)


def _after_newline(stream: pa.NativeFile, place: int, size: int) -> int:
    """The offset behind the first line end at or after `place`."""
    while place < size:
        block = stream.read_at(min(1 << 20, size - place), place)
        found = block.find(b"\n")
        if found >= 0:
            return int(place + found + 1)
        place += len(block)
    return size


def _scan_array(task: Scan) -> Scanned:
    with storage.open_input(task.uri) as stream:
        found = [(row.offset, row.offset + len(row.raw), row.line) for row in records.elements(stream)]
    places = [(start, end) for start, end, _ in found]
    shards = [
        _shard(task, places[rows[0]][0], places[rows[-1]][1] - places[rows[0]][0], found[rows[0]][2], rows)
        for rows in _cut(task, places)
    ]
    return Scanned(shards, 0, len(places))


def _scan_parquet(task: Scan) -> Scanned:
    with storage.open_input(task.uri) as stream:
        rows = pq.ParquetFile(stream).metadata.num_rows
    places = [(row, row + 1) for row in range(rows)]
    shards = [_shard(task, picked[0], picked[-1] + 1 - picked[0], 0, picked) for picked in _cut(task, places)]
    return Scanned(shards, 0, rows)


def _cut(task: Scan, places: list[tuple[int, int]]) -> Iterator[list[int]]:
    """Groups of the rows that are picked, each at most `shard_rows` rows and `SHARD_BYTES` bytes long."""
    group: list[int] = []
    for index, (start, end) in enumerate(places):
        if task.sample < 1 and not is_picked(task.file.name, start, task.sample):
            continue
        if group and (len(group) == task.shard_rows or end - places[group[0]][0] > SHARD_BYTES):
            yield group
            group = []
        group.append(index)
    if group:
        yield group


def _shard(task: Scan, offset: int, length: int, line: int, rows: list[int]) -> Shard:
    whole = rows[-1] - rows[0] + 1 == len(rows)
    picked = None if whole else [row - rows[0] for row in rows]
    return Shard(
        0, task.file.name, task.uri, task.layout, task.format, offset, length, line, rows[0] + 1, len(rows), picked
    )


def select(shards: Iterable[Shard], languages: Callable[[Shard], list[str | None]], limit: int) -> Iterator[Shard]:
    """The first `limit` rows of each language, in the order of the plan. `languages` reads a shard and names the language
    of each of its rows (None: no pair). Shards without a selected row fall out; the others are numbered anew."""
    counts: dict[str, int] = {}
    number = 0
    for shard in shards:
        picked = shard.picked if shard.picked is not None else range(shard.rows)
        kept = []
        for index, language in zip(picked, languages(shard), strict=True):
            if language is not None and counts.setdefault(language, 0) < limit:
                counts[language] += 1
                kept.append(index)
        if kept:
            yield shard._replace(shard=number, rows=len(kept), picked=kept)
            number += 1
