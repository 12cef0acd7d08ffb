"""An engine without a model, for tests and for measuring everything around the engine.

It mends what any copy editor would: superfluous spaces go, a missing full stop comes. Where there is nothing of the
sort, three responses of four get an exclamation mark for their full stop, so that most pairs are changed a little and
some come back as they were, as from a booster. The faults that it can be set to show are those of real engines.
"""

from __future__ import annotations

import asyncio
import os
import re
import zlib
from collections.abc import Sequence

from midb_ray.engines.base import Completion, EngineError, Request
from midb_ray.engines.settings import EngineSettings
from midb_ray.prompts import INPUT, INSTRUCTION, RESPONSE

_SPACES = re.compile(r"(?<=\S)  +(?=\S)")
_IDEOGRAPHIC = re.compile(r"[\u3041-\u30ff\u3400-\u9fff\uf900-\ufaff]")
_UNSPACED = re.compile(r"[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff]")  # Thai and its neighbours write no full stop


class EchoEngine:
    """Answers each prompt with the pair in it, lightly edited. Completions count no tokens, as there is no tokenizer."""

    isolated = False

    def __init__(self, settings: EngineSettings) -> None:
        self._settings = settings
        self._closed = False

    async def generate(self, requests: Sequence[Request]) -> list[Completion]:
        """Completions in the order of `requests`. Raises `ValueError` or ends the process where the settings say so."""
        if self._closed:
            raise EngineError("The engine was closed.")
        settings = self._settings
        if settings.echo_crash_on and _any_contains(requests, settings.echo_crash_on):
            os._exit(1)  # no clean-up, no exit handlers: as sudden as a dead CUDA context
        if settings.echo_delay:
            await asyncio.sleep(settings.echo_delay * len(requests))
        if settings.echo_fail_on and _any_contains(requests, settings.echo_fail_on):
            raise ValueError(f"a prompt contains {settings.echo_fail_on!r} (echo_fail_on)")
        return [_answer(request) for request in requests]

    def close(self) -> None:
        self._closed = True


def _any_contains(requests: Sequence[Request], text: str) -> bool:
    return any(text in (request.text or "") for request in requests)


def _answer(request: Request) -> Completion:
    _, begun, pair = (request.text or "").partition(f"{INSTRUCTION}\n")  # markers in data are escaped
    body, answered, response = pair.partition(f"\n{RESPONSE}\n")
    if not (begun and answered):
        return Completion("", "error", 0, "the prompt shows no pair")
    instruction, marker, given = body.partition(f"\n{INPUT}\n")
    edited = f"{edit(instruction)}{marker}{given}{answered}{edit(response)}"
    if edited == pair and zlib.crc32(response.encode()) % 4:
        edited = _with_exclamation_mark(edited)
    return Completion(f"{begun}{edited}", "stop", 0)


def _with_exclamation_mark(text: str) -> str:
    if text.endswith(".") and text[-2:-1].isalpha():
        return f"{text[:-1]}!"
    return f"{text[:-1]}！" if text.endswith("。") else text


def edit(text: str) -> str:
    """`text` with single spaces between words and a full stop at its end, unless it has code in it or ends with
    anything but a word."""
    if "  " in text and "`" not in text:
        text = _SPACES.sub(" ", text)
    last = text[-1:]
    if not last.isalpha() or _UNSPACED.match(last):
        return text
    if _IDEOGRAPHIC.match(last):
        return f"{text}。"
    word = text[-40:].split()[-1]
    return f"{text}." if word.isalpha() else text  # no full stop after a link, a placeholder or a piece of code
