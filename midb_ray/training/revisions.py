"""Expert revisions, read in two passes from any of the formats that have a revised side.

The first gives what rows are chosen by, a few numbers a row; the second the texts of the chosen ones. Texts are in memory one
shard at a time, wherever that shard is read. An edit distance that the data state is never used: published ones are wrong.
"""

from __future__ import annotations

import functools
import json
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import pyarrow as pa
import xxhash

from midb_ray.errors import UserError
from midb_ray.formats import json_rows
from midb_ray.formats.file_language import file_language
from midb_ray.formats.reading import Reader
from midb_ray.formats.records import Record, RowError
from midb_ray.formats.registry import FORMATS, detect
from midb_ray.locales import Locales
from midb_ray.pairs import REVISION_SCHEMA, DeadLetter, Pair, Revision, Text, rows_to_table
from midb_ray.runs import inputs, planning, shards, staging, storage
from midb_ray.runs.inputs import InputFile
from midb_ray.runs.shards import Shard
from midb_ray.runs.stream import Spread
from midb_ray.signals.distance import distance
from midb_ray.signals.language import Identifier

SHARD_ROWS = 1000
STAGING = "staging"

# What a usable revision is chosen by. `index` counts the rows of its shard; `content` is a hash of its language and texts, `name`
# of its `row`, `source` of its source_id, or where it has none of its language and raw texts.
CANDIDATE_SCHEMA = pa.schema(
    [
        pa.field("shard", pa.int64(), nullable=False),
        pa.field("index", pa.int64(), nullable=False),
        pa.field("language", pa.string(), nullable=False),
        pa.field("distance", pa.int32(), nullable=False),
        pa.field("content", pa.uint64(), nullable=False),
        pa.field("name", pa.uint64(), nullable=False),
        pa.field("source", pa.uint64(), nullable=False),
        pa.field("has_source", pa.bool_(), nullable=False),
    ]
)


class Unusable(NamedTuple):
    """How many rows are no usable revisions, in which language (as the file's name states it) and why; `example` is the first."""

    language: str | None
    reason: str
    rows: int
    example: str


class Found(NamedTuple):
    """What the first pass finds in a shard: a table of `CANDIDATE_SCHEMA`, and what cannot be used."""

    candidates: pa.Table
    unusable: list[Unusable]


class Wanted(NamedTuple):
    """Rows that were chosen in a shard: their `index` and `content` as the first pass saw them, in the shard's order."""

    shard: Shard
    indices: list[int]
    contents: list[int]


@dataclass(frozen=True)
class Reading:
    """Picklable and hashable: each process builds its readers from it once. `locales` are the languages' entries as JSON."""

    locales: str

    def candidates(self, shard: Shard) -> Found:
        """The first pass over one shard. Raises `UserError` if it cannot be read."""
        rows = []
        unusable: dict[tuple[str | None, str], Unusable] = {}
        for index, outcome in _outcomes(self, shard):
            if isinstance(outcome, Revision):
                rows.append(_candidate(shard.shard, index, outcome))
                continue
            key = _stated(self, shard.file), outcome.reason
            before = unusable.get(key, Unusable(*key, 0, outcome.row))
            unusable[key] = before._replace(rows=before.rows + 1)
        return Found(rows_to_table(rows, CANDIDATE_SCHEMA), list(unusable.values()))

    def texts(self, wanted: Wanted) -> pa.Table:
        """The second pass over one shard: its chosen rows as a table of `REVISION_SCHEMA`.

        Raises `UserError` if it cannot be read, or holds other revisions than the first pass saw.
        """
        chosen = dict(zip(wanted.indices, wanted.contents, strict=True))
        rows = []
        for index, outcome in _outcomes(self, wanted.shard):
            if isinstance(outcome, Revision) and chosen.get(index) == _content(outcome):
                rows.append(_row(outcome))
        if len(rows) != len(chosen):
            raise UserError(f"{wanted.shard.file} has changed while it was being read; leave it alone and start again.")
        return rows_to_table(rows, REVISION_SCHEMA)


def reasons(unusable: Sequence[Unusable]) -> Counter[str]:
    """How many rows are no usable revisions, by reason."""
    found = Counter[str]()
    for one in unusable:
        found[one.reason] += one.rows
    return found


def reading(locales: Locales) -> Reading:
    """How revisions are read with these languages."""
    return Reading(json.dumps(locales.fingerprint(), ensure_ascii=False))


def plan(files: Sequence[InputFile], place: str, spread: Spread) -> list[Shard]:
    """The shards of all files; what is compressed is unpacked into `STAGING` below `place`.

    Raises `UserError` for files that cannot be read or have no revised side.
    """
    tasks: list[planning.Scan] = []
    for staged in spread(functools.partial(staging.stage, storage.join(place, STAGING), SHARD_ROWS), files):
        tasks += planning.scans(
            staged.file, staged.uri, staged.layout, _format(staged), SHARD_ROWS, sample=1.0, error=staged.error
        )
    return list(planning.assemble(tasks, spread(planning.scan, tasks)))


def _format(staged: staging.Staged) -> str:
    rows = inputs.first_rows(staged.uri, staged.layout)
    try:
        found = detect(rows)
    except UserError as error:
        raise UserError(f"{staged.file.name}: {error}") from None
    if found.revised is not None:
        return found.name
    if any(map(_reads, rows)):
        raise UserError(
            f"{staged.file.name} holds {found.name} rows without a revised side; expected expert revisions, rows with a raw "
            "and a revised pair."
        )
    return "revisions"  # no row tells the format: each is unusable, for a reason of its own


def _reads(row: bytes | dict[str, object]) -> bool:
    try:
        return isinstance(row, dict) or bool(json_rows.parse(row))
    except RowError:
        return False


def _outcomes(reading: Reading, shard: Shard) -> Iterator[tuple[int, Revision | DeadLetter]]:
    """The rows of a shard by number; one that says so stands for what is missing of a file that ends early."""
    if shard.error is not None:
        yield 0, DeadLetter(f"{shard.file}:end", shard.file, shard.line + 1, None, "truncated_file", shard.error, b"")
        return
    reader = _reader(reading, shard.format)
    with shards.explained(shard):
        for index, (position, line, offset, raw) in enumerate(shards.read(shard)):
            yield index, reader.revision(Record(f"{shard.file}:{position}", shard.file, line, offset, raw))


def _candidate(shard: int, index: int, revision: Revision) -> tuple[object, ...]:
    pair, raw, revised = revision.pair, _raw(revision.pair), _revised(revision)
    source = _hash(pair.source_id) if pair.source_id is not None else _hash("\0".join([pair.language, *raw]))
    hashes = _content(revision), _hash(pair.row), source
    return shard, index, pair.language, distance(raw, revised), *hashes, pair.source_id is not None


def _row(revision: Revision) -> tuple[object, ...]:
    pair, raw, revised = revision.pair, _raw(revision.pair), _revised(revision)
    about = pair.row, pair.id, pair.source_id, pair.language
    return *about, *raw, *revised, list(revision.kinds), distance(raw, revised)


def _raw(pair: Pair) -> Text:
    return Text(pair.instruction, pair.input, pair.response)


def _revised(revision: Revision) -> Text:
    return Text(revision.instruction, revision.input, revision.response)


def _content(revision: Revision) -> int:
    """A hash of language and texts, which hold no NUL."""
    return _hash("\0".join([revision.pair.language, *_raw(revision.pair), *_revised(revision)]))


def _hash(text: str) -> int:
    return xxhash.xxh3_64_intdigest(text.encode())


@functools.lru_cache(maxsize=2)
def _locales(reading: Reading) -> Locales:
    return Locales(json.loads(reading.locales))


@functools.lru_cache(maxsize=8)
def _reader(reading: Reading, form: str) -> Reader:
    return Reader(FORMATS[form], _locales(reading), identify=Identifier(_locales(reading)).identify)


@functools.lru_cache(maxsize=256)
def _stated(reading: Reading, file: str) -> str | None:
    """The tag of the language that a file's name states."""
    found = file_language(file, _locales(reading))
    return found.tag if found else None
