"""Rows on which an engine raises are found by halving, so that the others get their answers."""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

from midb_ray.engines.base import Completion, EngineError, Likelihood, Similarity
from midb_ray.errors import UserError

A = TypeVar("A")
R = TypeVar("R")


async def each(
    ask: Callable[[Sequence[A]], Awaitable[list[R]]], rows: Sequence[A], failed: Callable[[str], R]
) -> list[R]:
    """What an engine says of rows; `failed` makes of a reason what stands for a row that fails by itself. Raises `EngineError` and
    `UserError`, which are no row's fault."""
    if not rows:
        return []
    try:
        return await ask(rows)
    except (EngineError, UserError):
        raise
    except Exception as error:
        if len(rows) == 1:
            return [failed(f"{type(error).__name__}: {error}")]
    middle = len(rows) // 2
    return [*await each(ask, rows[:middle], failed), *await each(ask, rows[middle:], failed)]


def no_completion(reason: str) -> Completion:
    """Stands for an answer that an engine failed to give."""
    return Completion("", "error", 0, reason)


def no_likelihood(reason: str) -> Likelihood:
    """Stands for a text that an engine failed to measure."""
    return Likelihood(math.nan, 0, reason)


def no_similarity(reason: str) -> Similarity:
    """Stands for two texts that an engine failed to compare."""
    return Similarity(math.nan, reason)
