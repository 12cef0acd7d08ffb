"""DeepSpeed: two processes train as one plain one does, at every ZeRO stage, whatever they go on from; its configuration says what
ours does."""

from __future__ import annotations

import itertools
import json
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM

from midb_ray.engines import models
from midb_ray.errors import UserError
from midb_ray.training import lora, zero
from tests.training.grid import ELASTIC, KEPT, METHODS, OTHER, RESUMED, STAGES, STEPS, schedule_of, settings

pytestmark = pytest.mark.usefixtures("one_thread")

Grid = dict[str, dict[str, Any]]
Train = Callable[[str], Any]
BOUND = 1e-4  # relative; a thousandth was promised

everywhere = pytest.mark.parametrize(("method", "stage"), list(itertools.product(METHODS, STAGES)))
elastic = pytest.mark.parametrize(("method", "stage"), list(itertools.product(METHODS, ELASTIC)))


@everywhere
def test_two_processes_train_as_plain_pytorch_does(grid: Grid, reference: Train, method: str, stage: int) -> None:
    found, expected = grid["pair-0"][f"{method}-{stage}"], reference(method)
    assert len(found["losses"]) == STEPS
    assert found["losses"] == pytest.approx(expected.losses, rel=BOUND)
    assert found["norms"] == pytest.approx(expected.norms, rel=10 * BOUND)
    assert found["validation"] == pytest.approx(expected.validation, rel=BOUND)
    assert np.mean(found["losses"][-10:]) < np.mean(found["losses"][:10]) - 0.1


def test_all_processes_tell_the_same_of_a_step(grid: Grid, examples: Any) -> None:
    for name, found in grid["pair-0"].items():
        other = grid["pair-1"][name]
        for what in ("losses", "norms", "examples", "tokens", "asked", "validation"):
            assert found[what] == pytest.approx(other[what], rel=1e-6), (name, what)
    schedule = schedule_of(examples, settings())
    whole = grid["pair-0"]["full-3"]
    assert whole["examples"] == [6] * 29 + [1]
    assert whole["tokens"] == [int(examples.lengths[schedule.indices(step)].sum()) for step in range(STEPS)]


def test_what_one_asks_all_are_asked_in_that_step_alone(grid: Grid) -> None:
    for rank in (0, 1):  # the second one asks in the second step
        assert grid[f"pair-{rank}"]["full-3"]["asked"] == [False, True] + [False] * (STEPS - 2)


@elastic
def test_two_go_on_from_a_checkpoint_of_another_stage(grid: Grid, reference: Train, method: str, stage: int) -> None:
    assert OTHER[stage] != stage
    found = grid["pair-0"][f"pair-{method}-{stage}-on"]
    assert found["losses"] == pytest.approx(reference(method).losses[KEPT:RESUMED], rel=BOUND)
    assert found["norms"] == pytest.approx(reference(method).norms[KEPT:RESUMED], rel=10 * BOUND)


@elastic
def test_one_goes_on_from_the_checkpoint_of_two(grid: Grid, reference: Train, method: str, stage: int) -> None:
    found = grid["alone-0"][f"alone-{method}-{stage}"]
    assert found["losses"] == pytest.approx(reference(method).losses[KEPT:RESUMED], rel=BOUND)


@elastic
def test_two_go_on_from_the_checkpoint_of_one(grid: Grid, reference: Train, method: str, stage: int) -> None:
    found, expected = grid["pair-0"][f"alone-{method}-{stage}-on"], reference(method)
    assert found["losses"] == pytest.approx(expected.losses[RESUMED:], rel=BOUND)
    assert found["validation"] == pytest.approx(expected.validation, rel=BOUND)


@everywhere
def test_fragments_cover_what_is_trained_exactly_once(
    grid: Grid, begin: Callable[..., Any], method: str, stage: int
) -> None:
    pieces = defaultdict(list)
    for rank in (0, 1):
        for name, start, count in grid[f"pair-{rank}"][f"{method}-{stage}"]["fragments"]:
            pieces[name].append((start, start + count))
    trained = {
        name: each.numel() for name, each in begin(settings(method=method)).named_parameters() if each.requires_grad
    }
    assert set(pieces) == set(trained)
    for name, count in trained.items():
        limits = sorted(pieces[name])
        assert limits[0][0] == 0
        assert limits[-1][1] == count
        assert all(before[1] == after[0] for before, after in itertools.pairwise(limits)), name


@pytest.mark.parametrize("method", METHODS)
def test_gathered_weights_are_the_same_at_every_stage(grid: Grid, place: Path, method: str) -> None:
    gathered = [load_file(place / f"{method}-{stage}.safetensors") for stage in STAGES]
    for other in gathered[1:]:
        torch.testing.assert_close(gathered[0], other, rtol=1e-4, atol=1e-5)


@everywhere
def test_the_booster_of_every_stage_says_what_plain_pytorch_trained(
    grid: Grid, place: Path, held_out: Any, reference: Train, method: str, stage: int
) -> None:
    exported = place / "exported" / f"{method}-{stage}"
    assert 0 <= grid["pair-0"][f"{method}-{stage}"]["difference"] < 1e-5
    assert grid["pair-1"][f"{method}-{stage}"]["difference"] is None
    models.check(str(exported / "booster"))
    ids = torch.from_numpy(held_out.ids(3).astype(np.int64))[None]
    plain = AutoModelForCausalLM.from_pretrained(place / "start", dtype=torch.float32)
    with torch.no_grad():
        expected = torch.func.functional_call(plain, reference(method).weights, (ids,)).logits
        booster = AutoModelForCausalLM.from_pretrained(exported / "booster", dtype=torch.float32)
        torch.testing.assert_close(booster(ids).logits, expected, rtol=0, atol=1e-3)
    assert (expected - plain(ids).logits).abs().max() > 0.5  # training changed it by much more
    assert (exported / "adapter").exists() == (method == "lora")
    if method == "lora":
        lora.check(exported / "adapter")


@pytest.mark.parametrize("stage", [1, 2, 3])
def test_bfloat16_computes_nearly_the_same(grid: Grid, reference: Train, stage: int) -> None:
    found = grid["pair-0"][f"bfloat16-{stage}"]["losses"]
    assert found == pytest.approx(reference("full").losses[: len(found)], rel=0.005)
    assert found[-1] < found[0] - 0.4


def test_bfloat16_is_exported_as_bfloat16(grid: Grid, place: Path) -> None:
    assert grid["pair-0"]["bfloat16-3"]["difference"] < 0.02
    weights = load_file(place / "exported" / "bfloat16-3" / "booster" / "model.safetensors")
    assert {each.dtype for each in weights.values()} == {torch.bfloat16}


def test_activations_computed_twice_change_nothing(grid: Grid, reference: Train) -> None:
    found = grid["pair-0"]["checkpointing"]
    assert found["losses"] == pytest.approx(reference("full").losses[: len(found["losses"])], rel=BOUND)


@pytest.mark.parametrize("stage", [1, 2, 3])
def test_the_configuration_says_what_the_settings_say(stage: int) -> None:
    made = zero.config(settings(zero={"stage": stage}, dtype="bfloat16", clip=0.5))
    assert made["zero_optimization"]["stage"] == stage
    assert made["bf16"] == {"enabled": True}
    assert made["data_types"] == {"grad_accum_dtype": "fp32"}
    assert made["gradient_clipping"] == 0.5
    assert made["train_micro_batch_size_per_gpu"] == made["gradient_accumulation_steps"] == 1
    assert "offload_optimizer" not in made["zero_optimization"]
    assert "optimizer" not in made
    assert "scheduler" not in made


def test_offload_is_configured_where_it_is_wanted() -> None:
    both = {"stage": 3, "offload_optimizer": True, "offload_parameters": True}
    made = zero.config(settings(zero=both))["zero_optimization"]
    assert made["offload_optimizer"] == made["offload_param"] == {"device": "cpu", "pin_memory": False}
    made = zero.config(settings(zero=both, gpus_per_worker=1))["zero_optimization"]
    assert made["offload_param"]["pin_memory"] is True


def test_settings_of_the_users_own_win_level_by_level(tmp_path: Path) -> None:
    raw = tmp_path / "raw.json"
    raw.write_text(json.dumps({"zero_optimization": {"reduce_bucket_size": 5}, "communication_data_type": "fp32"}))
    made = zero.config(settings(zero={"stage": 2, "config": str(raw)}), trained=1000)
    assert made["zero_optimization"]["reduce_bucket_size"] == 5
    assert made["zero_optimization"]["stage"] == 2
    assert made["communication_data_type"] == "fp32"


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (None, "Cannot read the DeepSpeed configuration .*raw.json: "),
        ("{", "zero.config: .*raw.json is no JSON"),
        ("[1]", "zero.config: .*raw.json holds list; expected a JSON object"),
        ('{"train_batch_size": 4}', "zero.config: .*raw.json sets train_batch_size, which follows from batch_size"),
        ('{"optimizer": {"type": "Adam"}}', "zero.config: .*raw.json sets optimizer, "),
        ('{"zero_optimization": {"stage": 1}}', "sets zero_optimization.stage; take it out there and set zero.stage"),
    ],
)
def test_a_configuration_that_cannot_be_used_is_one_sentence(tmp_path: Path, content: str | None, told: str) -> None:
    raw = tmp_path / "raw.json"
    if content is not None:
        raw.write_text(content)
    with pytest.raises(UserError, match=told) as refusal:
        zero.config(settings(zero={"stage": 2, "config": str(raw)}))
    assert "\n" not in str(refusal.value)
