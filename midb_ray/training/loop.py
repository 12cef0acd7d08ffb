"""The training loop. It knows neither Ray nor DeepSpeed: a stepper does, so the loop also runs in one plain process."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, NamedTuple, Protocol

from midb_ray.errors import UserError
from midb_ray.training.examples import IGNORED, Batch
from midb_ray.training.settings import TrainSettings

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel


class Report(NamedTuple):
    """Where training stands: loss per answer token over the last steps, and answer tokens per second over all workers."""

    step: int
    steps: int
    loss: float
    learning_rate: float
    tokens_per_second: float
    eta_seconds: float


class Stepper(Protocol):
    """How gradients are made and applied."""

    device: torch.device
    module: torch.nn.Module

    def backward(self, loss: torch.Tensor) -> None: ...

    def update(self, learning_rate: float) -> None: ...

    def weights(self) -> dict[str, torch.Tensor]: ...


class PlainStepper:
    """AdamW in one process, without DeepSpeed."""

    def __init__(self, model: PreTrainedModel, settings: TrainSettings, device: str = "cpu") -> None:
        import torch

        self.device = torch.device(device)
        self.module = model.to(self.device)
        self._clip = settings.clip
        self._optimizer = torch.optim.AdamW(
            model.parameters(), settings.learning_rate, betas=(0.9, 0.95), weight_decay=settings.weight_decay
        )

    def backward(self, loss: torch.Tensor) -> None:
        loss.backward()

    def update(self, learning_rate: float) -> None:
        import torch

        for group in self._optimizer.param_groups:
            group["lr"] = learning_rate
        torch.nn.utils.clip_grad_norm_(self.module.parameters(), self._clip)
        self._optimizer.step()
        self._optimizer.zero_grad(set_to_none=True)

    def weights(self) -> dict[str, torch.Tensor]:
        return {name: tensor.detach().to("cpu", copy=True) for name, tensor in self.module.state_dict().items()}


def run_loop(
    stepper: Stepper,
    batches: Iterator[Batch],
    steps: int,
    settings: TrainSettings,
    report: Callable[[Report], None],
    total: Callable[[float], float] = lambda value: value,
) -> list[float]:
    """Train for `steps`; returns the loss per answer token of each step.

    `total` sums a number over all workers. Raises `UserError` when the loss is not finite; all workers raise together.
    """
    started = told = time.monotonic()
    losses: list[float] = []
    tokens = 0
    stepper.module.train()
    for step, batch in enumerate(batches, start=1):
        learning_rate = rate(step, steps, settings)
        summed = loss_sum(stepper, batch)
        # Workers' gradients are averaged: scaled so, their mean is the gradient of the mean over the step's answer tokens.
        stepper.backward(summed * settings.workers / batch.answer_tokens)
        loss = total(float(summed.detach())) / batch.answer_tokens
        if not math.isfinite(loss):
            raise UserError(
                f"The loss is {loss} at step {step} of {steps}; try a lower learning_rate or dtype float32."
            )
        stepper.update(learning_rate)
        losses.append(loss)
        tokens += batch.answer_tokens
        if step % settings.log_steps == 0 or step == steps:
            now = time.monotonic()
            recent = losses[-settings.log_steps :]
            eta = (now - started) / step * (steps - step)
            report(Report(step, steps, sum(recent) / len(recent), learning_rate, tokens / (now - told), eta))
            told, tokens = now, 0
    return losses


def loss_sum(stepper: Stepper, batch: Batch) -> torch.Tensor:
    """Negative log-likelihood of the batch's labels, summed. Logits are made for the last positions only, where labels are."""
    import torch

    ids, labels = batch.ids.to(stepper.device), batch.labels.to(stepper.device)
    logits = stepper.module(input_ids=ids, use_cache=False, logits_to_keep=batch.kept).logits[:, :-1].float()
    wanted = labels[:, ids.shape[1] - batch.kept + 1 :]
    return torch.nn.functional.cross_entropy(
        logits.flatten(0, 1), wanted.flatten(), ignore_index=IGNORED, reduction="sum"
    )


def rate(step: int, steps: int, settings: TrainSettings) -> float:
    """The learning rate of a step (from 1): linear warm-up, then the schedule down to a tenth (cosine, linear) or level."""
    warm = max(round(settings.warmup * steps), 1)
    if step <= warm:
        return settings.learning_rate * step / warm
    share = (step - warm) / max(steps - warm, 1)
    falling = {"cosine": (1 + math.cos(math.pi * share)) / 2, "linear": 1 - share, "constant": 1.0}[settings.schedule]
    return settings.learning_rate * (0.1 + 0.9 * falling)
