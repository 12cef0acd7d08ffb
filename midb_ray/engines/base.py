"""What an engine is: requests in, completions out, and two kinds of failure that nobody has to guess."""

from __future__ import annotations

from array import array
from collections.abc import Collection, Sequence
from typing import Literal, NamedTuple, Protocol, runtime_checkable

import xxhash

from midb_ray.runs.figures import Usage

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


def seed_of(request: Request, seed: int) -> int:
    """The seed (64 bits) from which a request's answer is drawn: that of the settings, the prompt and, from the second sample on,
    its number. What shares the batch changes nothing."""
    text = (request.text or "").encode("utf-8", "surrogatepass")
    found = xxhash.xxh64_intdigest(text if request.ids is None else array("q", request.ids).tobytes(), seed=seed)
    return xxhash.xxh64_intdigest(found.to_bytes(8, "little"), seed=request.sample) if request.sample else found


class Completion(NamedTuple):
    """What came of one request: the answer without its end token, why it ended, and its length in tokens.

    `error` is set when `finish` is "error": the engine refused or failed on this row alone.
    """

    text: str
    finish: Finish
    tokens: int
    error: str | None = None


def ended(new: Sequence[int], limit: int, end: Collection[int]) -> tuple[list[int], Finish]:
    """New token ids up to the first of `end`, at most `limit`, and why they end there."""
    for position, token in enumerate(new[:limit]):
        if token in end:
            return list(new[:position]), "stop"
    return list(new[:limit]), "length"


class Continuation(NamedTuple):
    """A text to be judged instead of generated: token ids, and those of what stands before it (at least one)."""

    prompt: Sequence[int]
    ids: Sequence[int]


class Likelihood(NamedTuple):
    """How likely a continuation is: its log-probability (natural logarithm, summed over its tokens) and how many they are.

    `error` is set when the engine refused or failed on this row alone; `total` is then NaN.
    """

    total: float
    tokens: int
    error: str | None = None


class Comparison(NamedTuple):
    """Two texts, to be compared by what they mean."""

    one: str
    other: str


class Similarity(NamedTuple):
    """How near two texts are in meaning: the cosine of their embeddings.

    `error` is set when the engine refused or failed on this row alone; `cosine` is then NaN.
    """

    cosine: float
    error: str | None = None


class Bounds(NamedTuple):
    """What fits a model: ids below `vocabulary`, prompt and answer together within `context` (None: no bound)."""

    vocabulary: int
    context: int | None

    def refusal(self, ids: Sequence[int] | None, limit: int) -> str | None:
        """Why a prompt with so many new tokens may not reach the model: an id beyond the vocabulary kills an engine."""
        if not ids or limit < 1:
            return "a request needs token ids and a limit of at least 1"
        if min(ids) < 0 or max(ids) >= self.vocabulary:
            return f"a token id is outside the model's vocabulary of {self.vocabulary}"
        if self.context is not None and len(ids) + limit > self.context:
            return f"{len(ids)} prompt and {limit} new tokens exceed the context of {self.context}"
        return None

    def refusal_of(self, row: Continuation) -> str | None:
        """Why a continuation may not reach the model."""
        if not row.prompt or not row.ids:
            return "a continuation needs token ids, and so does what stands before it"
        return self.refusal([*row.prompt, *row.ids], 1)


class EngineError(RuntimeError):
    """The engine is beyond repair (dead CUDA context, lost core): the process has to go. A `UserError` that `generate` raises ends
    the job, which can go on later; any other exception is the fault of the rows it was given."""


class Engine(Protocol):
    """Generates answers. Several shards call `generate` at the same time; an engine may batch across calls.

    `isolated` says that it computes in a process of its own, so that whoever calls it outlives its death and can tell.
    """

    isolated: bool

    async def generate(self, requests: Sequence[Request]) -> list[Completion]:
        """Completions in the order of `requests`. Raises `EngineError`, or any other exception for bad rows."""
        ...

    def close(self) -> None:
        """Release what the engine holds; it is not used afterwards."""
        ...


@runtime_checkable
class Scorer(Engine, Protocol):
    """An engine with a model, which can also say how likely a text is."""

    async def loglikelihood(self, rows: Sequence[Continuation]) -> list[Likelihood]:
        """Likelihoods in the order of `rows`. Raises `EngineError`, or any other exception for bad rows."""
        ...


@runtime_checkable
class Comparer(Engine, Protocol):
    """An engine with a sentence encoder, which can say how near texts are in meaning."""

    async def similarity(self, rows: Sequence[Comparison]) -> list[Similarity]:
        """Similarities in the order of `rows`. Raises `EngineError`, or any other exception for bad rows."""
        ...


@runtime_checkable
class Charged(Protocol):
    """An engine that asks a server, which counts what it does."""

    def usage(self) -> Usage:
        """What the server was asked and has counted since the last call."""
        ...
