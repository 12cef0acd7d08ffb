"""Against a real server that stumbles: every row comes back in its place, and the books agree with the server's."""

from __future__ import annotations

import asyncio
import logging
import time
from typing import Any

import pytest

from midb_ray.engines import registry
from midb_ray.engines.base import EngineError, Request
from midb_ray.engines.settings import EngineSettings
from midb_ray.errors import UserError
from tests.engines.openai_server import serving

FAULTS = ("500", "429", "hang", "malformed", "reset")


@pytest.fixture(autouse=True)
def no_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)


def settings(url: str, **own: Any) -> EngineSettings:
    quick = {"base_url": url, "concurrency": 8, "request_timeout": 0.3, "backoff": 0.01, "patience": 5, **own}
    return EngineSettings.model_validate({"kind": "openai", "model": "served", "openai": quick})


def test_every_row_comes_back_and_the_books_agree_with_the_server() -> None:
    greetings = []

    def stumble(number: int, prompt: str) -> str:
        if not prompt.startswith("prompt "):
            greetings.append(prompt)
        return dict(enumerate(FAULTS)).get(number % 20, "")

    with serving(stumble) as books:
        engine = registry.build(settings(books.url, prompt_price=2, answer_price=10, retries=20, request_timeout=1))
        requests = [Request(f"prompt {number}", None, 9) for number in range(300)]
        found = asyncio.run(engine.generate(requests))
        usage = engine.usage()
        engine.close()
    assert [one.text for one in found] == [f"answer to prompt {number}" for number in range(300)]
    assert {(one.finish, one.tokens) for one in found} == {("stop", 7)}
    assert books.most_inside <= 8
    assert (usage.requests, usage.prompt_tokens, usage.answer_tokens) == (
        books.requests,
        books.prompt_tokens,
        books.answer_tokens,
    )
    assert usage.retries == books.requests - 300 - len(greetings) > 60
    assert usage.cost == pytest.approx((2 * books.prompt_tokens + 10 * books.answer_tokens) / 1e6)


def test_time_behind_other_rows_is_no_refusal() -> None:
    refusals = iter(["500", "429"])

    def stumble(number: int, prompt: str) -> str:
        time.sleep(0.05)
        return next(refusals, "") if prompt == "first" else ""

    with serving(stumble) as books:
        engine = registry.build(settings(books.url, concurrency=1, patience=1, retries=1, request_timeout=1))
        requests = [Request(text, None, 9) for text in ("first", *(f"prompt {number}" for number in range(30)))]
        found = asyncio.run(engine.generate(requests))
        engine.close()
    assert {one.finish for one in found} == {"stop"}


@pytest.mark.parametrize("fault", ["500", "400", "403", "finish content_filter", "empty"])
def test_what_one_row_does_harms_no_other(fault: str) -> None:
    with serving(lambda _, prompt: fault if prompt == "bad" else "") as books:
        engine = registry.build(settings(books.url, retries=2))
        found = asyncio.run(engine.generate([Request(text, None, 9) for text in ("good", "bad", "fine")]))
        engine.close()
    assert [one.finish for one in found] == ["stop", "error", "stop"]


@pytest.mark.parametrize(("fault", "said"), [("401", "right key"), ("404", "engine.model"), ("503", "answered nobody")])
def test_a_server_that_answers_nobody_is_one_sentence(fault: str, said: str) -> None:
    with serving(lambda *_: fault) as books, pytest.raises(UserError, match=said):
        registry.build(settings(books.url, patience=0.1))


def test_a_server_that_goes_away_stops_the_job_and_makes_no_errors() -> None:
    with serving(lambda number, _: "503" if number > 1 else "") as books:
        engine = registry.build(settings(books.url, patience=0.3))
        with pytest.raises(UserError, match="answered nobody"):
            asyncio.run(engine.generate([Request("a", None, 9), Request("b", None, 9)]))
        engine.close()
        with pytest.raises(EngineError):
            asyncio.run(engine.generate([Request("a", None, 9)]))


def test_the_key_goes_to_the_server_and_nowhere_else(monkeypatch: pytest.MonkeyPatch, caplog: Any) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-very-secret")
    caplog.set_level(logging.DEBUG)
    with serving() as books:
        engine = registry.build(settings(books.url))
        asyncio.run(engine.generate([Request("a", None, 9)]))
        engine.close()
    assert books.keys == {"Bearer sk-very-secret"}
    assert "sk-very-secret" not in caplog.text + repr(engine) + repr(vars(engine))
