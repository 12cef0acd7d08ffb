"""An event loop in a thread of its own: an engine's connections live there, and its callers may come from any loop."""

from __future__ import annotations

import asyncio
import concurrent.futures
import threading
from collections.abc import Callable, Coroutine, Sequence
from typing import Any, TypeVar

from midb_ray.engines.base import EngineError

R = TypeVar("R")
T = TypeVar("T")
_PATIENCE = 5.0  # seconds for calls to end when the loop is closed


class OwnLoop:
    """Runs rows side by side until it is closed."""

    def __init__(self, name: str) -> None:
        self._loop = asyncio.new_event_loop()
        self._closing: asyncio.Future[None] = self._loop.create_future()
        self._closed = False
        self._thread = threading.Thread(target=self._loop.run_forever, name=name, daemon=True)
        self._thread.start()

    async def each(self, work: Callable[[R], Coroutine[Any, Any, T]], rows: Sequence[R]) -> list[T]:
        """The result of every row, in order. The first row that raises ends the others; so does a caller that is cancelled. Raises
        `EngineError` when the loop is closed."""
        if self._closed:
            raise EngineError("The engine was closed.")
        return await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(self._until_closed(work, rows), self._loop))

    def wait_for(self, work: Coroutine[Any, Any, T]) -> T:
        """The result of `work`, for callers without a loop."""
        return asyncio.run_coroutine_threadsafe(work, self._loop).result()

    def close(self, last: Callable[[], Coroutine[Any, Any, None]] | None = None) -> None:
        """Tell all callers that they wait in vain, wait until they know, do what is to be done last, and end the thread. What does
        not end in time is left to itself."""
        if self._closed:
            return
        self._closed = True
        ending = asyncio.run_coroutine_threadsafe(self._end(last), self._loop)
        if threading.current_thread() is not self._thread:
            concurrent.futures.wait([ending], 2 * _PATIENCE)
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join()
            self._loop.close()
        else:  # the collector has come by here
            ending.add_done_callback(lambda _: self._loop.stop())

    async def _until_closed(self, work: Callable[[R], Coroutine[Any, Any, T]], rows: Sequence[R]) -> list[T]:
        answers: asyncio.Future[Any] = asyncio.ensure_future(_together(work, rows))
        try:
            await asyncio.wait({answers, self._closing}, return_when=asyncio.FIRST_COMPLETED)
            if not answers.done():
                raise EngineError("The engine was closed.")
            return list(answers.result())
        finally:
            answers.cancel()

    async def _end(self, last: Callable[[], Coroutine[Any, Any, None]] | None) -> None:
        self._closing.set_result(None)
        rest = asyncio.all_tasks() - {asyncio.current_task()}
        if rest:
            await asyncio.wait(rest, timeout=_PATIENCE)
        if last is not None:
            await last()


async def _together(work: Callable[[R], Coroutine[Any, Any, T]], rows: Sequence[R]) -> list[T]:
    tasks = [asyncio.ensure_future(work(row)) for row in rows]
    try:
        return await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)
