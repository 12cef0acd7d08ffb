"""The row that a shard leaves behind in the pool: figures, or what the user has to mend, or neither."""

from __future__ import annotations

from typing import Final

import pyarrow as pa

from midb_ray.errors import UserError
from midb_ray.runs.figures import Figures

_SCHEMA: Final = pa.schema([("shard", pa.int64()), ("figures", pa.string()), ("error", pa.string())])


def done(shard: int, figures: Figures) -> pa.Table:
    """The row of a shard that is committed."""
    return _row(shard, figures.to_json(), None)


def refused(shard: int, error: UserError) -> pa.Table:
    """The row of a shard which nothing can be done with until the user mends something."""
    return _row(shard, None, str(error))


def undone(shard: int) -> pa.Table:
    """The row of a shard which was left as it was."""
    return _row(shard, None, None)


def _row(shard: int, figures: str | None, error: str | None) -> pa.Table:
    return pa.table({"shard": [shard], "figures": [figures], "error": [error]}, schema=_SCHEMA)
