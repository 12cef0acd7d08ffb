"""The training loop. It knows neither Ray nor DeepSpeed: a stepper does, so the loop also runs in one plain process."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from midb_ray.errors import UserError
from midb_ray.training.batches import Schedule, pack
from midb_ray.training.examples import Examples, MicroBatch, micro_batch
from midb_ray.training.settings import TrainSettings
from midb_ray.training.steppers import Stepper

if TYPE_CHECKING:
    import torch


class Step(NamedTuple):
    """One step: loss per answer token before it, the norm of its gradient, its learning rate, and over all workers its examples,
    its tokens (none is padding) and those of them in answers."""

    loss: float
    gradient_norm: float
    learning_rate: float
    examples: int
    tokens: int
    answer_tokens: int
    asked: bool


def run_step(
    stepper: Stepper, examples: Examples, schedule: Schedule, step: int, settings: TrainSettings, ask: bool = False
) -> Step:
    """Train one step (from 0). What one worker wants to `ask` all others, all are `asked`, at no cost: it goes with the loss.

    Raises `UserError` when the loss or the norm of its gradient is not finite, on all workers together; nobody keeps the weights
    after that.
    """
    chosen = schedule.indices(step)
    lengths = examples.lengths[chosen]
    answer_tokens = int((lengths - examples.answers[chosen]).sum())
    learning_rate = rate(step + 1, schedule.steps, settings)
    summed = 0.0
    parts = share(stepper, examples, chosen.tolist(), settings)
    seed(settings.seed, step, stepper.rank)
    for number, part in enumerate(parts, start=1):
        loss = loss_sum(stepper, part)
        summed += loss.detach()
        # Workers' gradients are averaged: scaled so, their mean is the gradient of the mean over the step's answer tokens.
        stepper.backward(loss * (stepper.workers / answer_tokens), last=number == len(parts))
    total, asked = stepper.total(float(summed), float(ask))
    loss = total / answer_tokens
    if not math.isfinite(loss):
        raise no_number("loss", loss, step + 1, schedule, settings)
    norm = stepper.update(learning_rate)
    if not 0 <= norm < math.inf:  # DeepSpeed makes -1 of it
        raise no_number("gradient's norm", norm, step + 1, schedule, settings)
    return Step(loss, norm, learning_rate, len(chosen), int(lengths.sum()), answer_tokens, asked > 0)


def no_number(what: str, value: float, step: int, schedule: Schedule, settings: TrainSettings) -> UserError:
    """The refusal of a value that is not finite at a step (from 1)."""
    wide = " or dtype float32" if settings.dtype == "bfloat16" else ""
    advice = f"try a learning_rate below {settings.learning_rate:g}{wide}"
    if step > settings.checkpoint.steps:
        advice = f"the checkpoints before it are whole: {advice}, with --accept for what you change, or start over with --fresh"
    else:
        advice += ", and start over with --fresh"
    return UserError(f"The {what} is {value} at step {step} of {schedule.steps}; {advice}.")


def share(stepper: Stepper, examples: Examples, chosen: Sequence[int], settings: TrainSettings) -> list[MicroBatch]:
    """This worker's micro-batches of the examples of a step; every worker has as many."""
    packed = pack(examples.lengths[chosen].tolist(), settings.micro_tokens, stepper.workers, settings.packing)
    return [micro_batch(examples, [chosen[place] for place in one]) for one in packed[stepper.rank]]


def loss_sum(stepper: Stepper, batch: MicroBatch) -> torch.Tensor:
    """Negative log-likelihood of the batch's targets, summed. Logits are made for the tokens before targets only."""
    from midb_ray.training.losses import answer_loss

    here = batch.to(stepper.device)
    with stepper.compute():
        logits = stepper.module(**inputs(stepper, here), logits_to_keep=here.places).logits.squeeze(0)
    return answer_loss(logits, here.targets)


def inputs(stepper: Stepper, batch: MicroBatch) -> dict[str, Any]:
    """What the model is called with; where examples are packed, also where each begins and ends."""
    given: dict[str, Any] = {"input_ids": batch.ids, "use_cache": False}
    if stepper.packing:
        given |= {"position_ids": batch.positions}
        given |= {"cu_seq_lens_q": batch.bounds, "cu_seq_lens_k": batch.bounds}
        given |= {"max_length_q": batch.longest, "max_length_k": batch.longest}
    return given


def validate(stepper: Stepper, examples: Examples, settings: TrainSettings) -> dict[str, float]:
    """Loss per answer token of each language. Every worker must call it; all get the same."""
    import torch

    languages = examples.column("language")
    names = sorted(set(languages))
    sums = {name: [0.0, 0.0] for name in names}
    stepper.module.eval()
    with torch.no_grad():
        for name in names:
            chosen = [index for index, language in enumerate(languages) if language == name]
            for part in share(stepper, examples, chosen, settings):
                sums[name][0] += float(loss_sum(stepper, part))
                sums[name][1] += len(part.targets)
    stepper.module.train()
    flat = stepper.total(*(value for pair in sums.values() for value in pair))
    return {name: flat[2 * place] / flat[2 * place + 1] for place, name in enumerate(names)}


def rate(step: int, steps: int, settings: TrainSettings) -> float:
    """The learning rate of a step (from 1): linear warm-up, then the schedule down to `final_learning_rate`, or level."""
    warm = max(round(settings.warmup * steps), 1)
    if step <= warm:
        return settings.learning_rate * step / warm
    done = (step - warm) / (steps - warm + 1)  # the last step still learns something
    falling = {"cosine": (1 + math.cos(math.pi * done)) / 2, "linear": 1 - done, "constant": 1.0}[settings.schedule]
    floor = settings.final_learning_rate
    return settings.learning_rate * (floor + (1 - floor) * falling)


def seed(number: int, step: int, rank: int) -> None:
    """Dropout of a step follows from the run's seed, the step and the worker: no state has to be kept in checkpoints."""
    import torch

    torch.manual_seed((number * 1_000_003 + step) * 1_009 + rank)
