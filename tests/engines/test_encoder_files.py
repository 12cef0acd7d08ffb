"""An encoder that could not be used is refused before anything is started, and a changed one is another encoder."""

from __future__ import annotations

import json
import math
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import BertConfig, BertModel

from midb_ray.engines import encoder, encoder_files
from midb_ray.engines.base import Comparison
from midb_ray.errors import UserError
from tests.engines.encoders import close, compare, sizes, write, write_modules


def test_the_facts_of_a_whole_encoder(own_encoder: Path) -> None:
    weights = [own_encoder / "model.safetensors", own_encoder / "2_Dense/model.safetensors"]
    assert encoder_files.check(str(own_encoder)) == (sum(path.stat().st_size for path in weights), None)
    with pytest.raises(UserError, match="is a directory; only hub ids have revisions"):
        encoder_files.check(str(own_encoder), "main")


def _changed(name: str, value: Any) -> Callable[[Path], object]:
    return lambda folder: write(folder / name, value)


def _without(name: str) -> Callable[[Path], object]:
    return lambda folder: (folder / name).unlink()


def _pickled(name: str) -> Callable[[Path], object]:
    return lambda folder: (folder / name).rename((folder / name).parent / "pytorch_model.bin")


def _cut_off(folder: Path) -> None:
    weights = folder / "2_Dense/model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1])


def _more_than_a_matrix(folder: Path) -> None:
    save_file({"linear.weight": torch.zeros(8, 32), "gate": torch.zeros(8)}, folder / "2_Dense/model.safetensors")


def _kinds(*kinds: str) -> Callable[[Path], object]:
    return lambda folder: write_modules(folder, *kinds)


def _elsewhere(folder: Path) -> None:
    modules = json.loads((folder / "modules.json").read_text())
    write(folder / "modules.json", [*modules[:2], {**modules[2], "path": "../2_Dense"}])


def _foreign_kernel(folder: Path) -> None:
    config = json.loads((folder / "config.json").read_text())
    write(folder / "config.json", {**config, "attn_implementation": "someone/kernel"})


def _few_embeddings(folder: Path) -> None:
    BertModel(BertConfig(**sizes(vocab_size=40))).save_pretrained(folder)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (_changed("adapter_config.json", {"r": 8}), "holds an adapter .* beside its model"),
        (_changed("config.json", {"model_type": "my_own", "auto_map": {"AutoConfig": "code.C"}}), "Cannot use config"),
        (_changed("config.json", []), "expected a JSON object, found list"),
        (_without("config.json"), "has no config.json"),
        (_without("tokenizer.json"), "Cannot load a tokenizer"),
        (_without("model.safetensors"), "has no weights: expected model.safetensors"),
        (_without("1_Pooling/config.json"), "Cannot read .*1_Pooling/config.json"),
        (_without("2_Dense/model.safetensors"), "2_Dense has no weights: expected model.safetensors"),
        (_pickled("model.safetensors"), "only as pytorch_model.bin, a format that can run code"),
        (_pickled("2_Dense/model.safetensors"), "2_Dense has its weights only as pytorch_model.bin, a format that can"),
        (_cut_off, "2_Dense/model.safetensors .* was cut off, copy the model again"),
        (_more_than_a_matrix, "2_Dense/model.safetensors holds gate, linear.weight; expected linear.weight"),
        (_changed("2_Dense/config.json", {"activation_function": "os.system"}), "has the activation 'system'"),
        (_changed("2_Dense/config.json", {"use_residual": True}), "is more than a matrix"),
        (_changed("modules.json", {}), "is no list of modules with a type and a path"),
        (_changed("modules.json", [{"path": ""}]), "is no list of modules with a type and a path"),
        (_kinds("models.Transformer", "models.Pooling", "models.LSTM"), "has a module 'LSTM'"),
        (_kinds("models.CLIPModel"), "has a module 'CLIPModel'"),
        (
            _kinds("models.Transformer", "models.Dense", "models.Pooling"),
            "expected one Transformer and then one Pooling",
        ),
        (_elsewhere, "has a module in '../2_Dense'"),
        (_changed("1_Pooling/config.json", {"pooling_mode": ["mean", "max"]}), "pools by mean, max; expected one of"),
        (_changed("1_Pooling/config.json", {"pooling_mode_max_tokens": True}), "pools by max; expected one of"),
        (_changed("config_sentence_transformers.json", {"default_prompt_name": "q"}), "no prompt of that name"),
        (_changed("sentence_bert_config.json", {"max_seq_length": "long"}), "'long' as its max_seq_length"),
        (_changed("sentence_bert_config.json", {"transformer_task": "fill-mask"}), "has a module 'fill-mask'"),
        (_changed("sentence_bert_config.json", {"max_seq_length": True}), "True as its max_seq_length"),
        (_changed("sentence_bert_config.json", {"transformer_task": ["x"]}), "hold values of a kind that they should"),
        (_changed("2_Dense/config.json", {"module_input_name": ["x"]}), "hold values of a kind that they should not"),
        (
            _changed("config_sentence_transformers.json", {"default_prompt_name": ["q"], "prompts": {}}),
            "of a kind that",
        ),
        (_foreign_kernel, "asks for the attention 'someone/kernel', code that is not part of transformers"),
        (_few_embeddings, "has ids up to .* but the model knows only 40 tokens"),
    ],
)
def test_a_damaged_or_unknown_encoder_is_refused_in_one_sentence(
    own_encoder: Path, damage: Callable[[Path], object], message: str
) -> None:
    damage(own_encoder)
    with pytest.raises(UserError, match=message) as caught:
        encoder_files.check(str(own_encoder))
    assert "\n" not in str(caught.value)


def test_weights_that_do_not_fit_are_refused_when_loaded(own_encoder: Path) -> None:
    save_file({"linear.weight": torch.zeros(8, 31)}, own_encoder / "2_Dense/model.safetensors")
    with pytest.raises(UserError, match="gives no embeddings of texts on cpu"):
        encoder.load(str(own_encoder), None, "cpu")
    weights = load_file(own_encoder / "model.safetensors")
    del weights["encoder.layer.1.output.dense.weight"]
    save_file(weights, own_encoder / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(UserError, match=r"lacks 1 of its weights, encoder.layer.1.output.dense.weight"):
        encoder.load(str(own_encoder), None, "cpu")


def test_weights_that_are_no_numbers_are_refused_when_loaded(own_encoder: Path) -> None:
    weights = load_file(own_encoder / "model.safetensors")
    weights["embeddings.LayerNorm.weight"][:] = math.nan
    save_file(weights, own_encoder / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(UserError, match="gives no finite embedding of a text on cpu"):
        encoder.load(str(own_encoder), None, "cpu")


def test_half_a_character_in_a_prompt_is_no_end(own_encoder: Path) -> None:
    prompted = {"default_prompt_name": "q", "prompts": {"q": "query \ud800 "}}
    write(own_encoder / "config_sentence_transformers.json", prompted)
    (found,) = encoder.load(str(own_encoder), None, "cpu").similarities([Comparison("a cat", "a cat")])
    assert found.cosine == pytest.approx(1)


def test_a_limit_below_one_token_of_text_is_refused(own_encoder: Path) -> None:
    write(own_encoder / "sentence_bert_config.json", {"max_seq_length": 2})
    with pytest.raises(UserError, match="takes at most 2 tokens, too few for any text"):
        encoder.load(str(own_encoder), None, "cpu")


def _another_matrix(folder: Path) -> None:
    weights = load_file(folder / "2_Dense/model.safetensors")
    save_file({**weights, "linear.bias": weights["linear.bias"] + 1}, folder / "2_Dense/model.safetensors")


@pytest.mark.parametrize(
    ("change", "name"),
    [
        (_another_matrix, "2_Dense/model.safetensors"),
        (_changed("1_Pooling/config.json", {"pooling_mode": "mean"}), "1_Pooling/config.json"),
        (_changed("2_Dense/config.json", {"activation_function": "Identity"}), "2_Dense/config.json"),
        (_changed("sentence_bert_config.json", {"max_seq_length": 9}), "sentence_bert_config.json"),
        (_changed("config_sentence_transformers.json", {"truncate_dim": 4}), "config_sentence_transformers.json"),
        (_changed("README.md", "note"), None),
    ],
)
def test_what_changes_an_embedding_makes_another_encoder(
    own_encoder: Path, change: Callable[[Path], object], name: str | None
) -> None:
    before = encoder_files.identity(str(own_encoder))["files"]
    assert {"modules.json", "model.safetensors", "tokenizer.json"} <= set(before)
    change(own_encoder)
    after = encoder_files.identity(str(own_encoder))["files"]
    assert [file for file in after if after[file] != before.get(file)] == ([] if name is None else [name])


def test_a_hub_id_is_the_same_encoder_also_from_the_cache_alone(
    own_encoder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The cache of a hub as its library lays it out, and no network."""
    commit = "0123456789abcdef0123456789abcdef01234567"
    repository = tmp_path / "hub" / "models--someone--encoder"
    shutil.copytree(own_encoder, repository / "snapshots" / commit)
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text(commit)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    row = Comparison("the cat", "a dog")
    assert encoder_files.check("someone/encoder") == (0, commit)
    assert encoder_files.identity("someone/encoder") == {"hub": "someone/encoder", "commit": commit}
    (found,) = encoder.load("someone/encoder", commit, "cpu").similarities([row])
    assert [found.cosine] == close(compare(own_encoder, [row]))
    (repository / "snapshots" / commit / "2_Dense/model.safetensors").unlink()
    with pytest.raises(UserError, match="2_Dense has no weights"):
        encoder_files.check("someone/encoder")
    with pytest.raises(UserError, match="someone/else is no directory here and cannot be had from the hub"):
        encoder_files.check("someone/else")
