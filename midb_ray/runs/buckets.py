"""Rows brought together by a key, over storage: tasks of a first stage cut their rows into buckets, tasks of a second one read a
bucket each.

Rows with equal keys come into the same bucket, whichever task had them. A writing task makes one file with a record batch for each
bucket, in one write: its rows are there all or none, a task that is tried again writes the same once more, and there are as many
files as tasks, not tasks × buckets. A reading task fetches from every file the footer and its own batch. So a writer holds the
rows of its task, a reader those of its bucket, and nobody those of the run.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from midb_ray.errors import UserError, one_line
from midb_ray.runs import storage

KEY: Final = "key"
"""The column by which rows come together, uint64: equal where rows are to meet."""

MOST: Final = 1_024
"""Buckets at most: each is a range to read in every file."""

_BYTES: Final = 64 << 20  # of a bucket
_READERS: Final = 16  # files looked at together: on object stores each takes some round trips
_MULTIPLIER: Final = np.uint64(0x9E3779B97F4A7C15)
_OPTIONS: Final = pa.ipc.IpcWriteOptions(compression=pa.Codec("zstd", 1))


class Buckets(NamedTuple):
    """A folder with the rows of one stage in a `number` of buckets."""

    uri: str
    number: int


def enough(rows: int, row_bytes: float) -> int:
    """How many buckets keep each at 64 MiB or so, as long as these are not too many."""
    return int(min(max(rows * row_bytes / _BYTES, 1), MOST))


def of(keys: npt.NDArray[np.uint64], count: int) -> npt.NDArray[np.int64]:
    """The bucket of each key; keys that follow each other lie in different ones."""
    high = (keys * _MULTIPLIER) >> np.uint64(32)
    return ((high * np.uint64(count)) >> np.uint64(32)).astype(np.int64)


def write(buckets: Buckets, task: int, table: pa.Table) -> None:
    """Write the rows of a task, in place of what an earlier try may have written; a task without rows says so with a file too.
    Texts are of large types. Raises OSError."""
    chosen = of(table.column(KEY).to_numpy(), buckets.number)
    order = np.argsort(chosen, kind="stable")
    sorted_rows = table.take(pa.array(order)).combine_chunks()
    batch = pa.RecordBatch.from_arrays(
        [column.chunk(0) if column.num_chunks else pa.nulls(0, column.type) for column in sorted_rows.columns],
        schema=table.schema,
    )
    start = 0
    sink = pa.BufferOutputStream()
    with pa.ipc.new_file(sink, table.schema, options=_OPTIONS) as writer:
        for rows in np.bincount(chosen, minlength=buckets.number).tolist():
            writer.write_batch(batch.slice(start, rows))
            start += rows
    storage.write_bytes(_uri(buckets, task), sink.getvalue(), lasting=False)


def written(buckets: Buckets) -> set[int]:
    """The tasks whose rows are there. Raises OSError."""
    names = (file.uri.rpartition("/")[2] for file in storage.list_files(buckets.uri))
    numbers = (name.removeprefix("task-").removesuffix(".arrow") for name in names)
    return {int(number) for number in numbers if number.isdecimal()}


def read(buckets: Buckets, tasks: Iterable[int], bucket: int) -> pa.Table:
    """The rows of a bucket from all `tasks`, at least one: in their order, and in that of each. Raises OSError, and `UserError`
    for a file that is damaged."""
    with ThreadPoolExecutor(max_workers=_READERS) as threads:
        return pa.Table.from_batches(threads.map(functools.partial(_batch, buckets, bucket), tasks))


def delete(buckets: Buckets) -> None:
    """Delete all of it. Raises OSError."""
    storage.delete_folder(buckets.uri)


def _uri(buckets: Buckets, task: int) -> str:
    return storage.join(buckets.uri, f"task-{task:08d}.arrow")


def _batch(buckets: Buckets, bucket: int, task: int) -> pa.RecordBatch:
    uri = _uri(buckets, task)
    try:
        with storage.open_input(uri) as stream:
            file = pa.ipc.open_file(stream)
            if file.num_record_batches != buckets.number:
                raise UserError(
                    f"{uri} has {file.num_record_batches} buckets, expected {buckets.number}; start over with --fresh."
                )
            return file.get_batch(bucket)
    except pa.ArrowInvalid as error:
        raise UserError(f"{uri} is damaged ({one_line(error)}); delete it and run the same command again.") from None
