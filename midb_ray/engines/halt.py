"""The clean end of a stream before its plan is through: shards that an engine has taken in are finished, no others begin.

The driver leaves a file in the run folder, which every node sees anyway. The source stops handing out, and what it has handed out
already (it runs far ahead of the engines) passes by them undone.
"""

from __future__ import annotations

import pyarrow as pa

from midb_ray.runs import storage

FILE = "halt"


def call(run: str) -> None:
    """No shard of the run begins from now on. Raises OSError."""
    storage.write_bytes(storage.join(run, FILE), b"")


def clear(run: str) -> None:
    """Shards begin again. Raises OSError."""
    storage.delete(storage.join(run, FILE))


def is_called(run: str) -> bool:
    """Whether a halt is called; storage that does not answer has not called it."""
    try:
        return storage.info(storage.join(run, FILE)) is not None
    except OSError:
        return False


def undone(shard: int) -> pa.Table:
    """The row that stands for a shard which was left as it was: it has neither figures nor an error."""
    schema = pa.schema([("shard", pa.int64()), ("figures", pa.string()), ("error", pa.string())])
    return pa.table({"shard": [shard], "figures": [None], "error": [None]}, schema=schema)
