"""Questions of three kinds in one row: a range of them finds its part of each, and equal ones are asked once."""

from __future__ import annotations

from midb_ray.engines.base import Comparison, Completion, Continuation, Likelihood, Request, Similarity
from midb_ray.engines.flight import pack, unpack
from midb_ray.engines.questions import Questions
from tests.engines.test_actor import PAIRS

REQUESTS = [Request("a", None, 9), None, Request("b", None, 9), Request("a", None, 9)]
TEXTS = [Continuation([1], [2]), Continuation([1], [3]), None, Continuation([1], [4])]
BOTH = [None, Comparison("a", "b"), Comparison("b", "a"), Comparison("a", "b")]


def asked() -> Questions:
    return Questions.of(unpack(pack(0, PAIRS[:4], [], REQUESTS, continuations=TEXTS, comparisons=BOTH)))


def test_ranges_cover_every_question_once_and_in_order() -> None:
    questions = asked()
    assert (questions.number, questions.duplicates) == (2 + 3 + 2, 2)
    whole = [one for kind in questions for one in kind.distinct]
    for step in (1, 2, 3, 4, 7):
        found = []
        for first in range(0, questions.number, step):
            places = questions.places(first, min(first + step, questions.number))
            for kind, at in zip(questions, places, strict=True):
                found += kind.distinct[at]
        assert found == whole


def test_each_place_has_its_own_reply_or_none() -> None:
    questions = asked()
    replies = questions.failed("engine_crash")
    assert all(one.error == "engine_crash" for kind in replies for one in kind)
    replies.completions[0], replies.likelihoods[2] = Completion("A", "stop", 1), Likelihood(-1.0, 1)
    replies.similarities[1] = Similarity(0.5)
    completions, likelihoods, similarities = questions.spread(replies)
    assert [one and one.text for one in completions] == ["A", None, "", "A"]
    assert [one and one.error for one in likelihoods] == ["engine_crash", "engine_crash", None, None]
    assert [one and one.error for one in similarities] == [None, "engine_crash", None, "engine_crash"]
