"""The metadata server of a cloud's virtual machine: HTTP on a link-local address, with the standard library alone, which here
knows no proxy and follows no redirect."""

from __future__ import annotations

import contextlib
import http.client
import socket
import threading
import time
import urllib.parse
from collections.abc import Callable, Iterator, Mapping
from typing import Final, NamedTuple

from midb_ray.errors import one_line

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
    """What asks `endpoint`, in bounded time."""
    place = urllib.parse.urlsplit(endpoint)
    host, port = place.hostname or "", place.port

    def ask(path: str, headers: Mapping[str, str], method: str = "GET", timeout: float = TIMEOUT) -> Reply:
        until = time.monotonic() + timeout
        connection = http.client.HTTPConnection(host, port, timeout=timeout)
        try:
            with contextlib.closing(connection):
                connection.connect()
                with _given_up(connection.sock, until):
                    connection.request(method, path, headers=dict(headers))
                    answer = connection.getresponse()
                    named = {name.lower(): value for name, value in answer.headers.items()}
                    body = answer.read(_LARGEST + 1)
            if len(body) > _LARGEST or time.monotonic() >= until:
                raise TimeoutError("the answer has no end")
            return Reply(answer.status, body.decode("utf-8", "replace"), named)
        except (OSError, http.client.HTTPException, ValueError) as error:
            reason = one_line(error)
            if time.monotonic() >= until:
                reason = f"no whole answer within {timeout:g} s"
            raise MetadataError(f"{endpoint.rstrip('/')}{path}: {reason}") from None

    return ask


@contextlib.contextmanager
def _given_up(connected: socket.socket, until: float) -> Iterator[None]:
    """What the block reads from a socket ends at `until`: its own time-out starts anew with every byte of a server that drips."""

    def end() -> None:
        with contextlib.suppress(OSError):
            connected.shutdown(socket.SHUT_RDWR)

    timer = threading.Timer(max(until - time.monotonic(), 0), end)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
