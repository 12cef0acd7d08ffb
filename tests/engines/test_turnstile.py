"""The way into an actor: many shards at a time, or one alone."""

from __future__ import annotations

import asyncio

from midb_ray.engines.turnstile import Turnstile


def test_a_suspect_shard_waits_for_the_others_and_then_is_alone() -> None:
    events: list[str] = []

    async def visit(turnstile: Turnstile, name: str, alone: bool) -> None:
        async with turnstile.alone() if alone else turnstile.shared():
            events.append(f"{name} in")
            await asyncio.sleep(0.01)
            events.append(f"{name} out")

    async def all_three() -> None:
        turnstile = Turnstile()
        await asyncio.gather(
            visit(turnstile, "a", False),
            visit(turnstile, "b", False),
            visit(turnstile, "suspect", True),
            visit(turnstile, "c", False),
        )

    asyncio.run(all_three())
    entered = events.index("suspect in")
    assert events[entered + 1] == "suspect out"
    assert {"a out", "b out"} <= set(events[:entered])
    assert events.index("c in") > entered
