"""Sampling by noise: the frequencies are the model's, and a row's noise is its own."""

from __future__ import annotations

import torch
from transformers import LlamaConfig, LlamaForCausalLM

from midb_ray.engines.base import Request
from midb_ray.engines.decoding import RowNoise, Sampling, decode

SCORES = torch.tensor([2.0, 1.0, 0.0, -1.0, float("-inf")])
PROMPTS = [Request(None, [0, number], 1) for number in range(8000)]


def frequencies(sampling: Sampling, steps: int = 1) -> torch.Tensor:
    """How often each token is drawn for 8,000 prompts that all have the same scores, at the given step."""
    noise = RowNoise(sampling, PROMPTS, torch.device("cpu"))
    for _ in range(steps):
        drawn = noise(torch.empty(0), SCORES.repeat(len(PROMPTS), 1)).argmax(-1)
    return torch.bincount(drawn, minlength=len(SCORES)) / len(PROMPTS)


def test_tokens_are_drawn_as_often_as_the_temperature_says() -> None:
    for temperature in (0.5, 1.0, 2.0):
        drawn = frequencies(Sampling(temperature, 1.0, seed=3))
        assert torch.allclose(drawn, (SCORES / temperature).softmax(-1), atol=0.02)  # four standard errors


def test_each_step_draws_anew() -> None:
    drawn = frequencies(Sampling(1.0, 1.0, seed=3), steps=2)
    assert torch.allclose(drawn, SCORES.softmax(-1), atol=0.02)
    assert not torch.equal(drawn, frequencies(Sampling(1.0, 1.0, seed=3)))


def test_top_p_leaves_out_the_unlikely() -> None:
    drawn = frequencies(Sampling(1.0, 0.8, seed=3))
    assert drawn[2:].sum() == 0
    assert torch.allclose(drawn[:2], SCORES[:2].softmax(-1), atol=0.02)


def test_a_row_draws_the_same_wherever_it_stands() -> None:
    scores = torch.zeros(3, 1000)
    together = RowNoise(Sampling(1.0, 1.0, 0), PROMPTS[:3], torch.device("cpu"))(torch.empty(0), scores)
    alone = RowNoise(Sampling(1.0, 1.0, 0), PROMPTS[2:3], torch.device("cpu"))(torch.empty(0), scores[:1])
    assert torch.equal(together[2], alone[0])
    assert not torch.equal(together[1], together[2])


def test_samples_of_one_prompt_draw_differently_and_the_same_every_time() -> None:
    scores = torch.zeros(3, 1000)

    def drawn(samples: list[int], seed: int = 0) -> torch.Tensor:
        requests = [Request(None, [0, 7], 1, sample) for sample in samples]
        return RowNoise(Sampling(1.0, 1.0, seed), requests, torch.device("cpu"))(torch.empty(0), scores[: len(samples)])

    rows = drawn([0, 1, 2])
    assert len({tuple(row.tolist()) for row in rows}) == 3
    assert torch.equal(drawn([2, 0]), rows[[2, 0]])
    assert not torch.equal(drawn([1], seed=1)[0], rows[1])
    assert torch.equal(drawn([0])[0], rows[0])


def test_a_request_is_answered_by_its_sample_whatever_else_is_in_the_batch() -> None:
    torch.manual_seed(0)
    size = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2}
    model = LlamaForCausalLM(LlamaConfig(vocab_size=200, **size)).eval()
    requests = [Request(None, [5, 6, 7], 8, sample) for sample in range(3)]

    def answers(asked: list[Request]) -> list[list[int]]:
        return [ids for ids, _ in decode(model, asked, {1}, Sampling(1.0, 1.0, 0), lambda: False)]

    together = answers(requests)
    assert len(set(map(tuple, together))) == 3
    assert answers([requests[2], Request(None, [9] * 5, 8), requests[1]])[::2] == [together[2], together[1]]
