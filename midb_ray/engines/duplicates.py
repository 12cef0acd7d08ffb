"""Equal requests are generated once: in a shard always, in a run where its answers are kept (`answers`)."""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any, Generic, NamedTuple, TypeVar

from midb_ray.engines import answers
from midb_ray.engines.base import Comparison, Completion, Continuation, Request

logger = logging.getLogger("midb_ray")

Generate = Callable[[Sequence[Request]], Awaitable[list[Completion]]]
A = TypeVar("A", Request, Continuation, Comparison)
R = TypeVar("R")


@dataclass(frozen=True)
class Distinct(Generic[A]):
    """The requests of a shard, its continuations or its comparisons, without repetitions: in the order of their first places, and
    for each of the given ones where it stands among them; None for a pair without one."""

    distinct: list[A]
    places: list[int | None]

    @property
    def duplicates(self) -> int:
        """Requests that another one's answer stands for."""
        return sum(place is not None for place in self.places) - len(self.distinct)

    def spread(self, completions: Sequence[R]) -> list[R | None]:
        """One for each of the given requests."""
        return [None if place is None else completions[place] for place in self.places]


def distinct(requests: Sequence[A | None]) -> Distinct[A]:
    """All of a request counts: prompt, limit and whatever else it says."""
    found: dict[Any, int] = {}
    kept: list[A] = []
    places: list[int | None] = []
    for request in requests:
        if request is None:
            places.append(None)
            continue
        place = found.setdefault(_hashable(request), len(found))
        if place == len(kept):
            kept.append(request)
        places.append(place)
    return Distinct(kept, places)


def _hashable(request: Request | Continuation | Comparison) -> Any:
    return tuple(tuple(value) if isinstance(value, list) else value for value in request)


class Generated(NamedTuple):
    """Completions, and whether each was generated for this question or had been before."""

    completions: list[Completion]
    here: list[bool]


class SharedAnswers:
    """One engine's door to the answers of the run. `store` is the handle of an `AnswerStore`."""

    def __init__(self, store: Any) -> None:
        self._store = store
        self._owner = secrets.token_hex(8)
        self._heart: asyncio.Task[None] | None = None
        self._reached = True

    async def complete(self, requests: Sequence[Request], generate: Generate) -> Generated:
        """A completion of each of these distinct requests: known, generated here, or waited for. What is ours is generated before
        we wait for others, so that nobody waits in a circle. Without the store all is generated."""
        if self._heart is None:
            self._heart = asyncio.create_task(self._beat())
        keys = await asyncio.to_thread(lambda: [answers.key(request) for request in requests])
        found: dict[int, Completion] = {}
        here: set[int] = set()
        open_ones = list(range(len(requests)))
        question = "ask"
        while open_ones:
            replies = await self._call(question, [keys[index] for index in open_ones], self._owner)
            if replies is None:
                replies = [None] * len(open_ones)
            mine = [index for index, reply in zip(open_ones, replies, strict=True) if reply is None]
            for index, reply in zip(open_ones, replies, strict=True):
                if isinstance(reply, bytes):
                    found[index] = answers.unpacked(reply)
            if mine:
                found.update(await self._generated(mine, keys, requests, generate))
                here.update(mine)
            open_ones = [index for index in open_ones if index not in found]
            question = "wait"
        return Generated(
            [found[index] for index in range(len(requests))], [index in here for index in range(len(requests))]
        )

    async def _generated(
        self, mine: list[int], keys: list[bytes], requests: Sequence[Request], generate: Generate
    ) -> dict[int, Completion]:
        """Generate and tell the store, also where that fails: somebody may be waiting."""
        known: dict[bytes, bytes] = {}
        try:
            completions = await generate([requests[index] for index in mine])
            for index, completion in zip(mine, completions, strict=True):
                if completion.finish != "error":
                    known[keys[index]] = answers.packed(completion)
            return dict(zip(mine, completions, strict=True))
        finally:
            given_up = [keys[index] for index in mine if keys[index] not in known]
            await self._call("put", known, given_up, self._owner)

    async def _call(self, method: str, *arguments: Any) -> Any:
        """What the store says; None if it is gone."""
        import ray

        try:
            found = await getattr(self._store, method).remote(*arguments)
        except ray.exceptions.RayError as error:
            if self._reached:
                reason = str(error).partition("\n")[0]
                logger.warning(
                    "The answers of the run are out of reach; equal prompts may be generated again: %s", reason
                )
            self._reached = False
            self._owner = secrets.token_hex(
                8
            )  # under the old name nobody lives: what could not be told is held no longer
            return None
        self._reached = True
        return found

    async def _beat(self) -> None:
        while True:
            await asyncio.sleep(answers.BEAT)
            await self._call("beat", self._owner)
