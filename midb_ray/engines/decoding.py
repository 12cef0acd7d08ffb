"""One batch through a model: left-padded generation in which no row sees its neighbours.

Every row has its own limit and, when sampling, its own random numbers, so an answer is the same whatever else is in
the batch (up to ties that padding tips, as floating-point sums depend on their shape).
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from typing import Any, NamedTuple

import torch
from transformers import GenerationConfig, LogitsProcessor, LogitsProcessorList, StoppingCriteria, StoppingCriteriaList
from transformers.generation import TopPLogitsWarper

from midb_ray.engines.base import Finish, Request, ended, seed_of
from midb_ray.engines.form import Form, RowForm


class Sampling(NamedTuple):
    """How a token is chosen: the likeliest one at temperature 0, else at random among the top_p likeliest."""

    temperature: float
    top_p: float
    seed: int


@torch.inference_mode()  # type: ignore[untyped-decorator]
def decode(
    model: Any,
    requests: Sequence[Request],
    end: Collection[int],
    sampling: Sampling,
    abandoned: Callable[[], bool],
    form: Form | None = None,
) -> list[tuple[list[int], Finish]]:
    """New token ids of each request without the end token, and why they ended there.

    `end` are the ids that end an answer. `abandoned` is asked before every token; when it says yes, generation stops and
    the answers mean nothing. With a `form` answers are held to it. Raises whatever the model raises.
    """
    prompts = [torch.as_tensor(request.ids, dtype=torch.long) for request in requests]
    width = max(len(prompt) for prompt in prompts)
    ids = torch.full((len(prompts), width), min(end))  # padding is masked, so any id of the vocabulary does
    mask = torch.zeros((len(prompts), width), dtype=torch.long)
    for row, prompt in enumerate(prompts):
        ids[row, width - len(prompt) :] = prompt
        mask[row, width - len(prompt) :] = 1
    limits = [request.limit for request in requests]
    processors: list[LogitsProcessor] = [RowForm(form, prompts)] if form is not None else []
    if sampling.temperature > 0:  # after the form, so that top_p counts the tokens that can stand
        processors.append(RowNoise(sampling, requests, model.device))
    output = model.generate(
        input_ids=ids.to(model.device),
        attention_mask=mask.to(model.device),
        generation_config=GenerationConfig(
            max_new_tokens=max(limits), do_sample=False, eos_token_id=sorted(end), pad_token_id=min(end)
        ),
        stopping_criteria=StoppingCriteriaList([RowLimits(width, limits, model.device, abandoned)]),
        logits_processor=LogitsProcessorList(processors),
    )
    return [ended(new, limit, end) for new, limit in zip(output[:, width:].tolist(), limits, strict=True)]


class RowLimits(StoppingCriteria):
    """A row is done when it has as many new tokens as it may have."""

    def __init__(self, width: int, limits: list[int], device: torch.device, abandoned: Callable[[], bool]) -> None:
        self._lengths = width + torch.tensor(limits, device=device)
        self._abandoned = abandoned

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor, **kwargs: Any) -> torch.Tensor:
        if self._abandoned():
            return torch.ones_like(self._lengths, dtype=torch.bool)
        return input_ids.shape[1] >= self._lengths


class RowNoise(LogitsProcessor):
    """Sampling as the argmax of scores plus Gumbel noise (Gumbel-max trick), from one generator per row (see
    `base.seed_of`)."""

    def __init__(self, sampling: Sampling, requests: Sequence[Request], device: torch.device) -> None:
        self._temperature = sampling.temperature
        self._top_p = TopPLogitsWarper(sampling.top_p) if sampling.top_p < 1 else None
        seeds = [seed_of(request, sampling.seed) for request in requests]
        self._generators = [torch.Generator(device).manual_seed(seed) for seed in seeds]

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        scores = scores / self._temperature
        if self._top_p is not None:
            scores = self._top_p(input_ids, scores)
        exponential = torch.empty_like(scores)
        for row, generator in zip(exponential, self._generators, strict=True):
            row.exponential_(generator=generator)
        return scores - exponential.log()
