"""One try of a request over HTTP, and the key, which nobody else gets to see."""

from __future__ import annotations

import asyncio
import logging
import os
import re

import httpx

import midb_ray
from midb_ray.engines.openai_answers import Failure, Reply
from midb_ray.engines.openai_settings import KEY_VARIABLE, OpenaiSettings
from midb_ray.errors import UserError

_MOST_BYTES = 16 * 2**20  # of a reply: no answer is longer
_CONNECT = 15.0  # seconds, less where a whole try may take less


class Client:
    """The connections of one engine; they live on one event loop. Redirects are not followed: the key would go along."""

    def __init__(self, settings: OpenaiSettings) -> None:
        logging.getLogger("httpx").setLevel(logging.WARNING)  # else there is a line for every request
        logging.getLogger("httpcore").setLevel(logging.WARNING)
        self._timeout, self._key = settings.request_timeout, _key(settings.key_variable)
        headers = {"User-Agent": f"midb-ray/{midb_ray.__version__}", "Content-Type": "application/json"}
        if self._key:
            headers["Authorization"] = f"Bearer {self._key}"
        places = settings.concurrency
        self._http = httpx.AsyncClient(
            headers=headers,
            timeout=httpx.Timeout(None, connect=min(_CONNECT, self._timeout)),
            limits=httpx.Limits(max_connections=places, max_keepalive_connections=places),
            follow_redirects=False,
        )
        self._url = f"{settings.base_url}/chat/completions"

    async def ask(self, content: bytes) -> Reply | Failure:
        """The server's reply, of whatever status, or why none came."""
        try:
            return await asyncio.wait_for(self._post(content), self._timeout)
        except (asyncio.TimeoutError, httpx.TimeoutException) as error:
            if isinstance(error, httpx.ConnectTimeout):
                return Failure("server", "no connection came about in time")
            return Failure("unsure", f"no answer within {self._timeout:g} seconds")
        except httpx.ConnectError as error:
            return Failure("server", f"no connection: {self.hidden(_one_line(error))}")
        except httpx.HTTPError as error:
            return Failure("unsure", f"the connection broke: {self.hidden(_one_line(error))}")

    async def close(self) -> None:
        """End all connections."""
        await self._http.aclose()

    def hidden(self, text: str) -> str:
        """`text` without the key: a server may quote it."""
        return text.replace(self._key, "***") if self._key else text

    def _without_key(self, body: bytes) -> bytes:
        """A reply without the key, before anybody cuts it to length; JSON may write slashes with a backslash."""
        for form in {self._key, self._key.replace("/", "\\/")} - {""}:
            body = body.replace(form.encode(), b"***")
        return body

    async def _post(self, content: bytes) -> Reply:
        async with self._http.stream("POST", self._url, content=content) as response:
            body = bytearray()
            async for chunk in response.aiter_bytes():
                body += chunk
                if len(body) > _MOST_BYTES:
                    return Reply(response.status_code, response.headers, None)
            return Reply(response.status_code, response.headers, self._without_key(bytes(body)))


def _key(variable: str) -> str:
    """The key, or nothing for a server that asks for none. Raises `UserError` where one was promised or cannot be sent."""
    key = os.environ.get(variable, "").strip()
    if not key and variable != KEY_VARIABLE:
        raise UserError(
            f"The environment variable {variable} (engine.openai.key_variable) is not set where the engine runs; set it there, "
            "with Ray's runtime_env or before Ray is started."
        )
    if not re.fullmatch(r"[!-~]*", key):  # the library would quote it in its error
        raise UserError(
            f"The environment variable {variable} holds characters that no key has; set it to the key alone."
        )
    return key


def _one_line(error: Exception) -> str:
    return " ".join(f"{type(error).__name__} {error}".split())[:200]
