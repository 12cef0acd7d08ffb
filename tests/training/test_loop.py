"""The loop in one plain process: the loss falls, the schedule is what it says, a loss that is no number stops it."""

from __future__ import annotations

import pytest
import torch

from midb_ray.errors import UserError
from midb_ray.training import examples, loop, model, zero
from midb_ray.training.examples import Example
from midb_ray.training.settings import FreshModelSettings, TrainSettings

SIZES = FreshModelSettings(vocabulary=300, hidden_size=32, layers=1, heads=2, positions=128)


def settings(**changes: object) -> TrainSettings:
    given = {
        "revisions": ["r"],
        "output": "o",
        "batch_size": 4,
        "learning_rate": 0.01,
        "dtype": "float32",
        "log_steps": 10,
    }
    return TrainSettings.model_validate({**given, **changes})


def start() -> tuple[list[Example], torch.nn.Module]:
    tokenizer = model.fresh_tokenizer(["abc def ghi " * 20], SIZES)
    made = [Example([3 + (number + place) % 40 for place in range(12)], 5) for number in range(8)]
    return made, model.fresh_model(tokenizer, SIZES, seed=1)


def test_the_loss_falls_and_reports_tell_where_it_stands() -> None:
    made, fresh = start()
    told: list[loop.Report] = []
    batches = examples.batches(made, 4, 0, 60)
    losses = loop.run_loop(loop.PlainStepper(fresh, settings()), batches, 60, settings(), told.append)
    assert len(losses) == 60
    assert losses[0] > 4
    assert losses[-1] < losses[0] / 4
    assert [report.step for report in told] == [10, 20, 30, 40, 50, 60]


def test_the_loss_is_per_answer_token_and_the_prompt_has_none() -> None:
    made, fresh = start()
    (batch,) = examples.batches(made[:4], 4, 0, 1)
    stepper = loop.PlainStepper(fresh, settings())
    whole = fresh(input_ids=batch.ids).logits[:, :-1].log_softmax(-1)
    picked = whole.gather(2, batch.ids[:, 1:, None])[:, 4:, 0]  # answers begin at token 5
    assert float(loop.loss_sum(stepper, batch)) == pytest.approx(float(-picked.sum()), rel=1e-5)
    assert batch.answer_tokens == 4 * 7


def test_a_loss_that_is_no_number_stops_with_one_sentence() -> None:
    made, fresh = start()
    with torch.no_grad():
        next(fresh.parameters()).fill_(float("nan"))
    batches = examples.batches(made, 4, 0, 5)
    with pytest.raises(UserError, match="The loss is nan at step 1 of 5"):
        loop.run_loop(loop.PlainStepper(fresh, settings()), batches, 5, settings(), lambda _: None)


def test_the_learning_rate_rises_then_follows_the_schedule() -> None:
    rates = [loop.rate(step, 100, settings(warmup=0.1)) for step in range(1, 101)]
    assert rates[0] == pytest.approx(0.001)
    assert max(rates) == rates[9] == pytest.approx(0.01)
    assert rates[-1] == pytest.approx(0.001)
    assert loop.rate(100, 100, settings(schedule="constant")) == 0.01
    assert loop.rate(55, 100, settings(schedule="linear")) == pytest.approx(0.001 + 0.009 * 0.5)


@pytest.mark.parametrize("stage", [0, 1, 2, 3])
def test_deepspeeds_configuration_says_what_the_settings_say(stage: int) -> None:
    made = zero.config(settings(zero_stage=stage, workers=2, batch_size=6, dtype="bfloat16", clip=0.5))
    assert made["zero_optimization"]["stage"] == stage
    assert made["train_micro_batch_size_per_gpu"] == 3
    assert made["bf16"]["enabled"] is True
    assert made["gradient_clipping"] == 0.5
    assert made["optimizer"]["params"]["torch_adam"] is True
