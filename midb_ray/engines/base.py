"""What an engine is: requests in, completions out, and two kinds of failure that nobody has to guess."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, NamedTuple, Protocol

Finish = Literal["stop", "length", "error"]


class Request(NamedTuple):
    """One prompt for an engine: as text for engines that take text, as token ids for the others.

    `limit` is the largest number of new tokens. Several requests of the same prompt differ in `sample`, from which and from the
    engine's seed their random numbers follow.
    """

    text: str | None
    ids: Sequence[int] | None
    limit: int
    sample: int = 0


class Completion(NamedTuple):
    """What came of one request: the answer without its end token, why it ended, and its length in tokens.

    `error` is set when `finish` is "error": the engine refused or failed on this row alone.
    """

    text: str
    finish: Finish
    tokens: int
    error: str | None = None


class EngineError(RuntimeError):
    """The engine is beyond repair (dead CUDA context, lost core): the process has to go. Any other exception that
    `generate` raises is the fault of the rows it was given."""


class Engine(Protocol):
    """Generates answers. Several shards call `generate` at the same time; an engine may batch across calls."""

    async def generate(self, requests: Sequence[Request]) -> list[Completion]:
        """Completions in the order of `requests`. Raises `EngineError`, or any other exception for bad rows."""
        ...

    def close(self) -> None:
        """Release what the engine holds; it is not used afterwards."""
        ...
