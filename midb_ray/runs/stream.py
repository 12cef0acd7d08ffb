"""A `map` over the cluster as a Ray Data pipeline: what passes over data use it, and plain `map` where there is no Ray.

One item is one row in a block of its own, so a task takes one item and results keep the items' order. What the user can mend
travels as a row and not as an exception, which would arrive wrapped in pages of Ray Data's own advice.
"""

from __future__ import annotations

import functools
import logging
import pickle
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, Protocol, TypeVar

import pyarrow as pa

from midb_ray.errors import UserError
from midb_ray.runs import cluster, labels, memory

logger = logging.getLogger("midb_ray")

A = TypeVar("A")
B = TypeVar("B")

_ITEM = pa.schema([pa.field("item", pa.large_binary(), nullable=False)])
_RESULT = pa.schema([pa.field(name, pa.large_binary()) for name in ("value", "table", "error")])


class Spread(Protocol):
    """A `map`: over the cluster, or in this process."""

    def __call__(self, function: Callable[[A], B], items: Iterable[A], /) -> Iterator[B]: ...


def over_cluster(function: Callable[[A], B], items: Iterable[A], nodes: Mapping[str, str] = labels.ELSE) -> Iterator[B]:
    """`function` over `items` (picklable, a few thousand at most: their descriptors are held together), results in their order.
    A result is an Arrow table or anything that can be pickled. The work is done on the `nodes` of a label selector.

    Raises `UserError` and OSError as `function` raised them; anything else as Ray Data wraps it.
    """
    import ray.data

    given = [pickle.dumps(item) for item in items]
    if not given:
        return
    silence()
    cluster.tell_waiting(nodes)
    blocks = [pa.table({"item": pa.array([item], pa.large_binary())}, schema=_ITEM) for item in given]
    dataset = ray.data.from_arrow(blocks)
    context = dataset.context  # this dataset's own: the driver's may be about to serve another job
    context.enable_progress_bars = False
    context.print_on_execution_start = False
    context.execution_options.preserve_order = True
    context.execution_options.label_selector = dict(nodes) or None
    dataset = dataset.map_batches(functools.partial(_applied, function), batch_size=1, batch_format="pyarrow")
    name(dataset, cluster.plain(function))
    try:
        for table in dataset.iter_batches(batch_size=None, batch_format="pyarrow"):
            for row in range(table.num_rows):
                yield _result(table.slice(row, 1))
    except ray.exceptions.RayError as error:
        raise cluster.original(error) from error
    finally:
        end(dataset)


def watched(results: Iterable[B], total: int, seconds: float, line: str) -> Iterator[B]:
    """Results as they come; how many of `total` there are is told every so many seconds and at the end, in a line with two places
    for numbers."""
    last = time.monotonic()
    for done, result in enumerate(results, 1):
        yield result
        if time.monotonic() - last >= seconds or done == total:
            last = time.monotonic()
            logger.info(line, done, total)


def name(dataset: Any, stage: str) -> None:
    """Call the last stage of a dataset so, on Ray's dashboard and in its logs and metrics: Ray Data itself would show the name of a
    Python function."""
    object.__setattr__(dataset._logical_plan.dag, "_name", stage)


def end(dataset: Any) -> None:
    """Stop what a dataset still has running. Without it, an iteration that is left early goes on until the garbage is collected,
    in threads that start a new cluster when the session's own is gone."""
    dataset._synchronize_progress_bar()


def silence() -> None:
    """Keep Ray Data's progress lines in its own log file; ours tell what matters."""
    for handler in logging.getLogger("ray.data").handlers:
        if isinstance(handler, logging.StreamHandler):
            handler.setLevel(logging.ERROR)


def _applied(function: Callable[[Any], Any], row: pa.Table) -> pa.Table:
    """The row of `_RESULT` for one row of `_ITEM`."""
    value = table = error = None
    try:
        found = function(pickle.loads(row.column("item")[0].as_py()))
        if isinstance(found, pa.Table):
            table = _to_bytes(found)
        else:
            value = pickle.dumps(found)
    except (UserError, OSError) as failure:
        error = _portable(failure)
    finally:
        memory.give_back()
    columns = {"value": value, "table": table, "error": error}
    return pa.table({name: pa.array([one], pa.large_binary()) for name, one in columns.items()}, schema=_RESULT)


def _result(row: pa.Table) -> Any:
    """The inverse of `_applied`. Raises what stands in the row."""
    value, table, error = (row.column(name)[0] for name in _RESULT.names)
    if error.is_valid:
        raise pickle.loads(error.as_buffer())
    if table.is_valid:
        return pa.ipc.open_stream(table.as_buffer()).read_all()
    return pickle.loads(value.as_buffer())


def _to_bytes(table: pa.Table) -> bytes:
    """A table in Arrow's own form; pickle would take along all that a slice was cut from."""
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    return bytes(sink.getvalue())


def _portable(error: UserError | OSError) -> bytes:
    """An exception that any process can make again; OSErrors of libraries' own kinds become plain ones."""
    try:
        content = pickle.dumps(error)
        pickle.loads(content)
    except Exception:  # whatever an exception's class makes of its arguments
        return pickle.dumps(OSError(getattr(error, "errno", None), str(error)))
    return content
