"""The exported booster is what was trained, or there is none."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from peft import PeftModel
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM, AutoTokenizer

from midb_ray.engines import models
from midb_ray.errors import UserError
from midb_ray.runs import storage
from midb_ray.training import export, loop, lora
from midb_ray.training.examples import Examples
from midb_ray.training.steppers import PlainStepper
from tests.training.conftest import save_start, small_llama, write_examples
from tests.training.grid import METHODS, schedule_of, settings

pytestmark = pytest.mark.usefixtures("one_thread")

Begin = Callable[..., Any]
ALL = {"rank": 4, "alpha": 8}


class Trained:
    """A model after some steps, and what it says."""

    def __init__(self, begin: Begin, examples: Any, start: Path, steps: int = 4, kind: Any = None, **changes: Any):
        self.settings = settings(**{"lora": ALL, "learning_rate": 0.02, **changes})
        self.start, self.examples = start, examples
        self.stepper = (kind or PlainStepper)(begin(self.settings, start), self.settings)
        schedule = schedule_of(examples, self.settings)
        for step in range(steps):
            loop.run_step(self.stepper, examples, schedule, step, self.settings)

    def export(self, run: Path | str) -> float | None:
        return export.export(str(run), self.stepper, self.examples, self.settings, str(self.start), None, "# A card\n")

    def logits(self) -> torch.Tensor:
        return logits(self.stepper.module, self.examples, self.stepper.compute())


def logits(model: Any, examples: Any, context: Any = None) -> torch.Tensor:
    """Of the third example."""
    ids = torch.from_numpy(examples.ids(2).astype(np.int64))[None]
    bounds = torch.tensor([0, ids.shape[1]], dtype=torch.int32)
    packed = {"cu_seq_lens_q": bounds, "max_length_q": ids.shape[1], "position_ids": torch.arange(ids.shape[1])[None]}
    model.eval()
    with torch.no_grad(), context or torch.no_grad():
        return model(input_ids=ids, use_cache=False, **(packed if context else {})).logits


@pytest.fixture
def starts(tmp_path: Path) -> Callable[[bool], Path]:
    def make(tied: bool) -> Path:
        return save_start(tmp_path / "start", small_llama(tie_word_embeddings=tied))

    return make


@pytest.mark.parametrize("tied", [False, True])
@pytest.mark.parametrize("method", METHODS)
def test_the_reloaded_booster_says_what_the_trained_model_says(
    begin: Begin, examples: Any, starts: Callable[[bool], Path], tmp_path: Path, method: str, tied: bool
) -> None:
    start = starts(tied)
    trained = Trained(begin, examples, start, method=method)
    difference = trained.export(tmp_path / "run")
    assert difference is not None
    assert difference < 1e-5
    booster = AutoModelForCausalLM.from_pretrained(tmp_path / "run" / "booster")
    torch.testing.assert_close(logits(booster, examples), trained.logits(), rtol=0, atol=1e-4)
    untrained = AutoModelForCausalLM.from_pretrained(start)
    assert (logits(booster, examples) - logits(untrained, examples)).abs().max() > 0.2
    names = load_file(tmp_path / "run" / "booster" / "model.safetensors")
    assert ("lm_head.weight" in names) == (not tied)
    assert not any("lora" in name or "base" in name for name in names)


def test_a_booster_is_a_plain_model_directory(begin: Begin, examples: Any, place: Path, tmp_path: Path) -> None:
    Trained(begin, examples, place / "start").export(tmp_path)
    booster = tmp_path / "booster"
    facts = models.check(str(booster))
    assert (facts.context, facts.vocabulary) == (128, 300)
    assert (booster / "README.md").read_text() == "# A card\n"
    generation = json.loads((booster / "generation_config.json").read_text())
    assert (generation["eos_token_id"], generation["pad_token_id"]) == (0, 1)
    assert not generation.get("do_sample")
    tokenizers = [AutoTokenizer.from_pretrained(folder) for folder in (booster, place / "start")]
    assert tokenizers[0].encode("abc <|end|> äß") == tokenizers[1].encode("abc <|end|> äß")
    config, before = (json.loads((folder / "config.json").read_text()) for folder in (booster, place / "start"))
    assert {**config, "dtype": None, "transformers_version": None} == {
        **before,
        "dtype": None,
        "transformers_version": None,
    }
    assert [path.name for path in tmp_path.iterdir()] == ["booster"]


def test_the_adapter_alone_gives_the_trained_model_too(
    begin: Begin, examples: Any, place: Path, tmp_path: Path
) -> None:
    trained = Trained(begin, examples, place / "start", method="lora")
    trained.export(tmp_path)
    base = AutoModelForCausalLM.from_pretrained(place / "start")
    found = PeftModel.from_pretrained(base, tmp_path / "adapter")
    torch.testing.assert_close(logits(found, examples), trained.logits(), rtol=0, atol=1e-4)
    assert json.loads((tmp_path / "adapter" / lora.CONFIG).read_text())["base_model_name_or_path"] == str(
        place / "start"
    )


def test_an_adapted_output_layer_is_merged_too(begin: Begin, examples: Any, place: Path, tmp_path: Path) -> None:
    low = {**ALL, "targets": ["lm_head", "v_proj"]}
    trained = Trained(begin, examples, place / "start", method="lora", lora=low)
    trained.export(tmp_path / "run")
    booster = AutoModelForCausalLM.from_pretrained(tmp_path / "run" / "booster")
    torch.testing.assert_close(logits(booster, examples), trained.logits(), rtol=0, atol=1e-4)


@pytest.mark.parametrize("method", METHODS)
def test_bfloat16_boosters_are_nearly_what_was_trained(
    begin: Begin, examples: Any, place: Path, tmp_path: Path, method: str
) -> None:
    trained = Trained(begin, examples, place / "start", method=method, dtype="bfloat16", zero={"stage": 1})
    difference = trained.export(tmp_path)
    assert difference is not None
    assert 0 < difference < 0.03
    assert {each.dtype for each in load_file(tmp_path / "booster" / "model.safetensors").values()} == {torch.bfloat16}
    assert json.loads((tmp_path / "booster" / "config.json").read_text())["dtype"] == "bfloat16"
    booster = AutoModelForCausalLM.from_pretrained(tmp_path / "booster")
    assert (logits(booster, examples).float() - trained.logits().float()).abs().mean() < 0.05


def test_an_untrained_adapter_is_refused_and_nothing_is_left(
    begin: Begin, examples: Any, place: Path, tmp_path: Path
) -> None:
    trained = Trained(begin, examples, place / "start", steps=0, method="lora")
    with pytest.raises(UserError, match=r"is empty: .* changes nothing, so nothing was trained there"):
        trained.export(tmp_path / "run")
    assert not (tmp_path / "run").exists()


class Forger(PlainStepper):
    """Gives other weights away than it computes with, as a mistake in gathering would."""

    forge: Callable[[dict[str, torch.Tensor]], None]

    def weights(self, trained_only: bool = False) -> dict[str, torch.Tensor]:
        found = super().weights(trained_only)
        if not trained_only:
            self.forge(found)
        return found


def tampered(begin: Begin, examples: Any, place: Path, forge: Any, **changes: Any) -> Trained:
    trained = Trained(begin, examples, place / "start", kind=Forger, **changes)
    trained.stepper.forge = forge
    return trained


def stale(found: dict[str, torch.Tensor]) -> None:
    found["model.layers.1.mlp.down_proj.weight"].zero_()


def no_number(found: dict[str, torch.Tensor]) -> None:
    found["model.norm.weight"][3] = float("nan")


@pytest.mark.parametrize("forge", [stale, no_number])
def test_a_booster_that_is_not_what_was_trained_is_not_kept(
    begin: Begin, examples: Any, place: Path, tmp_path: Path, forge: Any
) -> None:
    Trained(begin, examples, place / "start").export(tmp_path)
    before = (tmp_path / "booster" / "model.safetensors").read_bytes()
    with pytest.raises(
        UserError, match=r"gives other answers than the trained model .*; it is not kept, the checkpoints "
    ):
        tampered(begin, examples, place, forge, steps=5).export(tmp_path)
    assert (tmp_path / "booster" / "model.safetensors").read_bytes() == before


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize("learning_rate", [5e-3, 1e-3])
def test_an_adapter_that_was_lost_in_merging_is_noticed(
    begin: Begin, examples: Any, place: Path, tmp_path: Path, dtype: str, learning_rate: float
) -> None:
    def forget(found: dict[str, torch.Tensor]) -> None:
        for name, each in found.items():
            if "lora_B" in name:
                each.zero_()

    changes = {"method": "lora", "dtype": dtype, "zero": {"stage": 1}, "learning_rate": learning_rate}
    with pytest.raises(UserError, match="Merging has lost what the adapters learnt"):
        tampered(begin, examples, place, forget, **changes).export(tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_weights_that_do_not_fit_are_a_mistake_of_ours(
    begin: Begin, examples: Any, place: Path, tmp_path: Path
) -> None:
    def lose(found: dict[str, torch.Tensor]) -> None:
        del found["lm_head.weight"]

    with pytest.raises(AssertionError, match="lm_head"):
        tampered(begin, examples, place, lose).export(tmp_path)


@pytest.mark.parametrize("damage", ["cut", "changed"])
def test_a_written_file_that_is_damaged_is_refused(
    begin: Begin, examples: Any, place: Path, tmp_path: Path, damage: str
) -> None:
    trained = Trained(begin, examples, place / "start")
    seen = export.probe(trained.stepper, examples)
    target = tmp_path / "booster"
    export.write_model(target, str(place / "start"), None, trained.stepper.weights(), "float32")
    assert export.verify(target, seen, "float32") < 1e-5
    path = target / "model.safetensors"
    if damage == "cut":
        path.write_bytes(path.read_bytes()[:-100])
        with pytest.raises(UserError, match=r"its header promises .*; it was cut off"):
            models.check(str(target))
        with pytest.raises(UserError, match="it was cut off"):
            export.verify(target, seen, "float32")
        return
    weights = load_file(path)
    weights["model.layers.0.self_attn.v_proj.weight"] *= 1.2
    save_file(weights, path, metadata={"format": "pt"})
    with pytest.raises(UserError, match="log-probabilities differ by"):
        export.verify(target, seen, "float32")


def test_a_probe_is_cut_to_its_first_tokens(begin: Begin, place: Path, tmp_path: Path) -> None:
    long = Examples(str(write_examples(tmp_path / "long.arrow", [20, 600, 30], ["de"] * 3)))
    chosen = settings(max_tokens=600, micro_tokens=600)
    stepper = PlainStepper(begin(chosen), chosen)
    seen = export.probe(stepper, long)
    assert seen.batch.ids[0].tolist() == long.ids(1)[:512].tolist()
    assert seen.expected is not None
    model = AutoModelForCausalLM.from_pretrained(place / "start")
    with torch.no_grad():
        said = model(seen.batch.ids).logits[0].log_softmax(-1)
    expected = torch.stack([said[place, token] for place, token in enumerate(seen.batch.ids[0, 1:])])
    torch.testing.assert_close(seen.expected, expected, rtol=0, atol=1e-4)
    assert stepper.module.training


def test_a_booster_takes_the_place_of_an_earlier_one(begin: Begin, examples: Any, place: Path, tmp_path: Path) -> None:
    (tmp_path / "booster").mkdir()
    (tmp_path / "booster" / "model-00001-of-00009.safetensors").write_text("old")
    Trained(begin, examples, place / "start").export(tmp_path)
    assert not (tmp_path / "booster" / "model-00001-of-00009.safetensors").exists()


def test_a_place_that_cannot_be_written_is_one_sentence(begin: Begin, examples: Any, place: Path) -> None:
    with pytest.raises(UserError, match=r"^Cannot write the booster /dev/null/run/booster: .*Not a directory\.$"):
        Trained(begin, examples, place / "start").export("/dev/null/run")


def test_a_booster_goes_to_an_object_store(begin: Begin, examples: Any, place: Path, s3: str, tmp_path: Path) -> None:
    trained = Trained(begin, examples, place / "start", method="lora")
    trained.export(f"{s3}/run")
    for file in storage.list_files(f"{s3}/run", recursive=True):
        target = tmp_path / file.uri.removeprefix(f"{s3}/run/")
        target.parent.mkdir(exist_ok=True)
        target.write_bytes(storage.read_bytes(file.uri))
    booster = AutoModelForCausalLM.from_pretrained(tmp_path / "booster")
    torch.testing.assert_close(logits(booster, examples), trained.logits(), rtol=0, atol=1e-4)
    lora.check(tmp_path / "adapter")
