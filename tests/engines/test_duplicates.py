"""Equal requests are generated once: in a shard, and over the engines of a run whatever becomes of one of them."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Sequence
from typing import Any, NamedTuple

import pytest
import ray
from hypothesis import given
from hypothesis import strategies as st

from midb_ray.engines import answers, duplicates
from midb_ray.engines.answers import AnswerStore
from midb_ray.engines.base import Completion, Continuation, Request
from midb_ray.engines.duplicates import SharedAnswers, distinct

REQUESTS = st.lists(
    st.none()
    | st.builds(Request, st.sampled_from("abc"), st.none(), st.integers(1, 2))
    | st.builds(Request, st.none(), st.lists(st.integers(1, 2), max_size=2), st.integers(1, 2))
)


@given(REQUESTS)
def test_each_request_gets_the_completion_of_its_equal(requests: list[Request | None]) -> None:
    found = distinct(requests)
    answers = [Completion(repr(request), "stop", 1) for request in found.distinct]
    assert found.spread(answers) == [
        None if request is None else Completion(repr(request), "stop", 1) for request in requests
    ]
    assert all(request not in found.distinct[:place] for place, request in enumerate(found.distinct))
    assert found.duplicates + len(found.distinct) == sum(request is not None for request in requests)


def test_requests_that_differ_in_any_part_are_not_equal() -> None:
    class Sampled(NamedTuple):
        """A request with one part more."""

        text: str | None
        ids: Sequence[int] | None
        limit: int
        sample: int

    requests: list[Any] = [Sampled("a", None, 9, 0), Sampled("a", None, 9, 1), Sampled("a", None, 9, 0)]
    assert distinct(requests).places == [0, 1, 0]


def test_equal_continuations_are_measured_once() -> None:
    text, other = Continuation([1], [2, 3]), Continuation([1, 2], [3])
    found = distinct([text, None, other, Continuation([1], [2, 3])])
    assert (found.distinct, found.places, found.duplicates) == ([text, other], [0, None, 1, 0], 1)
    assert found.spread(["a", "b"]) == ["a", None, "b", "a"]


class Here:
    """A store in this process, called as an actor is. `gone` makes it unreachable, `lost` is a method whose calls do not arrive."""

    def __init__(self, lease: float = 30) -> None:
        self.store = AnswerStore(1e9, lease)
        self.gone = False
        self.lost = ""

    def __getattr__(self, method: str) -> Any:
        class Call:
            @staticmethod
            def remote(*arguments: Any) -> Coroutine[Any, Any, Any]:
                return self._call(method, arguments)

        return Call

    async def _call(self, method: str, arguments: tuple[Any, ...]) -> Any:
        if self.gone or method == self.lost:
            raise ray.exceptions.ActorUnavailableError("the store is being restarted", None)
        return await getattr(self.store, method)(*arguments)


class Counting:
    """Generates, and remembers what it was asked."""

    def __init__(self) -> None:
        self.asked: list[str | None] = []
        self.may_go_on = asyncio.Event()
        self.may_go_on.set()

    async def __call__(self, requests: Sequence[Request]) -> list[Completion]:
        self.asked += [request.text for request in requests]
        await self.may_go_on.wait()
        return [
            Completion("", "error", 0, "refused")
            if request.text == "bad"
            else Completion(f"{request.text}!", "stop", 2)
            for request in requests
        ]


def asked(*texts: str) -> list[Request]:
    return [Request(text, None, 9) for text in texts]


def test_two_engines_generate_each_request_once_and_neither_waits_in_a_circle() -> None:
    async def scene() -> None:
        store, generate = Here(), Counting()
        one, two = SharedAnswers(store), SharedAnswers(store)
        found = await asyncio.gather(
            *[one.complete(asked(*"abcd"), generate) for _ in range(3)],
            *[two.complete(asked(*"dcbaxyz"), generate) for _ in range(3)],
        )
        assert sorted(generate.asked) == sorted("abcdxyz")
        assert all(
            answers.completions == [Completion(f"{text}!", "stop", 2) for text in "abcd"] for answers in found[:3]
        )
        assert all([one.text for one in answers.completions] == [f"{x}!" for x in "dcbaxyz"] for answers in found[3:])
        assert sum(sum(answers.here) for answers in found) == 7

    asyncio.run(scene())


def test_a_failure_is_not_shared() -> None:
    async def scene() -> None:
        store, generate = Here(), Counting()
        for _ in range(2):
            found = await SharedAnswers(store).complete(asked("bad", "a"), generate)
            assert [answer.finish for answer in found.completions] == ["error", "stop"]
        assert generate.asked == ["bad", "a", "bad"]

    asyncio.run(scene())


def test_an_engine_that_breaks_hands_its_requests_on() -> None:
    async def scene() -> None:
        store, generate = Here(), Counting()

        async def broken(requests: Sequence[Request]) -> list[Completion]:
            await asyncio.sleep(0.05)
            raise RuntimeError("the engine is gone")

        first = asyncio.create_task(SharedAnswers(store).complete(asked("a"), broken))
        await asyncio.sleep(0.01)
        second = asyncio.create_task(SharedAnswers(store).complete(asked("a"), generate))
        with pytest.raises(RuntimeError, match="gone"):
            await first
        assert (await second).completions == [Completion("a!", "stop", 2)]
        assert generate.asked == ["a"]

    asyncio.run(scene())


def test_without_the_store_all_is_generated_and_the_run_is_told_once(listen) -> None:
    told = listen(duplicates)

    async def scene() -> None:
        store, generate = Here(), Counting()
        shared = SharedAnswers(store)
        store.gone = True
        for _ in range(2):
            assert (await shared.complete(asked("a"), generate)).here == [True]
        store.gone = False
        assert (await shared.complete(asked("a"), generate)).here == [True]
        assert (await shared.complete(asked("a"), generate)).here == [False]
        assert generate.asked == ["a", "a", "a"]

    asyncio.run(scene())
    assert len(told) == 1
    assert "out of reach" in told[0]


def test_who_waits_goes_on_when_the_store_dies() -> None:
    async def scene() -> None:
        store, slow, quick = Here(), Counting(), Counting()
        slow.may_go_on.clear()
        first = asyncio.create_task(SharedAnswers(store).complete(asked("a"), slow))
        await asyncio.sleep(0.05)
        second = asyncio.create_task(SharedAnswers(store).complete(asked("a"), quick))
        await asyncio.sleep(0.05)
        store.gone = True
        async with store.store._asked:
            store.store._leases.clear()
            store.store._asked.notify_all()  # what an actor's death is to a call that waits
        slow.may_go_on.set()
        assert (await first).here == (await second).here == [True]

    asyncio.run(scene())


def test_answers_that_were_lost_on_their_way_are_generated_by_who_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(answers, "BEAT", 0.05)
    monkeypatch.setattr(answers, "_WAIT", 0.1)

    async def scene() -> None:
        store, slow, quick = Here(lease=0.5), Counting(), Counting()
        slow.may_go_on.clear()
        shared = SharedAnswers(store)
        first = asyncio.create_task(shared.complete(asked("a"), slow))
        await asyncio.sleep(0.1)
        store.lost = "put"
        second = asyncio.create_task(SharedAnswers(store).complete(asked("a"), quick))
        slow.may_go_on.set()
        assert (await first).here == [True]  # and its engine goes on giving signs of life
        assert (await asyncio.wait_for(second, 10)).here == [True]

    asyncio.run(scene())
