"""What is done to bring sisters together: the tasks of `sister_join`, each over a stretch of shards or a bucket."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import xxhash

from midb_ray.corpora.corpus import Corpus, locales_of
from midb_ray.errors import UserError
from midb_ray.pairs import TEXT, Text, rows_to_table
from midb_ray.quality import sisters
from midb_ray.quality.findings import Finding
from midb_ray.quality.scoring import source_of
from midb_ray.quality.settings import SourceSettings
from midb_ray.quality.sisters import Sister, Told
from midb_ray.runs import buckets, folder, shards, storage
from midb_ray.runs.buckets import Buckets
from midb_ray.runs.folder import RunFolder
from midb_ray.runs.shards import Shard

PARTS: Final = "parts"
"""The folder with a file for each shard."""

MEMBERS: Final = 64
"""Pairs with one source that are compared; an id that millions share is none."""

LONGEST: Final = 100_000
"""Characters of a pair that is compared; longer ones are no translations that could be laid side by side."""

_OPTIONS: Final = pa.ipc.IpcWriteOptions(compression=pa.Codec("zstd", 1))
_OUTSIDE: Final = -1  # position of a source that stands in a column of a sister's row

_MEMBERS: Final = pa.schema(
    [
        pa.field(buckets.KEY, pa.uint64(), nullable=False),
        pa.field("shard", pa.int64(), nullable=False),
        pa.field("position", pa.int32(), nullable=False),
        pa.field("language", TEXT, nullable=False),
        *(pa.field(name, TEXT, nullable=False) for name in Text._fields),
        pa.field("left_out", pa.int64(), nullable=False),  # where it is not 0, the row only counts pairs of its source
    ]
)
_TOLD: Final = pa.schema(
    [
        pa.field(buckets.KEY, pa.uint64(), nullable=False),
        pa.field("position", pa.int32(), nullable=False),
        pa.field("sisters", pa.int32(), nullable=False),
        *(pa.field(name, TEXT) for name in Text._fields),
        pa.field("findings", TEXT, nullable=False),  # as JSON
    ]
)


class Join(NamedTuple):
    """What every task has to know. `first` are the first shards of the gathering tasks and, behind them, the number of all."""

    run: RunFolder
    corpus: Corpus
    source: SourceSettings
    first: tuple[int, ...]
    members: Buckets
    told: Buckets


def place_of(run: str) -> str:
    """The folder in that of a run where all of it lies."""
    return storage.join(run, "sisters")


def parts_of(run: str) -> str:
    """The folder with what `read` reads."""
    return storage.join(place_of(run), PARTS)


class Counts(NamedTuple):
    """Pairs with a `source_id` and no source in columns; those whose source is among their sisters, or that have translations of
    it to be compared with; and those that were too long or too many of one source."""

    with_id: int = 0
    with_source: int = 0
    with_translations: int = 0
    left_out: int = 0


def gather(work: Join, task: int) -> None:
    """Write the pairs of a stretch of shards into buckets by their source. Raises OSError and `UserError`."""
    folder.prove_shared(work.run.uri, work.run.nonce)
    rows: list[tuple[Any, ...]] = []
    taken: Counter[int] = Counter()
    left_out: Counter[int] = Counter()
    for shard in _shards(work, task):
        for key, position, language, text in _members(work, shard):
            if taken[key] < MEMBERS and sum(map(len, text)) <= LONGEST:
                taken[key] += 1
                rows.append((key, shard.shard, position, language, *text, 0))
            elif position != _OUTSIDE:
                left_out[key] += 1
    rows += [(key, 0, _OUTSIDE, "", "", "", "", number) for key, number in left_out.items()]
    buckets.write(work.members, task, rows_to_table(rows, _MEMBERS))


def compare(work: Join, bucket: int) -> Counts:
    """Write what the pairs of a bucket are told by their sisters into buckets by shard. Raises OSError and `UserError`."""
    table = buckets.read(work.members, range(len(work.first) - 1), bucket)
    left_out = table.column("left_out").to_numpy()
    within = table.column("position").to_numpy() != _OUTSIDE
    table = table.filter(pa.array(left_out == 0))
    table = table.take(pa.array(np.argsort(table.column(buckets.KEY).to_numpy(), kind="stable"))).combine_chunks()
    origin = locales_of(work.corpus.locales).resolve(work.source.language)
    rows: list[tuple[Any, ...]] = []
    crowded = 0
    places = table.column("position").to_numpy()
    for start, stop in _groups(table.column(buckets.KEY).to_numpy()):
        crowded += int((places[start + MEMBERS : stop] != _OUTSIDE).sum())
        for one, what in sisters.told(_sisters(work, table.slice(start, min(stop - start, MEMBERS))), origin):
            if one.position != _OUTSIDE:
                findings = json.dumps([list(finding) for finding in what.findings])
                rows.append((one.shard, one.position, what.sisters, *(what.source or [None] * 3), findings))
    buckets.write(work.told, bucket, rows_to_table(rows, _TOLD))
    with_source = sum(row[3] is not None for row in rows)
    many = int(left_out.sum())
    return Counts(int(within.sum()) + many, with_source, len(rows) - with_source, crowded + many)


def hand_out(work: Join, wanted: npt.NDArray[np.int64], bucket: int) -> None:
    """Write a file for each shard of a bucket that is `wanted`. Raises OSError and `UserError`."""
    table = buckets.read(work.told, range(work.told.number), bucket)
    table = table.take(pa.array(np.argsort(table.column(buckets.KEY).to_numpy(), kind="stable"))).combine_chunks()
    keys = table.column(buckets.KEY).to_numpy()
    mine = wanted[buckets.of(wanted.astype(np.uint64), work.told.number) == bucket]
    for shard in mine.tolist():
        start, stop = np.searchsorted(keys, np.array([shard, shard + 1], np.uint64)).tolist()
        sink = pa.BufferOutputStream()
        with pa.ipc.new_file(sink, _TOLD, options=_OPTIONS) as writer:
            writer.write_table(table.slice(start, stop - start))
        storage.write_bytes(_part(parts_of(work.run.uri), shard), sink.getvalue(), lasting=False)


def read(parts: str, shard: int, pairs: int) -> list[Told]:
    """What each of the pairs of a shard is told. Raises OSError, and `UserError` where the join has left no such file."""
    try:
        with storage.open_input(_part(parts, shard)) as stream:
            rows = pa.ipc.open_file(stream).read_all().drop_columns(buckets.KEY).to_pylist()
    except (FileNotFoundError, pa.ArrowInvalid):
        raise UserError(
            f"{_part(parts, shard)} is missing or damaged; delete {parts.rpartition('/')[0]} and run the same command again."
        ) from None
    found = [Told(0, None, [])] * pairs
    for row in rows:
        texts = [row[name] for name in Text._fields]
        findings = [Finding(*finding) for finding in json.loads(row["findings"])]
        found[row["position"]] = Told(row["sisters"], None if texts[0] is None else Text(*texts), findings)
    return found


def _shards(work: Join, task: int) -> Iterator[Shard]:
    first, stop = work.first[task : task + 2]
    for table in shards.read_plan(storage.join(work.run.uri, folder.PLAN), first, stop - first):
        yield from shards.from_table(table)


def _members(work: Join, shard: Shard) -> Iterator[tuple[int, int, str, Text]]:
    """The pairs of a shard that have a `source_id`: its key, where they stand, language and texts. Of one that has its source in
    columns it is the source that others may have need of."""
    pairs, _ = work.corpus.read(shard)
    before: set[tuple[int, Text]] = set()
    for position, pair in enumerate(pairs):
        if not pair.source_id:
            continue
        key = _key(pair.source_id, pair.turn)
        source = None if pair.turn else source_of(pair.extra, work.source)
        if source is None:
            yield key, position, pair.language, Text(pair.instruction, pair.input, pair.response)
        elif (key, source) not in before:
            before.add((key, source))
            yield key, _OUTSIDE, work.source.language, source


def _key(source_id: str, turn: int | None) -> int:
    """The same for the same turn of the same source."""
    return xxhash.xxh3_64_intdigest(f"{turn or 0} {source_id}".encode(errors="surrogatepass"))


def _groups(keys: npt.NDArray[np.uint64]) -> Iterator[tuple[int, int]]:
    """The stretches of equal keys, in order, of which a key has several."""
    starts = np.flatnonzero(np.r_[True, keys[1:] != keys[:-1]]) if len(keys) else np.empty(0, np.int64)
    ends = np.r_[starts[1:], len(keys)]
    several = ends - starts > 1
    yield from zip(starts[several].tolist(), ends[several].tolist(), strict=True)


def _sisters(work: Join, group: pa.Table) -> list[Sister]:
    locales = locales_of(work.corpus.locales)
    columns = [group.column(name).to_pylist() for name in ("shard", "position", "language", *Text._fields)]
    return [
        Sister(shard, position, locales.resolve(language), Text(*texts))
        for shard, position, language, *texts in zip(*columns, strict=True)
    ]


def _part(parts: str, shard: int) -> str:
    return storage.join(parts, f"part-{shard:08d}.arrow")
