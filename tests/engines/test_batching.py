"""Rows of several calls share batches under a budget, and no call waits for ever."""

from __future__ import annotations

import asyncio

import pytest

from midb_ray.engines.base import Completion, Request
from midb_ray.engines.batching import Call, Row, cost, cut


def rows(*calls: list[tuple[int, int]]) -> list[Row]:
    """Rows of calls whose requests have these (prompt, limit) lengths."""

    async def make() -> list[Row]:
        made = [Call([Request(None, [0] * prompt, limit) for prompt, limit in lengths]) for lengths in calls]
        return [Row(call, position) for call in made for position in range(len(call.requests))]

    return asyncio.run(make())


def sizes(batch: list[Row]) -> list[int]:
    return [row.size for row in batch]


def test_a_batch_begins_with_the_longest_row_of_the_oldest_call_and_takes_the_next_shorter_of_any() -> None:
    waiting = rows([(10, 10), (40, 10), (5, 5)], [(90, 10), (30, 10), (45, 10)])
    batch, rest = cut(waiting, budget=149)  # a third row would make it 3 x 50
    assert sizes(batch) == [50, 40]
    assert sizes(rest) == [20, 10, 100, 55]


def test_no_batch_is_over_budget_and_every_row_is_in_one() -> None:
    waiting = rows([(length, 20 + 3 * length % 7) for length in range(1, 60)], [(300, 100), (7, 200)])
    batches = []
    while waiting:
        batch, waiting = cut(waiting, budget=400)
        batches.append(batch)
        assert len(batch) == 1 or cost(batch) <= 400
    assert sorted(row.size for batch in batches for row in batch) == sorted(
        [length + 20 + 3 * length % 7 for length in range(1, 60)] + [400, 207]
    )
    assert any(len(batch) >= 4 for batch in batches)


def test_a_row_larger_than_the_budget_goes_alone() -> None:
    batch, rest = cut(rows([(500, 500), (10, 10)]), budget=100)
    assert sizes(batch) == [1000]
    assert sizes(rest) == [20]


def test_a_call_of_short_rows_is_served_while_calls_of_long_rows_keep_coming() -> None:
    waiting = rows([(5, 5)], [(90, 10)], [(90, 10)])
    batch, _ = cut(waiting, budget=100)
    assert sizes(batch) == [10]


def test_a_call_ends_with_its_last_completion_and_keeps_the_order_of_its_requests() -> None:
    async def scene() -> list[Completion]:
        call = Call([Request(None, [1], 1)] * 2)
        call.put(1, Completion("second", "stop", 1))
        await asyncio.sleep(0)
        assert not call.over
        call.put(0, Completion("first", "stop", 1))
        return await call.future

    assert [completion.text for completion in asyncio.run(scene())] == ["first", "second"]


def test_a_call_that_failed_or_was_left_takes_no_notice_of_what_comes_later() -> None:
    async def scene() -> None:
        failed, left = (Call([Request(None, [1], 1)]) for _ in range(2))
        failed.fail(ValueError("bad row"))
        left.future.cancel()
        for call in (failed, left):
            call.put(0, Completion("late", "stop", 1))
            call.fail(ValueError("later"))
        with pytest.raises(ValueError, match="bad row"):
            await failed.future
        await asyncio.sleep(0)
        assert left.future.cancelled()

    asyncio.run(scene())


def test_completions_for_a_loop_that_is_gone_are_dropped() -> None:
    async def make() -> Call:
        return Call([Request(None, [1], 1)])

    answered, failed = asyncio.run(make()), asyncio.run(make())
    answered.put(0, Completion("", "stop", 0))
    failed.fail(ValueError("bad row"))
    assert not answered.over
    assert not failed.over
