"""Adapters: what they change, how they are merged, and that an empty or broken one is never taken for trained."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import PeftModel
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM

from midb_ray.errors import UserError
from midb_ray.training import lora
from midb_ray.training.settings import LoraSettings
from tests.training.conftest import small_llama
from tests.training.test_attention import gpt2

pytestmark = pytest.mark.usefixtures("one_thread")

IDS = torch.arange(2, 40)[None]


def adapted(base: Any = None, spread: float = 0.3, **changes: Any) -> Any:
    """A model with adapters that change something, as after training."""
    torch.manual_seed(5)
    chosen = LoraSettings.model_validate({"rank": 4, "alpha": 6, **changes})
    model = lora.apply(small_llama() if base is None else base, chosen).eval()
    with torch.no_grad():
        for name, each in model.named_parameters():
            if "lora_B" in name:
                each.normal_(std=spread)
    return model


def logits(model: Any) -> torch.Tensor:
    with torch.no_grad():
        return model(input_ids=IDS, use_cache=False).logits


def weights(model: Any) -> dict[str, torch.Tensor]:
    return {name: each.detach().clone() for name, each in model.named_parameters()}


def trained(model: Any) -> dict[str, torch.Tensor]:
    return {name: each.detach().clone() for name, each in model.named_parameters() if each.requires_grad}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A whole adapter, and the model that it belongs to beside it."""
    model = adapted()
    small_llama().save_pretrained(tmp_path / "base")
    lora.write(tmp_path / "adapter", model, trained(model), str(tmp_path / "base"), None)
    return tmp_path / "adapter"


def changed(folder: Path, ending: str, value: torch.Tensor | None) -> str:
    """Give the first matrix of an ending another value, or take it away; the name of its layer."""
    found = load_file(folder / lora.WEIGHTS)
    name = next(name for name in sorted(found) if name.endswith(ending))
    if value is None:
        del found[name]
    else:
        found[name] = value
    save_file(found, folder / lora.WEIGHTS)
    return name.removesuffix(ending)


def test_fresh_adapters_change_nothing_and_alone_are_trained() -> None:
    plain = small_llama().eval()
    before = logits(plain)
    model = lora.apply(plain, LoraSettings(rank=4)).eval()
    assert torch.equal(logits(model), before)
    names = {name.rpartition(".lora_")[2][0] for name in trained(model)}
    assert names == {"A", "B"}
    # 7 linear layers in each of 2: rank x (inputs + outputs); hidden 32, keys and values 16, inner 64
    assert sum(each.numel() for each in trained(model).values()) == 2 * 4 * (2 * 64 + 2 * 48 + 3 * 96)


def test_all_linear_leaves_the_output_layer_alone() -> None:
    for tied in (False, True):
        model = lora.apply(small_llama(tie_word_embeddings=tied), LoraSettings(rank=2))
        assert len(lora.adapters(model)) == 14
        assert not any("lm_head" in name for name in lora.adapters(model))


def test_targets_by_name() -> None:
    found = lora.adapters(lora.apply(small_llama(), LoraSettings(rank=2, targets=("q_proj", "down_proj"))))
    assert sorted({name.rpartition(".")[2] for name in found}) == ["down_proj", "q_proj"]
    assert len(found) == 4


def test_a_target_that_the_model_lacks_is_one_sentence() -> None:
    with pytest.raises(UserError) as refusal:
        lora.apply(small_llama(), LoraSettings(targets=("q_proj", "c_attn")))
    assert str(refusal.value) == (
        "lora.targets: the model has no linear layer 'c_attn'; it has down_proj, gate_proj, k_proj, lm_head, o_proj, q_proj, "
        "up_proj, v_proj, or say all-linear."
    )


def test_a_layer_that_keeps_its_weight_transposed_can_be_a_target() -> None:
    assert len(lora.adapters(lora.apply(gpt2(), LoraSettings(rank=2, targets=("c_attn",))))) == 2


def test_the_output_layer_cannot_be_a_target_where_it_is_tied_to_the_embedding() -> None:
    with pytest.raises(UserError, match=r"lora\.targets"):
        lora.apply(small_llama(tie_word_embeddings=True), LoraSettings(targets=("lm_head", "v_proj")))


@pytest.mark.parametrize(("rank", "alpha", "scale"), [(4, 6, 1.5), (64, 32, 0.5), (8, 8, 1)])
def test_adapters_count_alpha_over_rank(rank: int, alpha: float, scale: float) -> None:
    found = lora.adapters(adapted(rank=rank, alpha=alpha))
    assert {each.scale for each in found.values()} == {scale}


BASES = {
    "untied": small_llama,
    "tied": lambda: small_llama(tie_word_embeddings=True),
    "transposed": gpt2,
    "bfloat16": lambda: small_llama().bfloat16(),
}


@pytest.mark.parametrize("name", list(BASES))
def test_merged_weights_are_those_that_peft_merges(name: str) -> None:
    model = adapted(BASES[name]())
    given = weights(model)
    merged = lora.merge(given, lora.adapters(model))
    assert given == {}
    expected = weights(model.merge_and_unload())
    assert {each.dtype for each in merged.values()} == {torch.bfloat16 if name == "bfloat16" else torch.float32}
    if name == "bfloat16":  # peft rounds the change before it is added, ours only the sum
        torch.testing.assert_close(merged, expected, rtol=0.02, atol=0.02)
    else:
        torch.testing.assert_close(merged, expected, rtol=1e-5, atol=1e-6)
    assert sum((merged[each] - weights(BASES[name]())[each]).abs().max() > 0.1 for each in merged) >= 8


def test_an_adapter_loads_with_peft_and_says_what_was_trained(folder: Path) -> None:
    base = AutoModelForCausalLM.from_pretrained(folder.parent / "base")
    plain = logits(base)
    found = logits(PeftModel.from_pretrained(base, folder).eval())
    torch.testing.assert_close(found, logits(adapted()), rtol=0, atol=1e-5)
    assert (found - plain).abs().max() > 1
    lora.check(folder)


def test_an_adapter_names_its_base_and_the_revision(tmp_path: Path) -> None:
    model = adapted()
    lora.write(tmp_path, model, trained(model), "somebody/base", "abc123")
    config = json.loads((tmp_path / lora.CONFIG).read_text())
    assert (config["base_model_name_or_path"], config["revision"]) == ("somebody/base", "abc123")
    assert (config["r"], config["lora_alpha"], config["inference_mode"]) == (4, 6, True)
    assert model.peft_config["default"].base_model_name_or_path != "somebody/base"  # the running model is as it was


@pytest.mark.parametrize("ending", [".lora_A.weight", ".lora_B.weight"])
def test_an_adapter_without_effect_is_refused(folder: Path, ending: str) -> None:
    shape = (4, 32) if "A" in ending else (64, 4)
    layer = changed(folder, ending, torch.zeros(shape))
    with pytest.raises(UserError, match=rf"is empty: {layer} changes nothing, so nothing was trained there\.$"):
        lora.check(folder)


def test_an_adapter_that_was_never_trained_is_refused(tmp_path: Path) -> None:
    model = lora.apply(small_llama(), LoraSettings(rank=4))
    lora.write(tmp_path, model, trained(model), "base", None)
    with pytest.raises(UserError, match="is empty"):
        lora.check(tmp_path)


@pytest.mark.parametrize("shape", [(0,), (0, 4), (64, 3), (64,), (4, 64)])
def test_a_matrix_that_zero_3_did_not_gather_or_of_another_rank_is_refused(
    folder: Path, shape: tuple[int, ...]
) -> None:
    layer = changed(folder, ".lora_B.weight", torch.ones(shape))
    with pytest.raises(UserError, match=rf"{layer} has shapes .* and its rank is 4\.$|is empty"):
        lora.check(folder)


@pytest.mark.parametrize("ending", [".lora_A.weight", ".lora_B.weight"])
def test_half_an_adapter_is_refused(folder: Path, ending: str) -> None:
    changed(folder, ending, None)
    with pytest.raises(UserError, match=r"is not whole: it has 1[34] first and 1[34] second matrices\.$"):
        lora.check(folder)


def test_values_that_are_no_numbers_are_refused(folder: Path) -> None:
    layer = changed(folder, ".lora_B.weight", torch.full((64, 4), float("nan")))
    with pytest.raises(UserError, match=rf"{layer} has values that are no numbers"):
        lora.check(folder)


@pytest.mark.parametrize("left", [0, 100, -1])
def test_a_file_that_was_cut_off_is_refused(folder: Path, left: int) -> None:
    path = folder / lora.WEIGHTS
    path.write_bytes(path.read_bytes()[:left])
    with pytest.raises(UserError, match=r"is damaged: .*; export it again\.$"):
        lora.check(folder)


@pytest.mark.parametrize("content", [None, "{", "{}", '{"r": "many"}'])
def test_a_configuration_that_cannot_be_read_is_refused(folder: Path, content: str | None) -> None:
    path = folder / lora.CONFIG
    path.unlink()
    if content is not None:
        path.write_text(content)
    with pytest.raises(UserError, match="is damaged"):
        lora.check(folder)


def test_an_adapter_of_nothing_is_refused(folder: Path) -> None:
    save_file({}, folder / lora.WEIGHTS)
    with pytest.raises(UserError, match="it has 0 first and 0 second matrices"):
        lora.check(folder)
