"""The cache of static batches: the same keys and values as the library's, without a copy for each token."""

from __future__ import annotations

import functools

import pytest
import torch
from transformers import (
    DynamicCache,
    FalconH1Config,
    FalconH1ForCausalLM,
    LlamaConfig,
    LlamaForCausalLM,
    MambaConfig,
    MambaForCausalLM,
    MistralConfig,
    MistralForCausalLM,
    OpenAIGPTConfig,
    OpenAIGPTLMHeadModel,
    Phi3Config,
    Phi3ForCausalLM,
)

from midb_ray.engines import kv_cache
from midb_ray.engines.base import Request
from midb_ray.engines.decoding import Sampling, decode

SIZE = {"vocab_size": 200, "hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4}


@pytest.fixture(scope="module")
def llama() -> LlamaForCausalLM:
    torch.manual_seed(0)
    return LlamaForCausalLM(LlamaConfig(num_key_value_heads=2, **SIZE)).eval()


def test_keys_and_values_are_the_librarys_and_stay_where_they_are(llama: LlamaForCausalLM) -> None:
    ours, theirs = kv_cache.make(llama, 9), DynamicCache(config=llama.config)
    assert ours is not None
    ids = torch.arange(24).reshape(3, 8)
    places = set()
    with torch.inference_mode():
        for begin, end in ((0, 5), (5, 6), (6, 7), (7, 8)):
            for cache in (ours, theirs):
                llama(ids[:, begin:end], past_key_values=cache)
            places.add(ours.layers[0].keys.data_ptr())
            for mine, other in zip(ours.layers, theirs.layers, strict=True):
                assert torch.equal(mine.keys, other.keys)
                assert torch.equal(mine.values, other.values)
    assert len(places) == 1
    assert ours.get_seq_length() == 8


def test_more_tokens_than_were_foreseen_find_room(llama: LlamaForCausalLM) -> None:
    layer = kv_cache.RoomyLayer(4)
    parts = [torch.randn(2, 2, 3, 4) for _ in range(3)]
    for part in parts:
        keys, values = layer.update(part, -part)
    assert torch.equal(keys, torch.cat(parts, 2))
    assert torch.equal(values, -torch.cat(parts, 2))


def test_rows_that_are_taken_out_leave_the_others_as_they_were(llama: LlamaForCausalLM) -> None:
    layer = kv_cache.RoomyLayer(6)
    first, second = torch.randn(3, 2, 3, 4), torch.randn(2, 2, 1, 4)
    layer.update(first, -first)
    layer.batch_select_indices(torch.tensor([0, 2]))
    keys, values = layer.update(second, -second)
    assert torch.equal(keys, torch.cat([first[[0, 2]], second], 2))
    assert torch.equal(values, -keys)


@pytest.mark.parametrize("temperature", [0.0, 1.0])
def test_rows_of_any_length_are_answered_as_each_alone_would_be(llama: LlamaForCausalLM, temperature: float) -> None:
    torch.manual_seed(1)
    requests = [Request(None, torch.randint(2, 200, (5 + 3 * n,)).tolist(), 2 + 5 * n) for n in range(9)]

    def answers(asked: list[Request]) -> list[tuple[list[int], str]]:
        return decode(llama, asked, {1}, Sampling(temperature, 1.0, 0), lambda: False)

    together = answers(requests)
    assert together == [answers([request])[0] for request in requests]
    assert {finish for _, finish in together} <= {"stop", "length"}
    assert [len(new) for new, finish in together if finish == "length"] == [
        request.limit for request, (_, finish) in zip(requests, together, strict=True) if finish == "length"
    ]


def test_the_batch_shrinks_as_rows_end(llama: LlamaForCausalLM, monkeypatch: pytest.MonkeyPatch) -> None:
    sizes = []
    forward = llama.forward

    @functools.wraps(forward)
    def counting(input_ids=None, **arguments):
        sizes.append(len(input_ids))
        return forward(input_ids=input_ids, **arguments)

    monkeypatch.setattr(llama, "forward", counting)
    requests = [Request(None, [5, 6, 7 + n], limit) for n, limit in enumerate((2, 2, 2, 2, 20, 20, 40, 60))]
    found = decode(llama, requests, {1}, Sampling(0.0, 1.0, 0), lambda: False)
    assert sizes[0] == 8
    assert sum(sizes) <= 8 * 2 + 4 * 18 + 2 * 20 + 20 + 8  # and not 8 x 60
    assert [len(new) for new, _ in found] == [request.limit for request in requests]


def test_models_with_windows_or_with_other_states_answer_as_the_library_does() -> None:
    torch.manual_seed(0)
    sliding = MistralForCausalLM(MistralConfig(num_key_value_heads=2, sliding_window=6, **SIZE)).eval()
    state = MambaForCausalLM(MambaConfig(vocab_size=200, hidden_size=16, state_size=4, num_hidden_layers=2)).eval()
    both = FalconH1ForCausalLM(
        FalconH1Config(num_key_value_heads=2, mamba_d_ssm=32, mamba_n_heads=4, mamba_d_head=8, mamba_d_state=8, **SIZE)
    ).eval()
    none = OpenAIGPTLMHeadModel(OpenAIGPTConfig(vocab_size=200, n_embd=16, n_layer=1, n_head=2, n_positions=64)).eval()
    own = Phi3ForCausalLM(  # it drops the cache it was given beyond these positions
        Phi3Config(num_key_value_heads=2, original_max_position_embeddings=12, pad_token_id=0, **SIZE)
    ).eval()
    assert [kv_cache.make(model, 9) is None for model in (state, both, none, sliding, own)] == [True] * 3 + [False] * 2
    requests = [Request(None, [5, 6, 7 + n], 4 + 6 * n) for n in range(5)]
    for model in (sliding, state, both, none, own):
        together = decode(model, requests, {1}, Sampling(0.0, 1.0, 0), lambda: False)
        for request, (new, _) in zip(requests, together, strict=True):
            ids = torch.tensor([request.ids])
            alone = model.generate(ids, max_new_tokens=request.limit, do_sample=False, eos_token_id=1, pad_token_id=1)
            expected = alone[0, len(request.ids or ()) :].tolist()
            assert new == (expected[: expected.index(1)] if 1 in expected else expected)
