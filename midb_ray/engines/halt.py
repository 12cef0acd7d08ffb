"""The clean end of a stream before its plan is through: shards that an engine has taken in are finished, no others begin.

The driver leaves a file in the run folder, which every node sees anyway. The source stops handing out, and what it has handed out
already (it runs far ahead of the engines) passes by them undone.
"""

from __future__ import annotations

import math
import time

from midb_ray.runs import storage

FILE = "halt"


_FRESH = 1.0  # seconds for which a process believes that none is called: to an object store each question is a request
_clear_at: dict[str, float] = {}  # when that was last seen


def call(run: str) -> None:
    """No shard of the run begins from now on. Raises OSError."""
    storage.write_bytes(storage.join(run, FILE), b"")
    _clear_at.pop(run, None)


def clear(run: str) -> None:
    """Shards begin again. Raises OSError."""
    storage.delete(storage.join(run, FILE))


def is_called(run: str) -> bool:
    """Whether a halt is called, or was not yet a second ago; storage that does not answer has not called it."""
    now = time.monotonic()
    if now - _clear_at.get(run, -math.inf) < _FRESH:
        return False
    try:
        if storage.info(storage.join(run, FILE)) is not None:
            return True
    except OSError:
        pass
    _clear_at[run] = now
    return False
