"""What a server's reply means: an answer, or a failure and whose it is."""

from __future__ import annotations

import email.utils
import json
import re
import time
from collections.abc import Mapping
from typing import Any, Literal, NamedTuple

from midb_ray.engines.base import Completion
from midb_ray.pairs import writable

Blame = Literal["row", "unsure", "server", "setup", "everybody"]
_MOST_TOKENS = 2**31 - 1
_LONGEST_REASON = 300
_COUNTS = {
    name: re.compile(rb'"%s"\s{0,9}:\s{0,9}(\d{1,10})(?!\d)' % name.encode())
    for name in ("prompt_tokens", "completion_tokens")
}


class Reply(NamedTuple):
    """An HTTP reply; `body` is None where it was larger than is read. Header names are in small letters."""

    status: int
    headers: Mapping[str, str]
    body: bytes | None


class Failure(NamedTuple):
    """Why there is no answer, and who is to blame.

    `row`: no further try helps. `unsure`: another try may. `server`: it has too much to do or is not there, whatever the row.
    `setup`: address, key or model are wrong, unless it is this row alone that is not let through. `everybody`: nobody gets an
    answer until the user mends something. `wait` is for how many seconds the server wants to be left alone.
    """

    blame: Blame
    reason: str
    wait: float | None = None


class Counted(NamedTuple):
    """Tokens that the server has counted."""

    prompt: int
    answer: int


def read(reply: Reply) -> Completion | Failure:
    """The answer in a reply, or what is wrong with it."""
    if not 200 <= reply.status < 300:
        return _failure(reply)
    if reply.body is None:
        return Failure("unsure", "the reply is larger than an answer can be")
    found = _parsed(reply.body)
    if not isinstance(found, dict):
        return Failure("unsure", "the reply is no JSON object")
    if found.get("error"):  # some pass on another server's failure in a reply that is none
        return Failure("unsure", f"the reply tells of an error: {message(reply.body)}")
    choices = found.get("choices")
    if not isinstance(choices, list):
        return Failure("unsure", "the reply has no choices")
    if not choices:
        return Failure("row", "the server gave no answer (empty choices)")
    return _chosen(choices[0], counted(reply.body))


def counted(body: bytes | None) -> Counted | None:
    """The tokens that a reply tells of, also one that is broken; None where it does not."""
    parsed = _parsed(body or b"")
    usage = parsed.get("usage") if isinstance(parsed, dict) else None
    if isinstance(usage, dict):
        found: list[Any] = [usage.get(name) for name in _COUNTS]
    else:
        found = [int(hits[-1]) if (hits := pattern.findall(body or b"")) else None for pattern in _COUNTS.values()]
    prompt, answer = found
    return Counted(prompt, answer) if _is_count(prompt) and _is_count(answer) else None


def message(body: bytes | None) -> str:
    """What the server says went wrong, on one line."""
    found: Any = _parsed(body or b"")
    for key in ("error", "message", "detail"):
        if isinstance(found, dict) and key in found:
            found = found[key]
    if not isinstance(found, str):
        found = (body or b"")[: 4 * _LONGEST_REASON].decode("utf-8", "replace")
    return " ".join("".join(char if char.isprintable() else " " for char in found).split())[:_LONGEST_REASON]


def retry_after(headers: Mapping[str, str]) -> float | None:
    """The seconds of a Retry-After header, which may also be a date (RFC 9110, 10.2.3)."""
    value = headers.get("retry-after", "").strip()[:64]
    if re.fullmatch(r"\d{1,9}(\.\d{1,9})?", value, re.ASCII):
        return float(value)
    try:
        return max(email.utils.parsedate_to_datetime(value).timestamp() - time.time(), 0.0)
    except (ValueError, TypeError, OverflowError, IndexError):
        return None


def _failure(reply: Reply) -> Failure:
    status, said = reply.status, message(reply.body)
    reason = f"status {status}: {said}" if said else f"status {status}"
    wait = retry_after(reply.headers)
    if status in (401, 402) or (status == 429 and b"insufficient_quota" in (reply.body or b"")):
        return Failure("everybody", reason)
    if status in (429, 503, 529):
        return Failure("server", reason, wait)
    if status in (408, 409, 425) or status >= 500:
        return Failure("unsure", reason, wait)
    if status in (403, 404, 405) or status < 400:
        return Failure("setup", reason)
    return Failure("row", reason)


def _chosen(choice: Any, tokens: Counted | None) -> Completion | Failure:
    said = choice.get("message") if isinstance(choice, dict) else None
    if not isinstance(said, dict):
        return Failure("unsure", "the reply's choice has no message")
    finish, content = choice.get("finish_reason"), said.get("content")
    if said.get("refusal"):
        return Failure("row", "the model refused to answer")
    if finish not in ("stop", "length"):
        return Failure("row", f"the answer ended for another reason than its length or its end ({str(finish)[:40]!r})")
    if content is None and finish == "length":
        content = ""  # all of it went into reasoning
    if not isinstance(content, str):
        return Failure("row", "the answer has no text")
    return Completion(writable(content), finish, tokens.answer if tokens else 0)


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= _MOST_TOKENS


def _parsed(body: bytes) -> Any:
    try:
        return json.loads(body)
    except (ValueError, RecursionError):
        return None
