"""Which settings bring a training run down to the memory that there is."""

from __future__ import annotations

from collections.abc import Callable
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
    for step in _STEPS:
        wording, changed = step(now, workers)
        tried = sizes.memory(counted, config, changed, workers, labelled).total if wording else total
        if total - tried <= _WORTH * total:
            continue
        now, total = changed, tried
        changes.append(wording)
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


Change = tuple[str, TrainSettings]
"""Settings with one more thing changed, and its wording; an empty one where there is nothing to change."""


def _smaller_micro_batches(now: TrainSettings, _: int) -> Change:
    wording = f"micro_tokens: {now.max_tokens}" if now.packing and now.micro_tokens > now.max_tokens else ""
    return wording, now.model_copy(update={"micro_tokens": now.max_tokens})


def _checkpointing(now: TrainSettings, _: int) -> Change:
    wording = "" if now.gradient_checkpointing else "gradient_checkpointing: true"
    return wording, now.model_copy(update={"gradient_checkpointing": True})


def _next_stage(now: TrainSettings, workers: int) -> Change:
    stage = 3 if workers > 1 else 2  # stage 3 alone has nobody to split weights with
    return f"zero.stage: {stage}" if now.zero.stage < stage else "", _zero(now, stage=max(now.zero.stage, stage))


def _optimizer_away(now: TrainSettings, _: int) -> Change:
    stage = "" if now.zero.stage else "zero.stage: 1, "
    wording = "" if now.zero.offload_optimizer else f"{stage}zero.offload_optimizer: true"
    return wording, _zero(now, stage=max(now.zero.stage, 1), offload_optimizer=True)


def _weights_away(now: TrainSettings, _: int) -> Change:
    stage = "" if now.zero.stage == 3 else "zero.stage: 3, "
    wording = "" if now.zero.offload_parameters else f"{stage}zero.offload_parameters: true"
    return wording, _zero(now, stage=3, offload_parameters=True)


def _zero(settings: TrainSettings, **changes: Any) -> TrainSettings:
    return settings.model_copy(update={"zero": settings.zero.model_copy(update=changes)})


_STEPS: tuple[Callable[[TrainSettings, int], Change], ...] = (
    # In the order of what they cost: next to nothing, a third of the time, the network, and more time yet.
    _smaller_micro_batches,
    _checkpointing,
    _next_stage,
    _optimizer_away,
    _weights_away,
)
