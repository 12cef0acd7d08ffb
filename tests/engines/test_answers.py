"""The answers of a run: who generates, who waits, and what becomes of them when somebody dies or the disk is full."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from midb_ray.engines import answers
from midb_ray.engines.answers import AnswerStore, key, packed, unpacked
from midb_ray.engines.base import Completion, Request

A, B, C = (bytes([number]) * 16 for number in range(3))


def play(scene: Callable[[AnswerStore], Coroutine[Any, Any, None]], most: float = 1e9, lease: float = 30) -> None:
    async def played() -> None:
        await scene(AnswerStore(most, lease))

    asyncio.run(played())


def test_the_first_generates_and_the_others_wait_for_it() -> None:
    async def scene(store: AnswerStore) -> None:
        assert await store.ask([A, B], "one") == [None, None]
        assert await store.ask([B, C], "two") == [False, None]
        waiting = asyncio.create_task(store.wait([B], "two"))
        await asyncio.sleep(0)
        assert not waiting.done()
        await store.put({A: b"a", B: b"b"}, [], "one")
        assert await waiting == [b"b"]
        assert await store.ask([A, C], "three") == [b"a", False]

    play(scene)


def test_one_that_asks_twice_waits_for_itself() -> None:
    async def scene(store: AnswerStore) -> None:
        assert await store.ask([A], "one") == [None]
        assert await store.ask([A], "one") == [False]  # another shard of the same engine

    play(scene)


def test_what_was_given_up_goes_to_one_of_those_who_wait() -> None:
    async def scene(store: AnswerStore) -> None:
        await store.ask([A], "one")
        waiting = [asyncio.create_task(store.wait([A], name)) for name in ("two", "three")]
        await asyncio.sleep(0)
        await store.put({}, [A], "one")
        await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        (first,) = [task for task in waiting if task.done() and task.result() == [None]]
        (other,) = [task for task in waiting if task is not first]
        await store.put({A: b"a"}, [], "two" if first is waiting[0] else "three")
        assert await other in ([b"a"], [False])
        assert await store.ask([A], "four") == [b"a"]

    play(scene)


def test_the_lease_of_one_without_signs_of_life_runs_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(answers, "_WAIT", 0.05)

    async def scene(store: AnswerStore) -> None:
        assert await store.ask([A, B], "dead") == [None, None]
        assert await store.ask([C], "living") == [None]
        reply = [False]
        while reply == [False]:
            await store.beat("living")
            reply = await store.wait([A], "heir")
        assert reply == [None]
        await store.beat("living")
        assert await store.ask([B, C], "heir") == [None, False]

    play(scene, lease=0.3)


def test_a_late_answer_of_one_that_was_given_up_is_welcome_and_takes_no_lease_of_another() -> None:
    async def scene(store: AnswerStore) -> None:
        await store.ask([A], "slow")
        store._alive["slow"] -= 100
        assert await store.ask([A], "heir") == [None]
        await store.put({}, [A], "slow")
        assert await store.ask([A], "third") == [False]
        await store.put({A: b"late"}, [], "slow")
        await store.put({A: b"second"}, [], "heir")
        assert await store.ask([A], "third") == [b"late"]
        assert await store.sizes() == (1, 4 + answers._OVERHEAD, 0)

    play(scene)


def test_the_oldest_answers_go_when_the_disk_is_full() -> None:
    async def scene(store: AnswerStore) -> None:
        for number in range(400):
            one = number.to_bytes(16, "big")
            assert await store.ask([one], "one") == [None]
            await store.put({one: b"x" * 36}, [], "one")
            assert (await store.sizes())[1] <= 10_000
        assert await store.ask([(399).to_bytes(16, "big"), bytes(16)], "two") == [b"x" * 36, None]
        count, size, leases = await store.sizes()
        assert (size, leases) == (count * 100, 1)
        assert 88 <= count <= 100

    play(scene, most=10_000)


def test_a_disk_that_takes_no_more_costs_what_was_kept_and_holds_nobody_up(listen) -> None:
    told = listen(answers)

    async def scene(store: AnswerStore) -> None:
        store._file.execute("PRAGMA max_page_count = 3")
        assert await store.ask([A, B], "one") == [None, None]
        await store.put({A: b"x" * 100_000}, [B], "one")
        assert await store.ask([A, B], "two") == [None, None]  # not kept, and leased to no one
        await store.put({A: b"kept"}, [B], "two")
        assert await store.ask([A], "three") == [b"kept"]

    play(scene)
    (line,) = told
    assert "full" in line


@given(st.text(st.characters(exclude_categories=[])), st.sampled_from(["stop", "length"]), st.integers(0, 2**31))
def test_answers_come_back_as_they_were(text: str, finish: Any, tokens: int) -> None:
    assert unpacked(packed(Completion(text, finish, tokens))) == Completion(text, finish, tokens)


def test_all_of_a_request_is_in_its_key() -> None:
    requests = [
        Request("a", None, 9),
        Request("a", None, 8),
        Request("b", None, 9),
        Request(None, [1, 2], 9),
        Request(None, [12], 9),
        Request(None, [1, 2, 9], 9),
        Request("[1, 2]", None, 9),
        Request("\ud800", None, 9),
    ]
    assert len({key(request) for request in requests}) == len(requests)
    assert key(Request(None, [1, 2], 9)) == key(Request(None, (1, 2), 9))
    assert {len(key(request)) for request in requests} == {16}
