"""Which settings bring a training run down to the memory that there is."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

from midb_ray.training import sizes
from midb_ray.training.settings import TrainSettings

CARDS = (24, 40, 48, 80, 141)
"""GB on GPUs that are common."""

_USABLE = 0.98  # of a card's memory: the driver keeps some
_WORTH = 0.02  # a change must save more than this share, or it is not spoken of
_MOST_WORKERS = 1024


class Remedy(NamedTuple):
    """Settings to change, as they stand in a file, and the bytes that a worker then needs."""

    changes: tuple[str, ...]
    total: int


def card_bytes(card: int) -> int:
    """What a program gets of a card with so many GB."""
    return round(card * _USABLE * 2**30)


def smallest_card(total: int) -> int | None:
    """The smallest of `CARDS` that holds so many bytes, in GB."""
    return next((card for card in CARDS if card_bytes(card) >= total), None)


def remedies(
    counted: sizes.Parameters, config: Any, settings: TrainSettings, workers: int, limit: int, labelled: float = 1.0
) -> list[Remedy]:
    """What brings a worker below `limit` bytes: changes of settings, the cheapest first and as few as it takes; and more workers,
    where that alone does. Empty where neither does."""
    found = []
    now, changes = settings, []
    total = sizes.memory(counted, config, now, workers, labelled).total
    for change, changed in _steps(settings, workers):
        tried = sizes.memory(counted, config, changed(now), workers, labelled).total
        if total - tried <= _WORTH * total:
            continue
        now, total = changed(now), tried
        changes.append(change)
        if total <= limit:
            found.append(Remedy(tuple(changes), total))
            break
    more = workers * 2
    while more <= _MOST_WORKERS:
        tried = sizes.memory(counted, config, settings, more, labelled).total
        if tried <= limit:
            found.append(Remedy((f"workers: {more}",), tried))
            break
        more *= 2
    return found


def _steps(settings: TrainSettings, workers: int) -> Iterator[tuple[str, Any]]:
    """Changes in the order of what they cost: nothing, time, more time. Each is its wording and a function of the settings."""
    least = settings.max_tokens
    if settings.packing and settings.micro_tokens > least:
        yield f"micro_tokens: {least}", lambda now: now.model_copy(update={"micro_tokens": least})
    if not settings.gradient_checkpointing:
        yield "gradient_checkpointing: true", lambda now: now.model_copy(update={"gradient_checkpointing": True})
    if settings.zero.stage < 2:
        yield "zero.stage: 2", lambda now: _zero(now, stage=2)
    if settings.zero.stage < 3 and workers > 1:
        yield "zero.stage: 3", lambda now: _zero(now, stage=3)
    if not settings.zero.offload_optimizer:
        yield (
            "zero.offload_optimizer: true",
            lambda now: _zero(now, stage=max(now.zero.stage, 1), offload_optimizer=True),
        )
    if not settings.zero.offload_parameters:
        stage = "" if settings.zero.stage == 3 else "zero.stage: 3 with "
        yield f"{stage}zero.offload_parameters: true", lambda now: _zero(now, stage=3, offload_parameters=True)


def _zero(settings: TrainSettings, **changes: Any) -> TrainSettings:
    return settings.model_copy(update={"zero": settings.zero.model_copy(update=changes)})
