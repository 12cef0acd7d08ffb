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

from midb_ray.engines import kv_cache
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
    the answers mean nothing. With a `form` answers are held to it. Rows that are done leave the batch whenever they are half of
    it. Raises whatever the model raises.
    """
    prompts = [torch.as_tensor(request.ids, dtype=torch.long) for request in requests]
    width, limits = max(map(len, prompts)), [request.limit for request in requests]
    ids, mask = (part.to(model.device) for part in _padded(prompts, width, min(end)))
    processors: list[RowForm | RowNoise] = [RowForm(form, prompts)] if form is not None else []
    if sampling.temperature > 0:  # after the form, so that top_p counts the tokens that can stand
        processors.append(RowNoise(sampling, requests, model.device))
    cache = kv_cache.make(model, width + max(limits))
    answers: list[tuple[list[int], Finish]] = [([], "length")] * len(requests)
    rows = list(range(len(requests)))
    while rows:
        done = RowsDone(width, [limits[row] for row in rows], end, model.device, abandoned, early=cache is not None)
        ids = model.generate(
            input_ids=ids,
            attention_mask=mask,
            past_key_values=cache,
            generation_config=GenerationConfig(
                max_new_tokens=width + max(limits[row] for row in rows) - ids.shape[1],
                do_sample=False,
                eos_token_id=sorted(end),
                pad_token_id=min(end),
            ),
            stopping_criteria=StoppingCriteriaList([done]),
            logits_processor=LogitsProcessorList(processors),
        )
        if abandoned():
            break
        if cache is not None and cache.get_seq_length() != ids.shape[1] - 1:
            cache = None  # the model went on without it, as Phi-3 does beyond 4,096 tokens
        left = []
        for place, new in enumerate(ids[:, width:].tolist()):
            row = rows[place]
            answers[row] = ended(new, limits[row], end)
            if answers[row][1] == "length" and len(new) < limits[row]:
                left.append(place)
        if not left:
            break
        rows = [rows[place] for place in left]
        kept = torch.tensor(left, device=ids.device)
        ids = ids[kept]
        mask = torch.nn.functional.pad(mask[kept], (0, ids.shape[1] - mask.shape[1]), value=1)
        if cache is not None:
            cache.batch_select_indices(kept)
        for processor in processors:
            processor.keep(left)
    return answers


def _padded(prompts: Sequence[torch.Tensor], width: int, pad: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Ids and mask of prompts that end together; padding is masked, so any id of the vocabulary does."""
    ids = torch.full((len(prompts), width), pad)
    mask = torch.zeros((len(prompts), width), dtype=torch.long)
    for row, prompt in enumerate(prompts):
        ids[row, width - len(prompt) :] = prompt
        mask[row, width - len(prompt) :] = 1
    return ids, mask


class RowsDone(StoppingCriteria):
    """A row is done when it has its end token or as many new tokens as it may have; `early`: all stop once half of them are."""

    def __init__(
        self,
        width: int,
        limits: list[int],
        end: Collection[int],
        device: torch.device,
        abandoned: Callable[[], bool],
        early: bool,
    ) -> None:
        self._lengths = width + torch.tensor(limits, device=device)
        self._end = torch.tensor(sorted(end), device=device)
        self._over = torch.zeros_like(self._lengths, dtype=torch.bool)
        self._abandoned, self._early = abandoned, early

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor, **kwargs: Any) -> torch.Tensor:
        if self._abandoned():
            return torch.ones_like(self._over)
        self._over |= torch.isin(input_ids[:, -1], self._end) | (input_ids.shape[1] >= self._lengths)
        return self._over | (self._over.sum() * 2 >= len(self._over)) if self._early else self._over


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

    def keep(self, rows: Sequence[int]) -> None:
        """From now on the batch has these rows alone."""
        self._generators = [self._generators[row] for row in rows]
