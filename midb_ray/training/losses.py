"""The loss: negative log-likelihood of answer tokens, and nothing computed for any other token."""

from __future__ import annotations

from typing import Any

import torch

_ROWS = 512  # of the logits that are float32 at one time


class AnswerLoss(torch.autograd.Function):
    """Sum of the cross entropy of `logits` (tokens, vocabulary) against `targets` (tokens,), in float32.

    Keeps the logits in their own type and a number per token; torch's function keeps float32 copies of all of them, which for
    a vocabulary of 128,000 is more memory than anything else in the step.
    """

    @staticmethod
    def forward(context: Any, logits: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        normalisers = torch.empty(len(targets), dtype=torch.float32, device=logits.device)
        total = torch.zeros((), dtype=torch.float32, device=logits.device)
        for begin in range(0, len(targets), _ROWS):
            rows = logits[begin : begin + _ROWS].float()
            normaliser = normalisers[begin : begin + _ROWS]
            torch.logsumexp(rows, dim=1, out=normaliser)
            total += (normaliser - rows.gather(1, targets[begin : begin + _ROWS, None])[:, 0]).sum()
        context.save_for_backward(logits, targets, normalisers)
        return total

    @staticmethod
    def backward(context: Any, gradient: torch.Tensor) -> tuple[torch.Tensor, None]:
        logits, targets, normalisers = context.saved_tensors
        in_place = logits.dtype == torch.float32  # nobody reads logits once their gradient is made
        made = logits if in_place else torch.empty_like(logits)
        for begin in range(0, len(targets), _ROWS):
            part = slice(begin, begin + _ROWS)
            rows = logits[part].float().sub_(normalisers[part, None]).exp_()
            ones = rows.gather(1, targets[part, None]) - 1
            rows.scatter_(1, targets[part, None], ones).mul_(gradient)
            if not in_place:
                made[part] = rows
        return made, None


def answer_loss(logits: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """See `AnswerLoss`; without targets it is 0 and has a gradient of zeros."""
    if len(logits) != len(targets):
        raise AssertionError(f"{len(logits)} logits for {len(targets)} targets: the model does not know logits_to_keep")
    return AnswerLoss.apply(logits, targets)
