"""Packed examples are computed as if each were alone: nothing passes between them, forward or backward."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from transformers import Gemma2Config, Gemma2ForCausalLM, GPT2Config, GPT2LMHeadModel, MistralConfig, MistralForCausalLM

from midb_ray.errors import UserError
from midb_ray.training import attention
from tests.training.conftest import SMALL_SIZES, small_llama

pytestmark = pytest.mark.usefixtures("one_thread")

attention.register()
LENGTHS = [13, 1, 40, 7]


def mistral(**changes: Any) -> Any:
    torch.manual_seed(2)
    return MistralForCausalLM(MistralConfig(**{**SMALL_SIZES, "sliding_window": 5, **changes}))


def gpt2(**changes: Any) -> Any:
    torch.manual_seed(2)
    given = {"vocab_size": 300, "n_positions": 128, "n_embd": 32, "n_layer": 2, "n_head": 4, "initializer_range": 0.15}
    return GPT2LMHeadModel(GPT2Config(**{**given, "bos_token_id": 0, "eos_token_id": 0, **changes}))


MODELS = {
    "grouped": small_llama,
    "one-for-all": lambda: small_llama(num_key_value_heads=1),
    "own-keys": lambda: small_llama(num_key_value_heads=4),
    "window": mistral,
    "no-window": lambda: mistral(sliding_window=None),
    "gpt2": gpt2,
}


def rows(lengths: list[int] = LENGTHS) -> list[torch.Tensor]:
    torch.manual_seed(3)
    return [torch.randint(2, 300, (length,)) for length in lengths]


def packed(model: Any, examples: list[torch.Tensor]) -> list[torch.Tensor]:
    """Logits of each example, all of them in one row."""
    model.set_attn_implementation(attention.NAME)
    lengths = [len(each) for each in examples]
    bounds = torch.tensor([0, *lengths]).cumsum(0).int()
    logits = model(
        input_ids=torch.cat(examples)[None],
        position_ids=torch.cat([torch.arange(length) for length in lengths])[None],
        use_cache=False,
        cu_seq_lens_q=bounds,
        cu_seq_lens_k=bounds,
        max_length_q=max(lengths),
        max_length_k=max(lengths),
    ).logits[0]
    return list(logits.split(lengths))


def padded(model: Any, examples: list[torch.Tensor], kind: str) -> list[torch.Tensor]:
    """The same as transformers does it: a row for each, padded at the end, with a mask."""
    model.set_attn_implementation(kind)
    ids = torch.nn.utils.rnn.pad_sequence(examples, batch_first=True)
    mask = torch.nn.utils.rnn.pad_sequence([torch.ones_like(each) for each in examples], batch_first=True)
    logits = model(input_ids=ids, attention_mask=mask, use_cache=False).logits
    return [row[: len(each)] for row, each in zip(logits, examples, strict=True)]


def slopes(model: Any, logits: list[torch.Tensor]) -> list[torch.Tensor]:
    torch.manual_seed(4)
    total = sum((each * torch.randn_like(each)).sum() for each in logits)
    return list(torch.autograd.grad(total, list(model.parameters())))


@pytest.mark.parametrize("kind", ["eager", "sdpa"])
@pytest.mark.parametrize("name", list(MODELS))
def test_packed_logits_and_gradients_are_those_of_a_padded_batch(name: str, kind: str) -> None:
    model = MODELS[name]().eval()
    expected = padded(model, rows(), kind)
    found = packed(model, rows())
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(slopes(model, found), slopes(model, expected), rtol=1e-3, atol=1e-4)


def test_a_window_cuts_what_is_further_away() -> None:
    """The check above would pass too if no example were longer than the window."""
    model = mistral().eval()
    narrow = packed(model, rows())
    model.config.sliding_window = None
    for layer in model.model.layers:
        layer.self_attn.config.sliding_window = None
    wide = packed(model, rows())
    short, long = LENGTHS.index(1), LENGTHS.index(40)
    torch.testing.assert_close(narrow[short], wide[short])
    torch.testing.assert_close(narrow[long][:5], wide[long][:5])
    assert (narrow[long][5:] - wide[long][5:]).abs().max() > 0.01


@pytest.mark.parametrize("name", ["grouped", "window"])
def test_an_example_depends_on_no_other_in_its_row(name: str) -> None:
    model = MODELS[name]().eval()
    before = rows()
    after = [each if place == 2 else (each + 1) % 300 for place, each in enumerate(before)]
    torch.testing.assert_close(packed(model, before)[2], packed(model, after)[2], rtol=0, atol=0)
    assert not torch.allclose(packed(model, before)[3], packed(model, after)[3])


def test_a_token_depends_on_no_later_one() -> None:
    model = small_llama().eval()
    before, after = rows(), rows()
    after[2][30] = (after[2][30] + 1) % 300
    one, other = packed(model, before)[2], packed(model, after)[2]
    torch.testing.assert_close(one[:30], other[:30], rtol=0, atol=0)
    assert (one[30] - other[30]).abs().max() > 0.01


def test_dropout_is_applied_in_training_only_and_follows_the_seed() -> None:
    model = small_llama(attention_dropout=0.5)

    def under(seed: int) -> torch.Tensor:
        shown = rows()
        torch.manual_seed(seed)
        return torch.cat(packed(model, shown))

    model.train()
    torch.testing.assert_close(under(1), under(1), rtol=0, atol=0)
    assert (under(1) - under(2)).abs().max() > 0.01
    model.eval()
    torch.testing.assert_close(under(1), under(2), rtol=0, atol=0)


def test_soft_caps_are_refused_in_one_sentence() -> None:
    torch.manual_seed(0)
    sizes = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 1, "head_dim": 8, "vocab_size": 300}
    model = Gemma2ForCausalLM(Gemma2Config(**sizes, num_attention_heads=4, num_key_value_heads=2))
    with pytest.raises(UserError, match=r"^packing: the attention of this model .* set packing to false\.$"):
        packed(model, rows())


def test_a_call_without_bounds_is_a_mistake_of_ours() -> None:
    model = small_llama()
    model.set_attn_implementation(attention.NAME)
    with pytest.raises(AssertionError, match="cu_seq_lens_q"):
        model(input_ids=rows()[0][None], use_cache=False)


@pytest.mark.parametrize("kind", ["llama", "mistral", "qwen3", "gpt2", "gemma3_text"])
def test_plain_attention_can_be_packed(kind: str) -> None:
    from transformers import AutoConfig

    attention.check(AutoConfig.for_model(kind))


@pytest.mark.parametrize("kind", ["mamba", "rwkv", "recurrent_gemma", "jamba", "falcon", "bloom", "codegen"])
def test_models_in_which_examples_would_see_each_other_are_not_packed(kind: str) -> None:
    from transformers import AutoConfig

    with pytest.raises(UserError, match=f"packing: examples cannot be kept apart in {kind} models"):
        attention.check(AutoConfig.for_model(kind))
