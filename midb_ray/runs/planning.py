"""The planning pass: read the input once, in parallel, and note where every shard begins.

The plan gives exact totals, line numbers for dead letters, and the same shards for the same input every time. Lines are
scanned in fixed stretches of a file that do not depend on each other; a JSON array is scanned from its beginning;
Parquet needs only its footer. A scan is a plain function of its task, so anything that maps can run it.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterable, Iterator
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import xxhash

from midb_ray.errors import UserError
from midb_ray.runs import parquet, records, storage
from midb_ray.runs.inputs import InputFile, Layout
from midb_ray.runs.shards import Shard

STRETCH = 64 << 20  # bytes of a file that one scan covers; part of what makes plans reproducible
SHARD_BYTES = 64 << 20  # a shard of very long rows ends here, so that it fits into memory many times over
_TURN_BYTES = 4 << 20  # and one of conversations here: their rows are many pairs, each with what was said before it
_PARQUET_ROWS = 1 << 20  # looked at together: a file may have any number of rows

Places = npt.NDArray[np.int64]


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
    """What a scan found: shards with lines and positions counted from the stretch's beginning, and how many it has. `error`
    says that the file ended early."""

    shards: list[Shard]
    lines: int
    rows: int
    error: str | None = None


def scans(
    file: InputFile, uri: str, layout: Layout, form: str, shard_rows: int, sample: float, error: str | None
) -> list[Scan]:
    """The scans that cover a file. Raises `UserError` if it cannot be read or is not seen from here."""
    try:
        found = storage.info(uri)
    except OSError as failure:
        raise storage.explain(failure, uri, "read") from None
    if found is None:  # no empty file: its rows would be lost in silence
        raise _unseen(file, uri, "the driver")
    step = STRETCH if layout == "lines" else max(found.size, 1)
    starts = range(0, max(found.size, 1), step)
    return [
        Scan(file, uri, layout, form, start, start + step, shard_rows, sample, error if start == starts[-1] else None)
        for start in starts
    ]


def scan(task: Scan) -> Scanned:
    """The shards of one stretch. Raises `UserError` if the file cannot be read."""
    scanner = {"lines": _scan_lines, "array": _scan_array, "parquet": _scan_parquet}[task.layout]
    try:
        found = scanner(task)
    except FileNotFoundError:
        raise _unseen(task.file, task.uri, "the node that plans it") from None
    except OSError as failure:
        raise storage.explain(failure, task.uri, "read") from None
    if (error := task.error or found.error) is None:
        return found
    last = _shard(task, np.array([found.rows]), 0, 0, found.lines)._replace(picked=[], error=error)
    return found._replace(shards=[*found.shards, last], error=error)


def _unseen(file: InputFile, uri: str, who: str) -> UserError:
    what, advice = "the input", "it was removed meanwhile, or not all nodes share this storage: put it where they do"
    if uri != file.uri:
        what, advice = f"what was unpacked from {file.name}", "give an --output on storage that all nodes share"
    return UserError(f"Cannot read {uri}: {who} does not see {what}; {advice}.")


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


def picked(name: str, places: Places, sample: float) -> npt.NDArray[np.bool_]:
    """Which rows belong to the sample: by a hash of where they stand, so the choice is unbiased and never changes.

    `places` are the byte offsets of a file's rows (row numbers in Parquet). The hash is the finaliser of SplitMix64 (Steele,
    Lea and Flood 2014), which mixes all bits well and works on whole columns.
    """
    mixed = places.astype(np.uint64) + np.uint64(xxhash.xxh3_64_intdigest(name.encode()))
    mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    mixed ^= mixed >> np.uint64(31)
    return (mixed >> np.uint64(11)).astype(np.float64) < sample * 2.0**53


def _scan_lines(task: Scan) -> Scanned:
    content, begin = _stretch(task)
    if not content:
        return Scanned([], 0, 0)
    ends = np.flatnonzero(np.frombuffer(content, dtype=np.uint8) == 0x0A)
    lines = len(ends)
    if not content.endswith(b"\n"):
        ends = np.append(ends, len(content))
    starts = np.concatenate(([0], ends[:-1] + 1))
    numbers = np.flatnonzero(~_blank(content, starts, ends))
    starts, ends = starts[numbers] + begin, ends[numbers] + begin
    shards = [
        _shard(task, rows, int(starts[rows[0]]), int(ends[rows[-1]]), int(numbers[rows[0]]) + 1)
        for rows in _cut(task, starts, starts, ends)
    ]
    return Scanned(shards, lines, len(numbers))


def _blank(content: bytes, starts: Places, ends: Places) -> npt.NDArray[np.bool_]:
    """Which lines are no rows: what `records.bare` says, asked only for lines that may be."""
    blank: npt.NDArray[np.bool_] = starts == ends
    first = np.frombuffer(content, dtype=np.uint8)[np.minimum(starts, len(content) - 1)]
    short = ends - starts <= records.BLANK_LIMIT + len(b"\xef\xbb\xbf\r")
    for index in np.flatnonzero(~blank & short & ((first <= 0x20) | (first == 0xEF))):
        blank[index] = not records.bare(content[starts[index] : ends[index]])
    return blank


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
    starts, lengths, lines = array("q"), array("q"), array("q")  # eight bytes a row each, however many rows
    with storage.open_input(task.uri) as stream:
        elements = records.elements(stream)
        for row in elements:
            starts.append(row.offset)
            lengths.append(len(row.raw))
            lines.append(row.line)
    begins = np.array(starts, dtype=np.int64)
    ends = begins + np.array(lengths, dtype=np.int64)
    shards = [
        _shard(task, rows, int(begins[rows[0]]), int(ends[rows[-1]]), lines[rows[0]])
        for rows in _cut(task, begins, begins, ends)
    ]
    error = "the closing bracket of the JSON array is missing" if elements.truncated else None
    return Scanned(shards, elements.line - 1, len(starts), error)


def _scan_parquet(task: Scan) -> Scanned:
    """Row numbers take the part of byte offsets; how many bytes a row has is known on average for each row group."""
    try:
        metadata = parquet.footer(task.uri)
    except pa.ArrowInvalid as error:
        if task.error is not None:
            return Scanned([], 0, 0)
        raise UserError(f"Cannot read {task.uri}: not a whole Parquet file, {error}.") from None
    groups = [metadata.row_group(index) for index in range(metadata.num_row_groups)]
    row_marks = np.cumsum([0, *(group.num_rows for group in groups)])
    byte_marks = np.cumsum([0, *(group.total_byte_size for group in groups)])
    step = task.shard_rows * max(_PARQUET_ROWS // task.shard_rows, 1)
    shards = []
    for first in range(0, metadata.num_rows, step):
        places = np.arange(first, min(first + step, metadata.num_rows) + 1)
        marks = np.interp(places, row_marks, byte_marks)
        shards += [
            _shard(task, first + rows, int(first + rows[0]), int(first + rows[-1]) + 1, 0)
            for rows in _cut(task, places[:-1], marks[:-1], marks[1:])
        ]
    return Scanned(shards, 0, metadata.num_rows)


def _cut(task: Scan, places: Places, starts: npt.NDArray[Any], ends: npt.NDArray[Any]) -> Iterator[Places]:
    """Groups of the rows that are picked, each at most `shard_rows` rows and as many bytes (`starts` to `ends`) as memory takes."""
    most = min(SHARD_BYTES, _TURN_BYTES) if task.format == "conversations" else SHARD_BYTES
    rows = np.arange(len(places))
    if task.sample < 1:
        rows = np.flatnonzero(picked(task.file.name, places, task.sample))
        starts, ends = starts[rows], ends[rows]
    first = 0
    while first < len(rows):
        last = min(first + task.shard_rows, len(rows))
        if ends[last - 1] - starts[first] > most:
            last = max(int(np.searchsorted(ends, starts[first] + most, side="right")), first + 1)
        yield rows[first:last]
        first = last


def _shard(task: Scan, rows: Places, start: int, stop: int, line: int) -> Shard:
    """The shard of some rows of a scan, which lie between two places in the file."""
    first = int(rows[0])
    chosen = None if int(rows[-1]) - first + 1 == len(rows) else (rows - first).tolist()
    place = (task.file.name, task.uri, task.layout, task.format, start, stop - start)
    return Shard(0, *place, line, first + 1, len(rows), chosen)


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
