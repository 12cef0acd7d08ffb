"""The metadata server of a cloud's virtual machine: HTTP on a link-local address, with the standard library alone."""

from __future__ import annotations

import http.client
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from typing import IO, Any, Final, NamedTuple

LINK_LOCAL: Final = "http://169.254.169.254"
"""All three clouds answer here; the address needs no name server, which may be slow or missing."""
TIMEOUT: Final = 2.0
_LARGEST: Final = 1 << 20


class Reply(NamedTuple):
    """What the server answered; header names are in lower case."""

    status: int
    text: str
    headers: Mapping[str, str]


class MetadataError(Exception):
    """No answer, or none that can be understood; the next look may bring one."""


Ask = Callable[..., Reply]
"""`ask(path, headers, method="GET", timeout=TIMEOUT)`. Raises `MetadataError` where there is no HTTP answer."""


def asker(endpoint: str = LINK_LOCAL) -> Ask:
    """What asks `endpoint`: past every proxy of the environment, following no redirect, and in bounded time."""
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}), _NoRedirect())

    def ask(path: str, headers: Mapping[str, str], method: str = "GET", timeout: float = TIMEOUT) -> Reply:
        url = endpoint.rstrip("/") + path
        request = urllib.request.Request(url, headers=dict(headers), method=method)
        until = time.monotonic() + timeout
        try:
            answer: Any
            try:
                answer = opener.open(request, timeout=timeout)
            except urllib.error.HTTPError as error:
                answer = error
            with answer:
                named = {name.lower(): value for name, value in answer.headers.items()}
                return Reply(answer.status, _body(answer, until), named)
        except (OSError, http.client.HTTPException, ValueError) as error:
            reason = " ".join(str(getattr(error, "reason", error)).split()) or type(error).__name__
            raise MetadataError(f"{url}: {reason[:200]}") from None

    return ask


def _body(answer: Any, until: float) -> str:
    """All of it; the socket's own time-out starts anew with every byte of a server that drips."""
    body = b""
    while block := answer.read1(1 << 16):
        body += block
        if len(body) > _LARGEST or time.monotonic() > until:
            raise TimeoutError("the answer has no end")
    return body.decode("utf-8", "replace")


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """A metadata server sends nobody elsewhere; what does is a network's log-in page."""

    def redirect_request(
        self, req: urllib.request.Request, fp: IO[bytes], code: int, msg: str, headers: Any, newurl: str
    ) -> None:
        return None
