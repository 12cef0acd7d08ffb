"""Many shards at a time, or one alone: how a shard that is suspected of killing its engine is kept from dragging others along."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator


class Turnstile:
    """Many at a time, or one alone; who wants to be alone goes before those who come later."""

    def __init__(self) -> None:
        self._changed = asyncio.Condition()
        self._inside = 0
        self._waiting_alone = 0

    @contextlib.asynccontextmanager
    async def shared(self) -> AsyncIterator[None]:
        async with self._changed:
            await self._changed.wait_for(lambda: self._inside >= 0 and not self._waiting_alone)
            self._inside += 1
        try:
            yield
        finally:
            async with self._changed:
                self._inside -= 1
                self._changed.notify_all()

    @contextlib.asynccontextmanager
    async def alone(self) -> AsyncIterator[None]:
        async with self._changed:
            self._waiting_alone += 1
            try:
                await self._changed.wait_for(lambda: self._inside == 0)
            finally:
                self._waiting_alone -= 1
            self._inside = -1
        try:
            yield
        finally:
            async with self._changed:
                self._inside = 0
                self._changed.notify_all()
