"""An engine that asks any HTTP server which speaks OpenAI's chat completions.

Nothing is lost when the server stumbles: what could be the row's fault is tried again a few times, what is the server's own is
waited for. A row that has had its tries ends with an error only if the server answers others meanwhile; if it answers nobody for
longer than `patience`, the job stops with one sentence and can go on later.
"""

from __future__ import annotations

import asyncio
import json
import logging
import threading
import time
from collections.abc import Sequence
from typing import Any

from midb_ray.engines.base import Completion, Request, seed_of
from midb_ray.engines.openai_answers import Failure, Reply, counted, read
from midb_ray.engines.openai_pace import Pace
from midb_ray.engines.own_loop import OwnLoop
from midb_ray.engines.settings import EngineSettings
from midb_ray.errors import UserError
from midb_ray.runs.figures import Usage

logger = logging.getLogger("midb_ray")

_HELLO = 'Answer with this JSON object and nothing else: {"ready": true}'
_START_PATIENCE = 30.0  # seconds in which a server has to be there when the engine comes up, or less with less patience
_SEEDS = 2**31  # what every server takes


def load(settings: EngineSettings) -> OpenaiEngine:
    """The engine, once its server has answered a first, small request. Raises `UserError` when address, key or model are wrong or
    the server is not there."""
    try:
        from midb_ray.engines.openai_client import Client
    except ImportError as error:
        raise UserError(
            f"engine.kind openai needs the httpx package where the engines run ({error}); install 'midb-ray[openai]'."
        ) from error
    engine = OpenaiEngine(settings, Client(settings.openai))
    try:
        engine.begin()
    except BaseException:
        engine.close()
        raise
    return engine


class OpenaiEngine:
    """Asks for each row by itself, `concurrency` of them at once over all calls."""

    isolated = True  # no row can end this process

    def __init__(self, settings: EngineSettings, client: Any) -> None:
        self._settings, self._own, self._client = settings, settings.openai, client
        self._pace = Pace(self._own.concurrency, self._own.backoff)
        self._limit_field = (
            "max_completion_tokens" if self._own.limit_field == "max_completion_tokens" else "max_tokens"
        )
        self._counting, self._usage = threading.Lock(), Usage()
        self._greeting, self._greeted, self._alive = asyncio.Lock(), 0.0, True
        self._loop = OwnLoop("openai-engine")

    def begin(self) -> None:
        """Find out whether the server answers at all. Raises `UserError` if it does not."""
        self._loop.wait_for(self._begin())

    async def generate(self, requests: Sequence[Request]) -> list[Completion]:
        """Completions in the order of `requests`; those of a caller that is cancelled are given up.

        A row that the server refuses or fails on finishes with "error". Raises `UserError` when it answers nobody any more.
        """
        return await self._loop.each(self._complete, requests)

    def usage(self) -> Usage:
        """See `base.Charged`."""
        with self._counting:
            usage, self._usage = self._usage, Usage()
        return usage

    def close(self) -> None:
        """End the connections; callers still waiting get an `EngineError`."""
        self._loop.close(self._client.close)

    async def _complete(self, request: Request) -> Completion:
        if not request.text or request.limit < 1:
            return Completion("", "error", 0, "a request needs a text and a limit of at least 1")
        began, tries, unsure, held = 0.0, 0, 0, 0
        while True:
            async with self._pace.turn():
                began = began or time.monotonic()
                found = await self._try(request, is_first=not tries)
            tries += 1
            if isinstance(found, Completion):
                return found
            if found.blame == "row":
                break
            unsure += found.blame == "unsure"
            held += found.blame == "server"
            if found.blame == "setup" or unsure > self._own.retries:
                if self._pace.answered > began or await self._answers_others():
                    break
            silent = time.monotonic() - max(self._pace.answered, began)
            if silent > self._own.patience and (found.blame != "unsure" or unsure > self._own.retries):
                raise self._gone(found, self._own.patience)
            if held > self._own.retries and time.monotonic() - began > self._own.patience:
                break  # others are answered, so it is about this row; time alone may have passed behind others in the queue
            if found.blame != "server":  # what is the server's own holds everybody back
                await asyncio.sleep(self._pace.wait(tries, found.wait))
        return Completion("", "error", 0, found.reason)

    async def _try(self, request: Request, is_first: bool = True) -> Completion | Failure:
        """One try, counted. Raises `UserError` for what nobody gets an answer with."""
        field = self._limit_field
        with self._counting:
            self._usage = self._usage.plus(Usage(requests=1, retries=int(not is_first)))
        reply = await self._client.ask(self._content(request, field))
        if isinstance(reply, Reply):
            self._count(reply)
            found = read(reply)
        else:
            found = reply
            if found.blame == "unsure":  # it was sent, and may have been counted
                self._add(Usage(unknown=1))
        if isinstance(found, Completion):
            self._pace.good()
            return found
        found = found._replace(reason=self._client.hidden(found.reason))
        if found.blame == "row" and self._is_about_the_limit(found, field):
            self._limit_field = "max_completion_tokens"
            return await self._try(request, is_first=False)
        if found.blame == "everybody":
            raise UserError(
                f"The server at {self._own.base_url} asks for the right key or for payment ({found.reason}); see to the "
                f"environment variable {self._own.key_variable} where the engines run. What is done is kept."
            )
        if found.blame == "server":
            self._pace.hold(found.wait)
        return found

    def _content(self, request: Request, field: str) -> bytes:
        settings = self._settings
        body: dict[str, Any] = {
            "model": settings.model,
            "messages": [{"role": "user", "content": request.text}],
            field: request.limit,
            "temperature": settings.temperature,
        }
        if settings.temperature > 0:
            body |= {"top_p": settings.top_p, "seed": seed_of(request, settings.seed) % _SEEDS}
        if self._own.json_answers:
            body["response_format"] = {"type": "json_object"}
        body = {name: value for name, value in {**body, **self._own.body}.items() if value is not None}
        return json.dumps(body, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "replace")

    def _is_about_the_limit(self, failure: Failure, field: str) -> bool:
        return self._own.limit_field == "auto" and field == "max_tokens" and "max_completion_tokens" in failure.reason

    def _count(self, reply: Reply) -> None:
        if tokens := counted(reply.body):
            cost = self._own.cost(tokens.prompt, tokens.answer)
            self._add(Usage(prompt_tokens=tokens.prompt, answer_tokens=tokens.answer, cost=cost))
        elif 200 <= reply.status < 300:
            self._add(Usage(unknown=1))

    def _add(self, usage: Usage) -> None:
        with self._counting:
            self._usage = self._usage.plus(usage)

    async def _answers_others(self) -> bool:
        """Whether the server answers what is surely no row's fault. Many rows that ask at the same time are told by one request."""
        asked = time.monotonic()
        async with self._greeting:
            if max(self._greeted, self._pace.answered) < asked:
                begun = time.monotonic()
                self._alive = not isinstance(await self._greet(), Failure)
                self._greeted = begun
            return self._alive or self._pace.answered > asked

    async def _greet(self) -> Completion | Failure:
        """What comes of a request that every server can answer."""
        async with self._pace.turn(at_once=True):
            found = await self._try(Request(_HELLO, None, self._settings.max_new_tokens))
        if isinstance(found, Failure) and found.blame == "setup":
            raise UserError(self._refused(found))
        return found

    async def _begin(self) -> None:
        patience = min(_START_PATIENCE, self._own.patience)
        began, tries = time.monotonic(), 0
        while True:
            found = await self._greet()
            if isinstance(found, Completion):
                return
            if found.blame == "row":
                raise UserError(self._refused(found))
            tries += 1
            if tries > 1 and time.monotonic() - began > patience:
                raise self._gone(found, patience)
            await asyncio.sleep(self._pace.wait(tries, found.wait))

    def _refused(self, found: Failure) -> str:
        return (
            f"The server at {self._own.base_url} does not answer as {self._settings.model!r} ({found.reason}); see to "
            "engine.model, engine.openai.base_url and what else the engine is told."
        )

    def _gone(self, found: Failure, seconds: float) -> UserError:
        return UserError(
            f"The server at {self._own.base_url} has answered nobody for {seconds:g} seconds (the last failure: {found.reason}); "
            "see to it. What is done is kept, and the same command goes on."
        )
