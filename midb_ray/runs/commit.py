"""Commit a shard: a shard is done when its file exists.

The whole file is serialised in memory; the dead letters are written first, even when there are none; then the pairs, in one
write. Counts and fingerprint stand in the Parquet metadata, so resume learns all it needs from the footers.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq

from midb_ray.runs import parquet, storage
from midb_ray.runs.figures import Figures

PAIRS, DEAD_LETTERS = "pairs", "dead_letters"
_FIGURES, _DIGEST = b"midb_ray.figures", b"midb_ray.fingerprint"
_READERS, _TOGETHER = 32, 1024  # results wait in memory until all that were asked for together are there
_DICTIONARY = ["language", "decision", "reasons.list.element", "repairs.list.element", "file", "reason"]


class Part(NamedTuple):
    """What the footer of a committed shard says: its counts, the digest of its run, the rows in the file."""

    figures: Figures
    digest: str
    rows: int


def part_uri(run: str, folder: str, shard: int) -> str:
    """Where a shard's file stands. Eight digits sort right up to a hundred million shards."""
    return storage.join(run, folder, f"part-{shard:08d}.parquet")


def shard_of(uri: str) -> int | None:
    """The shard that a file name belongs to; None for other files."""
    name = uri.rpartition("/")[2]
    digits = name.removeprefix("part-").removesuffix(".parquet")
    return int(digits) if digits.isdecimal() and name == f"part-{int(digits):08d}.parquet" else None


def commit(run: str, shard: int, digest: str, pairs: pa.Table, dead_letters: pa.Table, figures: Figures) -> None:
    """Write a shard's two files. Raises OSError; then the shard is not done, and nothing torn stands under its name."""
    if not figures.balanced or figures.rows_out != pairs.num_rows or figures.dead_letters != dead_letters.num_rows:
        raise AssertionError(
            f"shard {shard}: {figures.rows_in} rows in, {figures.later_turns} later turns, {pairs.num_rows} out, "
            f"{dead_letters.num_rows} dead"
        )
    for folder, table in ((DEAD_LETTERS, dead_letters), (PAIRS, pairs)):
        write(run, folder, shard, digest, table, figures)


def write(run: str, folder: str, shard: int, digest: str, table: pa.Table, figures: Figures) -> None:
    """Write one file of a shard, with its counts and its run's digest in the metadata. Raises OSError."""
    metadata = {_FIGURES: figures.to_json().encode(), _DIGEST: digest.encode()}
    storage.write_bytes(part_uri(run, folder, shard), _serialise(table, metadata))


def read_part(run: str, shard: int, folder: str = PAIRS) -> Part | None:
    """The footer of a committed shard; None if there is no such file or it is none of ours or torn. Raises OSError."""
    try:
        found = parquet.footer(part_uri(run, folder, shard))
        metadata = found.metadata or {}
        return Part(Figures.from_json(metadata[_FIGURES]), metadata[_DIGEST].decode(), found.num_rows)
    except (FileNotFoundError, pa.ArrowInvalid, AttributeError, KeyError, TypeError, ValueError):
        return None


def _serialise(table: pa.Table, metadata: dict[bytes, bytes]) -> pa.Buffer:
    sink = pa.BufferOutputStream()
    pq.write_table(
        table.replace_schema_metadata(metadata),
        sink,
        compression="zstd",
        compression_level=1,
        use_dictionary=_DICTIONARY,
    )
    return sink.getvalue()


def read_parts(run: str, shards: list[int]) -> Iterator[Part | None]:
    """The footers of many shards, in order, read side by side (on object stores each takes a round trip)."""
    with ThreadPoolExecutor(max_workers=_READERS) as threads:
        for start in range(0, len(shards), _TOGETHER):
            yield from threads.map(functools.partial(read_part, run), shards[start : start + _TOGETHER])
