"""What a selection reads: scored runs, cut into stretches of consecutive parts. A stretch is the work of one task, and one part of
the selection; the same runs are always cut alike, and never within a conversation."""

from __future__ import annotations

import functools
from collections import Counter
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Final, NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq

from midb_ray.errors import UserError, one_line
from midb_ray.pairs import LACKING, SCORES
from midb_ray.runs import commit, earlier, storage
from midb_ray.runs.stream import Spread

CONVERSATION: Final = "source_row"
"""The column that turns of one conversation share; null for a pair by itself, absent from older runs."""

_NEEDED: Final = ("row", "language", "instruction", "input", "response", "findings", *SCORES, *LACKING.values())
_TASKS: Final = 64  # into which a corpus is cut while that gives no tiny ones
_LEAST, _MOST = 1_024, 32_768  # rows of a stretch
_BYTES: Final = 64 << 20  # of its parts, which are compressed
_READERS, _TOGETHER = 16, 64  # parts looked at side by side; on object stores each takes some round trips

_PLAN: Final = pa.schema(
    [("number", pa.int64()), ("run", pa.string()), ("first", pa.int64()), ("stop", pa.int64()), ("rows", pa.int64())]
)


class Source(NamedTuple):
    """A scored run: how the user called it, where it is, its version, and the columns of its parts."""

    name: str
    uri: str
    version: str
    schema: pa.Schema


class Stretch(NamedTuple):
    """Parts `first` to `stop` of a run, with so many rows."""

    number: int
    run: str
    first: int
    stop: int
    rows: int


class Seen(NamedTuple):
    """What a part holds; of which conversations its first and last rows are, None where they are of none."""

    part: int
    rows: int
    size: int
    head: str | None
    tail: str | None


class _Range(NamedTuple):
    run: str
    first: int
    stop: int
    digests: frozenset[str]
    has_conversations: bool


def sources(given: tuple[str, ...], output: str) -> list[Source]:
    """The scored runs that `given` names. Raises `UserError` for what is no whole run of a score job, or named twice."""
    found: dict[str, Source] = {}
    for name in given:
        file = earlier.find(name, output, ("score",), "select")
        if file.uri in found:
            raise UserError(f"Input {name!r} is given twice, as {found[file.uri].name!r} too; give it once.")
        found[file.uri] = Source(file.name, file.uri, file.version, _schema(file.uri))
    return list(found.values())


def told(run: Source, key: str) -> dict[str, dict[str, int]]:
    """What a run's summary counts by language under a key; nothing where it does not say."""
    try:
        found = (earlier.described(run.uri, "summary.json") or {}).get(key)
    except OSError:
        return {}
    return found if isinstance(found, dict) else {}


def languages(runs: Iterable[Source]) -> Counter[str]:
    """The pairs of runs by language, as their summaries count them."""
    found: Counter[str] = Counter()
    for run in runs:
        found.update({language: sum(counts.values()) for language, counts in told(run, "decisions").items()})
    return found


def schema(runs: Iterable[Source]) -> pa.Schema:
    """The columns of the selection: those of all runs. Raises `UserError` if one has different types in two runs."""
    try:
        return pa.unify_schemas([run.schema for run in runs])
    except (pa.ArrowInvalid, pa.ArrowTypeError) as error:
        raise UserError(f"The runs have different columns ({one_line(error)}); score them with one version.") from None


def aligned(table: pa.Table, columns: pa.Schema) -> pa.Table:
    """A table with these columns, null where it has none of the name."""
    names = set(table.column_names)
    arrays = [
        table.column(field.name).cast(field.type) if field.name in names else pa.nulls(table.num_rows, field.type)
        for field in columns
    ]
    return pa.Table.from_arrays(arrays, schema=columns)


def plan(runs: Iterable[Source], spread: Spread) -> list[Stretch]:
    """All stretches of the runs, in order. Raises `UserError` for a part that is damaged or of other settings than its run."""
    found: list[tuple[str, list[Seen]]] = []
    for run in runs:
        count, digests = earlier.facts(run.uri)
        has_conversations = CONVERSATION in run.schema.names
        ranges = [
            _Range(run.uri, first, min(first + _TOGETHER, count), digests, has_conversations)
            for first in range(0, count, _TOGETHER)
        ]
        found.append((run.uri, [part for parts in spread(_look, ranges) for part in parts]))
    rows = min(max(sum(part.rows for _, parts in found for part in parts) // _TASKS, _LEAST), _MOST)
    cuts = [(uri, group) for uri, parts in found for group in _groups(parts, rows)]
    return [
        Stretch(number, uri, group[0].part, group[-1].part + 1, sum(part.rows for part in group))
        for number, (uri, group) in enumerate(cuts)
    ]


def write(uri: str, stretches: list[Stretch]) -> None:
    """Write a plan. Raises OSError."""
    sink = pa.BufferOutputStream()
    pq.write_table(pa.Table.from_pylist([stretch._asdict() for stretch in stretches], schema=_PLAN), sink)
    storage.write_bytes(uri, sink.getvalue())


def load(uri: str) -> list[Stretch]:
    """The plan that was written. Raises OSError."""
    with storage.open_input(uri) as stream:
        return [Stretch(**row) for row in pq.read_table(stream).to_pylist()]


def moved(stretches: list[Stretch], runs: list[Source]) -> list[Stretch]:
    """The same stretches, read from where the runs lie now. These are those that were planned, in their order."""
    places = dict(zip(dict.fromkeys(stretch.run for stretch in stretches), (run.uri for run in runs), strict=True))
    return [stretch._replace(run=places[stretch.run]) for stretch in stretches]


def read(stretch: Stretch, columns: pa.Schema, names: set[str] | None = None) -> pa.Table:
    """The rows of a stretch with the `columns` of its run, all or those of the `names`. Raises OSError, and `UserError` if they are
    not those that were planned."""
    with ThreadPoolExecutor(max_workers=_READERS) as threads:
        tables = functools.partial(earlier.table, stretch.run, commit.PAIRS, columns, columns=names)
        found = pa.concat_tables(threads.map(tables, range(stretch.first, stretch.stop)))
    if found.num_rows != stretch.rows:
        raise UserError(
            f"{stretch.run} has changed since it was planned: parts {stretch.first} to {stretch.stop - 1} had {stretch.rows} rows "
            f"and have {found.num_rows} now; put the run back as it was, or start over with --fresh."
        )
    return found


def _schema(run: str) -> pa.Schema:
    found = earlier.columns(run)
    if missing := [name for name in _NEEDED if name not in found.names]:
        raise UserError(
            f"{commit.part_uri(run, commit.PAIRS, 0)} has no column {missing[0]!r}; score the corpus with this version."
        )
    return found


def _look(piece: _Range) -> list[Seen]:
    with ThreadPoolExecutor(max_workers=_READERS) as threads:
        return list(threads.map(functools.partial(_seen, piece), range(piece.first, piece.stop)))


def _seen(piece: _Range, number: int) -> Seen:
    place = commit.part_uri(piece.run, commit.PAIRS, number)
    try:
        part, size = earlier.part(piece.run, number, piece.digests), storage.info(place)
        head = tail = None
        if piece.has_conversations and part.figures.rows_out:
            told = pa.schema([pa.field(CONVERSATION, pa.large_string())])
            rows = earlier.table(piece.run, commit.PAIRS, told, number).column(0)
            head, tail = rows[0].as_py(), rows[-1].as_py()
    except OSError as error:
        raise storage.explain(error, place, "read") from None
    return Seen(number, part.figures.rows_out, size.size if size else 0, head, tail)


def _groups(parts: list[Seen], rows: int) -> Iterator[list[Seen]]:
    """The parts in groups of so many rows, more where a conversation goes on."""
    group: list[Seen] = []
    tail: str | None = None
    for part in parts:
        full = sum(one.rows for one in group) + part.rows > rows or sum(one.size for one in group) + part.size > _BYTES
        if group and part.rows and full and (tail is None or tail != part.head):
            yield group
            group = []
        group.append(part)
        tail = part.tail if part.rows else tail
    if group:
        yield group
