"""The engine of a job that asks none: its actors only commit what was found out before them."""

from __future__ import annotations

from collections.abc import Sequence

from midb_ray.engines.base import Completion, Request


class IdleEngine:
    """Takes no requests."""

    isolated = True  # no row can harm it, so that no attempt need be written down

    async def generate(self, requests: Sequence[Request]) -> list[Completion]:
        """Nothing for nothing. Raises `AssertionError` for a request: whoever sends one has chosen the wrong engine."""
        if requests:
            raise AssertionError(f"an idle engine was sent {len(requests)} requests")
        return []

    def close(self) -> None:
        pass
