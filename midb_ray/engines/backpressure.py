"""How many shards may wait before the engine pool, whatever their size.

Ray Data holds a stage back when the blocks behind it fill its share of the object store, which is gigabytes on a large node: a slow
output would let thousands of prepared shards pile up, and the driver keep the books of each. So a stage stops as soon as a
fixed number of shards waits behind it. The pool's own appetite is bounded by its slots.

Ray Data also keeps statistics of every block that a stage has ever made, about 6 KiB in the driver for each shard, for a table
that it can print at the end. Here the latest have to do.
"""

from __future__ import annotations

from collections import deque
from typing import Any

from ray.data._internal.execution.backpressure_policy import (
    ENABLED_BACKPRESSURE_POLICIES,
    ENABLED_BACKPRESSURE_POLICIES_CONFIG_KEY,
)
from ray.data._internal.execution.backpressure_policy.backpressure_policy import BackpressurePolicy

_WAITING_KEY = "midb_ray.waiting_shards"
_STATISTICS, _LATEST = "_output_blocks_stats", 100
_LEAST = 16  # so that reading, whose pace varies, does not leave a small pool without work


def bound(context: Any, actors: int, in_flight: int) -> None:
    """Let at most twice as many shards wait before a pool as are inside it at its largest: enough for it to grow by what waits."""
    context.set_config(_WAITING_KEY, max(2 * actors * in_flight, _LEAST))
    context.set_config(ENABLED_BACKPRESSURE_POLICIES_CONFIG_KEY, [*ENABLED_BACKPRESSURE_POLICIES, WaitingShards])


class WaitingShards(BackpressurePolicy):
    """Holds back every stage behind which as many shards wait or are being made as the context allows."""

    def __init__(self, data_context: Any, topology: Any, resource_manager: Any) -> None:
        super().__init__(data_context, topology, resource_manager)
        self._most: int = data_context.get_config(_WAITING_KEY)
        for op in topology:
            if hasattr(op, _STATISTICS):
                setattr(op, _STATISTICS, deque(maxlen=_LATEST))

    def can_add_input(self, op: Any) -> bool:
        """Whether another task of the stage may start."""
        return not op.output_dependencies or self._behind(op) + op.num_active_tasks() < self._most

    def max_task_output_bytes_to_read(self, op: Any) -> int | None:
        """0 holds back running tasks of many results, as reading the plan is one."""
        return 0 if op.output_dependencies and self._behind(op) >= self._most else None

    def _behind(self, op: Any) -> int:
        waiting = sum(self._topology[after].total_enqueued_input_blocks() for after in op.output_dependencies)
        behind: int = self._topology[op].total_enqueued_output_blocks() + waiting
        return behind
