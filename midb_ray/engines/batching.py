"""Which rows go through the model together: the rows that callers wait for, and the next batch of them."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Sequence
from typing import NamedTuple

from midb_ray.engines.base import Completion, Request


class Call:
    """One call of `generate`: it is over when every completion is there, when it failed, or when its caller left.

    Made on the caller's event loop; `put` and `fail` may be called from any one other thread.
    """

    def __init__(self, requests: Sequence[Request]) -> None:
        self._loop = asyncio.get_running_loop()
        self.future: asyncio.Future[list[Completion]] = self._loop.create_future()
        self.requests = requests
        self._completions: list[Completion | None] = [None] * len(requests)
        self._missing = len(requests)

    @property
    def over(self) -> bool:
        return self.future.done()

    def put(self, position: int, completion: Completion) -> None:
        """Deliver the completion of one request; the last one ends the call."""
        self._completions[position] = completion
        self._missing -= 1
        if self._missing == 0:
            self._tell(self._succeed)

    def fail(self, error: Exception) -> None:
        """End the call with an exception; completions that are there already are dropped."""
        self._tell(lambda: self._raise(error))

    def _raise(self, error: Exception) -> None:
        if not self.future.done():
            self.future.set_exception(error)

    def _succeed(self) -> None:
        if not self.future.done():
            self.future.set_result([completion for completion in self._completions if completion is not None])

    def _tell(self, callback: Callable[[], None]) -> None:
        with contextlib.suppress(RuntimeError):  # the loop is closed: nobody waits any more
            self._loop.call_soon_threadsafe(callback)


class Row(NamedTuple):
    """One request of a call."""

    call: Call
    position: int

    @property
    def request(self) -> Request:
        return self.call.requests[self.position]

    @property
    def size(self) -> int:
        """Tokens that it takes at most, prompt and answer."""
        return len(self.request.ids or ()) + self.request.limit


def cost(rows: Sequence[Row]) -> int:
    """Tokens that a batch takes at most once it is padded."""
    longest_prompt = max(len(row.request.ids or ()) for row in rows)
    return len(rows) * (longest_prompt + max(row.request.limit for row in rows))


def cut(waiting: Sequence[Row], budget: int) -> tuple[list[Row], list[Row]]:
    """The next batch and the rows left over, both from `waiting` in the order in which their calls came.

    The batch begins with the longest row of the oldest call, so that no call waits for ever, and goes on with the next
    shorter rows of any call while its `cost` stays within `budget`; a single row may exceed it.
    """
    oldest = waiting[0].call
    first = max((row for row in waiting if row.call is oldest), key=lambda row: row.size)
    shorter = sorted((row for row in waiting if row.size <= first.size and row is not first), key=lambda row: -row.size)
    longest_prompt, longest_limit = len(first.request.ids or ()), first.request.limit
    batch = [first]
    for row in shorter:
        longest_prompt = max(longest_prompt, len(row.request.ids or ()))
        longest_limit = max(longest_limit, row.request.limit)
        if (len(batch) + 1) * (longest_prompt + longest_limit) > budget:
            break
        batch.append(row)
    taken = {(id(row.call), row.position) for row in batch}
    return batch, [row for row in waiting if (id(row.call), row.position) not in taken]
