"""How fast a server is asked: so many requests at once, all of them later when it says that it has too much to do."""

from __future__ import annotations

import asyncio
import contextlib
import random
import time
from collections import deque
from collections.abc import AsyncIterator

_LONGEST = 60.0  # seconds between tries, but for what the server asks for
_LONGEST_ASKED = 120.0  # seconds of Retry-After that are believed


class Pace:
    """One engine's. Lives on one event loop.

    A server with too much to do holds all requests back, for as long as it says or twice as long as the time before, and halves how
    many go out at once; each answer lets that grow again, by one after as many answers as there are places (as TCP does).
    """

    def __init__(self, most: int, backoff: float) -> None:
        self._most, self._backoff = most, backoff
        self._width, self._inside = float(most), 0
        self._held_until, self._holds = 0.0, 0
        self._waiting: deque[asyncio.Future[None]] = deque()
        self._alarm: asyncio.TimerHandle | None = None
        self.answered = 0.0
        """When the last answer came, by the monotonic clock."""

    @contextlib.asynccontextmanager
    async def turn(self, at_once: bool = False) -> AsyncIterator[None]:
        """Around one try of a request; they begin in the order of asking, but for one that has the first free place `at_once`."""
        mine = asyncio.get_running_loop().create_future()
        (self._waiting.appendleft if at_once else self._waiting.append)(mine)
        self._admit()
        try:
            await mine
        except asyncio.CancelledError:
            if mine.done() and not mine.cancelled():  # let in and called off at the same time
                self._leave()
            raise
        try:
            yield
        finally:
            self._leave()

    def good(self) -> None:
        """An answer has come."""
        self.answered = time.monotonic()
        self._holds = 0
        self._width = min(self._width + 1 / self._width, self._most)
        self._admit()

    def hold(self, asked: float | None) -> None:
        """The server has too much to do or is not there; `asked` is for how many seconds, if it says."""
        now = time.monotonic()
        if now >= self._held_until:  # else it is what the same burst has brought
            self._holds += 1
            self._width = max(self._width / 2, 1.0)
        until = now + self.wait(self._holds, asked)
        self._held_until = max(self._held_until, until)

    def wait(self, tries: int, asked: float | None) -> float:
        """Seconds until the next try after so many."""
        own = min(self._backoff * 2.0 ** min(tries - 1, 20), _LONGEST) * random.uniform(0.5, 1.0)
        return max(own, min(asked or 0.0, _LONGEST_ASKED))

    def _leave(self) -> None:
        self._inside -= 1
        self._admit()

    def _admit(self) -> None:
        left = self._held_until - time.monotonic()
        if left > 0:
            if self._waiting and self._alarm is None:
                self._alarm = asyncio.get_running_loop().call_later(left, self._wake)
            return
        while self._waiting and self._inside < int(self._width):
            first = self._waiting.popleft()
            if not first.done():
                first.set_result(None)
                self._inside += 1

    def _wake(self) -> None:
        self._alarm = None
        self._admit()
