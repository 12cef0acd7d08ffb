"""A judge is asked again where its answer cannot be read."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from midb_ray.engines.base import Completion, Request
from midb_ray.quality import judge
from midb_ray.quality.asking import AskingEngine, verdict
from midb_ray.quality.work import judgement
from tests.quality.test_judge import answer

GOOD = Completion(answer(), "stop", 50)


class Scripted:
    """An engine whose answers to a prompt follow each other as they are listed."""

    isolated = True

    def __init__(self, answers: dict[str, list[Completion]]) -> None:
        self.answers = answers
        self.asked: list[tuple[str | None, int]] = []
        self.closed = False

    async def generate(self, requests: Sequence[Request]) -> list[Completion]:
        self.asked += [(request.text, request.sample) for request in requests]
        return [self.answers[request.text or ""].pop(0) for request in requests]

    def close(self) -> None:
        self.closed = True


def test_only_what_cannot_be_read_is_asked_again_as_another_sample() -> None:
    bad, cut = Completion("Sure!", "stop", 3), Completion(answer()[:40], "length", 9)
    engine = Scripted({"a": [GOOD], "b": [bad, cut, GOOD], "c": [bad, bad, bad]})
    asking = AskingEngine(engine, 3)
    found = asyncio.run(asking.generate([Request(text, None, 99) for text in "abc"]))
    assert engine.asked == [("a", 0), ("b", 0), ("c", 0), ("b", 1), ("c", 1), ("b", 2), ("c", 2)]
    parsed = judge.parse(GOOD.text)
    assert [verdict(one) for one in found] == [parsed, parsed, "the answer is no JSON"]
    assert [one.tokens for one in found] == [50, 3 + 9 + 50, 9]
    assert asking.isolated
    asking.close()
    assert engine.closed


def test_a_row_on_which_the_engine_failed_is_not_asked_again() -> None:
    engine = Scripted({"a": [Completion("", "error", 0, "refused")]})
    (found,) = asyncio.run(AskingEngine(engine, 5).generate([Request("a", None, 99)]))
    assert judgement(Request("a", None, 99), found) == "refused"
    assert judgement(None, None) == "the prompt is too long for the judge"
    assert judgement(Request("a", None, 99), Completion("", "length", 9)) == "the answer was cut off"
