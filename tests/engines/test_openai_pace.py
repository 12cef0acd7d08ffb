"""How fast a server is asked: places, holds, and what becomes of requests that are called off."""

from __future__ import annotations

import asyncio
import contextlib
import email.utils
import time

import pytest

from midb_ray.engines.openai_answers import retry_after
from midb_ray.engines.openai_pace import Pace


async def inside(pace: Pace, order: list[str], name: str, stays: asyncio.Event, at_once: bool = False) -> None:
    async with pace.turn(at_once):
        order.append(name)
        await stays.wait()


async def settled() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


def test_no_more_are_let_in_than_there_are_places_and_in_the_order_of_asking() -> None:
    async def run() -> list[list[str]]:
        pace, order, seen, stays = Pace(2, 0.01), [], [], [asyncio.Event() for _ in range(4)]
        tasks = [asyncio.create_task(inside(pace, order, str(n), stay)) for n, stay in enumerate(stays)]
        for stay in stays:
            await settled()
            seen.append(list(order))
            stay.set()
        await asyncio.gather(*tasks)
        return seen

    assert asyncio.run(run()) == [["0", "1"], ["0", "1", "2"], ["0", "1", "2", "3"], ["0", "1", "2", "3"]]


def test_a_request_that_is_tried_again_has_the_first_free_place() -> None:
    async def run() -> list[str]:
        pace, order, first, rest = Pace(1, 0.01), [], asyncio.Event(), asyncio.Event()
        rest.set()
        tasks = [asyncio.create_task(inside(pace, order, "first", first))]
        await settled()
        tasks.append(asyncio.create_task(inside(pace, order, "behind", rest)))
        await settled()
        tasks.append(asyncio.create_task(inside(pace, order, "again", rest, at_once=True)))
        await settled()
        first.set()
        await asyncio.gather(*tasks)
        return order

    assert asyncio.run(run()) == ["first", "again", "behind"]


def test_a_hold_keeps_everybody_out_for_as_long_as_the_server_says() -> None:
    async def run() -> tuple[float, float]:
        pace = Pace(4, 0.001)
        before = time.monotonic()
        pace.hold(0.2)
        async with pace.turn():
            return before, time.monotonic()

    before, after = asyncio.run(run())
    assert after - before >= 0.2


def test_a_burst_of_refusals_halves_the_places_once_and_answers_bring_them_back() -> None:
    async def let_in(pace: Pace, count: int) -> int:
        order: list[str] = []
        never = asyncio.Event()
        tasks = [asyncio.create_task(inside(pace, order, "", never)) for _ in range(count)]
        await asyncio.sleep(0.05)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        return len(order)

    async def run() -> tuple[int, int, int]:
        pace = Pace(8, 0.001)
        whole = await let_in(pace, 20)
        for _ in range(5):
            pace.hold(0.01)
        half = await let_in(pace, 20)
        for _ in range(40):
            pace.good()
        return whole, half, await let_in(pace, 20)

    assert asyncio.run(run()) == (8, 4, 8)


def test_a_request_that_is_called_off_leaves_its_place_to_others() -> None:
    async def run() -> list[str]:
        pace, order, stays = Pace(1, 0.01), [], asyncio.Event()
        waiting = asyncio.create_task(inside(pace, order, "waiting", stays))
        doomed = asyncio.create_task(inside(pace, order, "doomed", stays))
        await settled()
        stays.set()  # the first leaves and lets the second in, which is called off in the same moment
        doomed.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.gather(waiting, doomed)
        await asyncio.wait_for(inside(pace, order, "last", stays), 10)
        return order

    assert asyncio.run(run()) == ["waiting", "last"]


def test_waits_grow_to_a_bound_and_what_the_server_asks_is_believed_to_another() -> None:
    pace = Pace(1, 0.5)
    waits = [pace.wait(tries, None) for tries in range(1, 30)]
    assert 0.25 <= waits[0] <= 0.5 < waits[4]
    assert max(waits) <= 60
    assert pace.wait(1, 7.0) == 7.0
    assert pace.wait(1, 1e9) == 120


@pytest.mark.parametrize(
    ("value", "seconds"),
    [("3", 3.0), ("0.5", 0.5), (" 12 ", 12.0), ("", None), ("soon", None), ("-4", None), ("٣", None)],
)
def test_retry_after_is_seconds(value: str, seconds: float | None) -> None:
    assert retry_after({"retry-after": value}) == seconds


def test_retry_after_may_be_a_date() -> None:
    ahead = retry_after({"retry-after": email.utils.formatdate(time.time() + 90, usegmt=True)})
    assert ahead is not None
    assert 60 < ahead <= 91
    assert retry_after({"retry-after": "Wed, 21 Oct 2015 07:28:00 GMT"}) == 0
    assert retry_after({"retry-after": "Wed, 99 Oct 99999 07:28:00 GMT"}) is None
