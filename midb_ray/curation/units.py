"""What is known of each pair before any is chosen: its score, whether its own scores and findings let it pass, and the keys by
which duplicates of it are found.

A conversation is one unit, judged by its worst turn and compared as a whole; any other pair is a unit by itself.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import xxhash

from midb_ray.curation import keys, stretches
from midb_ray.curation.select_settings import SelectSettings
from midb_ray.curation.stretches import CONVERSATION, Stretch
from midb_ray.pairs import LACKING, SCORES
from midb_ray.runs import buckets, folder, storage
from midb_ray.runs.buckets import Buckets
from midb_ray.signals import minhash

PASSES, FOUND, BELOW = 0, 1, 2
"""Whether a unit passes by itself, has a finding that excludes, or a score below the lowest; of turns the greatest counts."""

_TEXTS: Final = ("instruction", "input", "response")
_SCHEMA: Final = pa.schema(
    [
        pa.field("row", pa.large_string()),
        pa.field("language", pa.large_string()),
        pa.field("rows", pa.int32()),
        pa.field("score", pa.float32()),
        pa.field("tie", pa.uint64()),
        pa.field("state", pa.uint8()),
        pa.field("same", pa.int64()),
        pa.field("cluster", pa.uint32()),
    ]
)
_BITS: Final = 32  # of a unit's name that are its place in its stretch; the stretch's number stands above
_READERS: Final = 16


class Work(NamedTuple):
    """What a task has to know: the settings, the columns of each run, the selection's run folder with its nonce, where
    intermediate files lie, into how many buckets keys go, and which n-grams are too common in a language to make a cluster."""

    settings: SelectSettings
    columns: dict[str, pa.Schema]
    run: folder.RunFolder
    place: str
    number: int
    common: dict[str, minhash.Hashes] = {}  # noqa: RUF012

    @property
    def keys(self) -> Buckets:
        """The keys by which units meet."""
        return Buckets(storage.join(self.place, "keys"), self.number)


class Units(NamedTuple):
    """The units of all stretches, in order: those of stretch s are `first[s]` to `first[s + 1]`. `same` is the first unit with the
    same texts in a unit's stretch."""

    first: npt.NDArray[np.int64]
    languages: list[str]
    language: npt.NDArray[np.uint16]
    rows: npt.NDArray[np.int32]
    score: npt.NDArray[np.float32]
    tie: npt.NDArray[np.uint64]
    state: npt.NDArray[np.uint8]
    same: npt.NDArray[np.int64]
    cluster: npt.NDArray[np.uint32]

    def numbered(self, names: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
        """The numbers of units that tasks have named."""
        numbers: npt.NDArray[np.int64] = self.first[names >> _BITS] + (names & ((1 << _BITS) - 1))
        return numbers


def starts(table: pa.Table) -> npt.NDArray[np.int64]:
    """The first row of each unit in a stretch: turns of one conversation follow each other."""
    if CONVERSATION not in table.column_names or not table.num_rows:
        return np.arange(table.num_rows)
    whose = table.column(CONVERSATION).combine_chunks()
    goes_on = pc.fill_null(pc.equal(whose[1:], whose[:-1]), False).to_numpy(zero_copy_only=False)
    return np.flatnonzero(np.r_[True, ~goes_on])


def sizes(table: pa.Table, first: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """The number of rows of each unit, from where they begin."""
    return np.diff(np.append(first, table.num_rows))


def below(table: pa.Table, settings: SelectSettings, name: str) -> npt.NDArray[np.bool_]:
    """Which rows have a score below the lowest that is asked for, compared in the precision of the column."""
    scores: npt.NDArray[np.float32] = table.column(name).to_numpy()
    return ~(scores >= np.float32(settings.lowest[name]))


def found(table: pa.Table, kinds: Iterable[str]) -> npt.NDArray[np.bool_]:
    """Which rows have a finding of one of these kinds, or lack what was asked for and is called so."""
    mask = np.zeros(table.num_rows, bool)
    for column in {LACKING[kind] for kind in kinds if kind in LACKING}:
        mask |= pc.is_valid(table.column(column)).to_numpy()
    findings = table.column("findings").combine_chunks()
    told = pc.struct_field(pc.list_flatten(findings), "kind").cast(pa.large_string())
    hits = pc.is_in(told, pa.array(sorted(kinds), pa.large_string())).to_numpy(zero_copy_only=False)
    mask[pc.list_parent_indices(findings).to_numpy()[hits]] = True
    return mask


def examine(work: Work, stretch: Stretch) -> None:
    """Write the keys of a stretch's units that pass, then what is known of all of them. Raises OSError and `UserError`."""
    folder.prove_shared(work.run.uri, work.run.nonce)
    settings = work.settings
    columns = {"row", "language", "findings", CONVERSATION, *_TEXTS, *SCORES, *LACKING.values()}
    table = stretches.read(stretch, work.columns[stretch.run], columns)
    first = starts(table)
    score = table.column(settings.by).to_numpy()
    is_below = np.zeros(table.num_rows, bool)
    for name in settings.lowest:
        is_below |= below(table, settings, name)
    state = np.where(is_below, BELOW, np.where(found(table, settings.without), FOUND, PASSES)).astype(np.uint8)
    if len(first):
        state, score = np.maximum.reduceat(state, first), np.minimum.reduceat(score, first)
    texts, names, languages = _texts(table, first)
    digests = [keys.digest(language, some) for language, some in zip(languages, texts, strict=True)]
    same = keys.first_alike(digests, state == PASSES) if settings.finds_duplicates else np.arange(len(first))
    if settings.finds_duplicates:
        chosen = np.flatnonzero((state == PASSES) & (same == np.arange(len(first))))
        own = keys.table(
            settings,
            chosen + (stretch.number << _BITS),
            [languages[place] for place in chosen],
            [texts[place] for place in chosen],
            [digests[place] for place in chosen],
        )
        buckets.write(work.keys, stretch.number, own)
    _write(
        _uri(work, stretch.number),
        {
            "row": names,
            "language": languages,
            "rows": sizes(table, first),
            "score": score,
            "tie": np.array(list(map(_tie, names, digests)), np.uint64),
            "state": state,
            "same": same + (stretch.number << _BITS),
            "cluster": _clusters(work, languages, texts),
        },
    )


def examined(work: Work) -> set[int]:
    """The stretches of which units are known. Raises OSError."""
    names = (file.uri.rpartition("/")[2] for file in storage.list_files(storage.join(work.place, "units")))
    numbers = (name.removeprefix("stretch-").removesuffix(".parquet") for name in names)
    return {int(number) for number in numbers if number.isdecimal()}


def load(work: Work, count: int) -> Units:
    """What is known of the units of all stretches. Raises OSError."""
    columns = [name for name in _SCHEMA.names if name != "row"]
    codes: dict[str, int] = {}
    parts: dict[str, list[Any]] = {name: [np.empty(0, np.int64)] for name in columns}
    sizes = [0]
    with ThreadPoolExecutor(max_workers=_READERS) as threads:
        for table in threads.map(functools.partial(_read, work, columns=columns), range(count)):
            sizes.append(table.num_rows)
            for name in columns:
                parts[name].append(table.column(name).combine_chunks() if name == "language" else table.column(name))
    for place, column in enumerate(parts["language"][1:], 1):
        words = column.dictionary_encode()
        mine = [codes.setdefault(word, len(codes)) for word in words.dictionary.to_pylist()]
        parts["language"][place] = np.array(mine, np.uint16)[words.indices.to_numpy()]
    joined = {name: np.concatenate([np.asarray(part) for part in some]) for name, some in parts.items()}
    types = {name: _SCHEMA.field(name).type.to_pandas_dtype() for name in columns if name != "language"}
    whole = {name: joined[name].astype(types.get(name, np.uint16)) for name in columns}
    found = Units(np.cumsum(sizes), list(codes), **whole)
    return found._replace(same=found.numbered(found.same))


def names(work: Work, wanted: tuple[int, npt.NDArray[np.int64]]) -> pa.Array:
    """The rows by which units of a stretch are called: a conversation by its own, a pair by its. Raises OSError."""
    stretch, places = wanted
    return _read(work, stretch, ["row"]).column("row").combine_chunks().take(pa.array(places))


def _texts(table: pa.Table, first: npt.NDArray[np.int64]) -> tuple[list[list[str]], list[str], list[str]]:
    """The texts of each unit, its row, its language."""
    rows = list(zip(*(table.column(name).to_pylist() for name in _TEXTS), strict=True))
    ends = first + sizes(table, first)
    texts = [[text for row in rows[start:end] for text in row] for start, end in zip(first, ends, strict=True)]
    chosen = table.select(["row", "language"]).take(pa.array(first))
    own = chosen.column("row")
    if CONVERSATION in table.column_names:
        own = pc.coalesce(table.column(CONVERSATION).take(pa.array(first)), own)
    return texts, own.to_pylist(), chosen.column("language").to_pylist()


def _tie(name: str, digest: bytes) -> int:
    """What decides between units of one score: by chance, and always the same."""
    return xxhash.xxh3_64_intdigest(name.encode(), int.from_bytes(digest[:8], "little"))


def _clusters(work: Work, languages: list[str], texts: list[list[str]]) -> npt.NDArray[np.uint32]:
    """The cluster of each unit by its first instruction: what is asked for, not how it is answered."""
    if not work.settings.diversity.on:
        return np.zeros(len(texts), np.uint32)
    none = np.empty(0, np.uint64)
    grams = (minhash.grams(some[0]) for some in texts)
    found = [minhash.cluster(one, work.common.get(name, none)) for name, one in zip(languages, grams, strict=True)]
    return np.array(found, np.uint32)


def _uri(work: Work, stretch: int) -> str:
    return storage.join(work.place, "units", f"stretch-{stretch:08d}.parquet")


def _write(uri: str, columns: dict[str, Any]) -> None:
    arrays = [pa.array(columns[field.name], field.type) for field in _SCHEMA]
    sink = pa.BufferOutputStream()
    pq.write_table(pa.Table.from_arrays(arrays, schema=_SCHEMA), sink, compression="zstd")
    storage.write_bytes(uri, sink.getvalue(), lasting=False)


def _read(work: Work, stretch: int, columns: list[str]) -> pa.Table:
    with storage.open_input(_uri(work, stretch)) as stream:
        return pq.ParquetFile(stream).read(columns=columns)
