"""The loop in one plain process: packed as unpacked, as plain PyTorch; the schedule; a loss that is no number stops it."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import pytest
import torch

from midb_ray.errors import UserError
from midb_ray.training import loop
from midb_ray.training.steppers import PlainStepper, parameter_groups
from tests.training.conftest import Reference, small_llama
from tests.training.grid import METHODS, STEPS, schedule_of, settings

pytestmark = pytest.mark.usefixtures("one_thread")

Begin = Callable[..., Any]


def run(begin: Begin, examples: Any, steps: int = STEPS, **changes: Any) -> tuple[list[loop.Step], PlainStepper]:
    chosen = settings(**changes)
    stepper = PlainStepper(begin(chosen), chosen)
    schedule = schedule_of(examples, chosen)
    return [loop.run_step(stepper, examples, schedule, step, chosen) for step in range(steps)], stepper


@pytest.mark.parametrize("packing", [True, False])
@pytest.mark.parametrize("method", METHODS)
def test_packed_and_unpacked_training_are_plain_pytorchs(
    begin: Begin, examples: Any, held_out: Any, reference: Callable[[str], Reference], method: str, packing: bool
) -> None:
    steps, stepper = run(begin, examples, method=method, packing=packing)
    expected = reference(method)
    assert [step.loss for step in steps] == pytest.approx(expected.losses, rel=1e-4)
    assert [step.gradient_norm for step in steps] == pytest.approx(expected.norms, rel=1e-3)
    found = loop.validate(stepper, held_out, settings(packing=packing))
    assert found == pytest.approx(expected.validation, rel=1e-4)


@pytest.mark.parametrize("micro_tokens", [64, 10_000])
def test_the_size_of_micro_batches_changes_nothing(
    begin: Begin, examples: Any, reference: Callable[[str], Reference], micro_tokens: int
) -> None:
    steps, _ = run(begin, examples, 10, micro_tokens=micro_tokens)
    assert [step.loss for step in steps] == pytest.approx(reference("full").losses[:10], rel=1e-4)


def test_activations_computed_twice_change_nothing(
    begin: Begin, examples: Any, reference: Callable[[str], Reference]
) -> None:
    steps, _ = run(begin, examples, 5, gradient_checkpointing=True)
    assert [step.loss for step in steps] == pytest.approx(reference("full").losses[:5], rel=1e-5)


def test_a_step_tells_what_it_took(begin: Begin, examples: Any) -> None:
    (first, *_, last), _ = run(begin, examples)
    schedule = schedule_of(examples, settings())
    chosen = schedule.indices(0)
    assert first.examples == 6
    assert first.tokens == sum(len(examples.ids(index)) for index in chosen)
    assert first.answer_tokens == first.tokens - sum(examples.answers[chosen])
    assert first.learning_rate == pytest.approx(1e-2 / 3)
    assert last.examples == 1
    assert 0 < last.learning_rate < 1e-2 / 100


def test_a_batch_in_tokens_takes_the_examples_of_the_schedule(begin: Begin, examples: Any) -> None:
    changes = {"batch_tokens": 150, "epochs": 1}
    schedule = schedule_of(examples, settings(**changes))
    steps, _ = run(begin, examples, schedule.steps, **changes)
    assert [step.examples for step in steps] == [len(schedule.indices(step)) for step in range(schedule.steps)]
    assert all(150 <= step.tokens < 150 + 60 for step in steps[:-1])
    assert sum(step.examples for step in steps) == len(examples)


def test_bfloat16_computes_under_autocast_with_weights_in_float32(
    begin: Begin, examples: Any, reference: Callable[[str], Reference]
) -> None:
    steps, stepper = run(begin, examples, 8, dtype="bfloat16", zero={"stage": 1})
    assert {each.dtype for each in stepper.module.parameters()} == {torch.float32}
    assert {each.dtype for each in stepper.weights().values()} == {torch.bfloat16}
    losses = [step.loss for step in steps]
    assert losses == pytest.approx(reference("full").losses[:8], rel=0.005)
    assert losses != pytest.approx(reference("full").losses[:8], rel=1e-6)


class Wing(PlainStepper):
    """One of two workers whose gradients nobody adds: what it would bring is looked at."""

    workers = 2

    def update(self, learning_rate: float) -> float:
        return 0.0


@pytest.mark.parametrize("packing", [True, False])
def test_a_worker_without_examples_brings_a_gradient_of_zeros(begin: Begin, examples: Any, packing: bool) -> None:
    """Both must call backward as often, or one would wait for ever; the mean of both is the gradient of the whole step."""
    chosen = settings(batch_size=1, packing=packing)
    schedule = schedule_of(examples, chosen)
    gradients = []
    for rank in (0, 1):
        wing = Wing(begin(chosen), chosen)
        wing.rank = rank
        assert [len(part.targets) > 0 for part in loop.share(wing, examples, [5], chosen)] == [rank == 0]
        loop.run_step(wing, examples, schedule, 0, chosen)
        gradients.append([each.grad for each in wing.module.parameters()])
    assert all(each is not None and not each.any() for each in gradients[1])
    whole = PlainStepper(begin(chosen), chosen)
    batch = loop.share(whole, examples, schedule.indices(0).tolist(), chosen)[0]
    (loop.loss_sum(whole, batch) / len(batch.targets)).backward()
    for half, each in zip(gradients[0], whole.module.parameters(), strict=True):
        torch.testing.assert_close(half / 2, each.grad)


@pytest.mark.parametrize("workers", [1, 2, 3, 5])
def test_workers_share_the_examples_of_a_step(begin: Begin, examples: Any, workers: int) -> None:
    chosen = settings(batch_size=11)
    indices = schedule_of(examples, chosen).indices(1).tolist()
    stepper = PlainStepper(begin(chosen), chosen)
    stepper.workers = workers
    shares = []
    for stepper.rank in range(workers):
        shares.append(loop.share(stepper, examples, indices, chosen))
    assert len({len(share) for share in shares}) == 1
    found = []
    for part in itertools.chain(*shares):
        assert part.ids.shape[1] <= chosen.micro_tokens
        if len(part.targets):
            found += [tuple(row.tolist()) for row in part.ids[0].split(part.bounds.diff().tolist())]
    assert sorted(found) == sorted(tuple(examples.ids(index).tolist()) for index in indices)


def test_dropout_follows_the_seed_the_step_and_the_worker(begin: Begin, examples: Any) -> None:
    lora = {"rank": 4, "alpha": 8, "dropout": 0.5}
    chosen = settings(method="lora", lora=lora)
    schedule = schedule_of(examples, chosen)
    runs: list[list[loop.Step]] = []
    for other in (1, 2):
        stepper = PlainStepper(begin(chosen), chosen)
        runs.append([])
        for step in range(4):
            torch.manual_seed(other)  # whatever was drawn before, as in a process that goes on
            runs[-1].append(loop.run_step(stepper, examples, schedule, step, chosen))
    assert runs[0] == runs[1]
    without = run(begin, examples, 4, method="lora", lora={**lora, "dropout": 0.0})[0]
    assert runs[0][0].loss == pytest.approx(without[0].loss)  # fresh adapters change nothing, dropout or not
    assert abs(runs[0][3].loss - without[3].loss) > 1e-4
    drawn = []
    for number, step, rank in itertools.product((0, 1), (0, 1), (0, 1)):
        loop.seed(number, step, rank)
        drawn.append(float(torch.rand(1)))
    assert len(set(drawn)) == len(drawn)


def test_validation_uses_no_dropout_and_changes_nothing(begin: Begin, held_out: Any) -> None:
    chosen = settings(method="lora", lora={"rank": 4, "alpha": 8, "dropout": 0.5})
    stepper = PlainStepper(begin(chosen), chosen)
    with torch.no_grad():
        for name, each in stepper.module.named_parameters():
            if "lora_B" in name:
                each.fill_(0.1)
    before = stepper.weights()
    first, second = loop.validate(stepper, held_out, chosen), loop.validate(stepper, held_out, chosen)
    assert first == second
    assert list(first) == ["de", "fr"]
    assert stepper.module.training
    torch.testing.assert_close(stepper.weights(), before, rtol=0, atol=0)
    assert all(each.grad is None for each in stepper.module.parameters())


def test_a_loss_that_is_no_number_stops_before_any_weight_changes(begin: Begin, examples: Any) -> None:
    chosen = settings()
    stepper = PlainStepper(begin(chosen), chosen)
    schedule = schedule_of(examples, chosen)
    loop.run_step(stepper, examples, schedule, 0, chosen)
    with torch.no_grad():
        next(stepper.module.parameters()).fill_(float("nan"))
    before = stepper.weights()
    with pytest.raises(
        UserError,
        match=r"^The loss is nan at step 2 of 30; try a learning_rate below 0\.01, and start over with --fresh\.$",
    ):
        loop.run_step(stepper, examples, schedule, 1, chosen)
    torch.testing.assert_close(stepper.weights(), before, rtol=0, atol=0, equal_nan=True)


def test_matrices_have_weight_decay_and_vectors_have_none() -> None:
    model = small_llama()
    matrices, vectors = parameter_groups(model, 0.1)
    assert (matrices["weight_decay"], vectors["weight_decay"]) == (0.1, 0.0)
    assert len(vectors["params"]) == 5  # two norms in each layer, one at the end
    assert all(each.dim() == 2 for each in matrices["params"])
    assert len(matrices["params"]) + 5 == len(list(model.parameters()))
    for each in vectors["params"]:
        each.requires_grad_(False)
    assert len(parameter_groups(model, 0.1)) == 1


def test_the_learning_rate_rises_and_falls_as_the_schedule_says() -> None:
    def rates(**changes: Any) -> list[float]:
        chosen = settings(learning_rate=0.01, **changes)
        return [loop.rate(step, 100, chosen) for step in range(1, 101)]

    cosine = rates(final_learning_rate=0.1)
    assert cosine[:10] == pytest.approx([0.001 * step for step in range(1, 11)])
    assert sum(cosine[54:56]) / 2 == pytest.approx(0.001 + 0.009 * 0.5)  # half way down
    assert 0.001 < cosine[-1] < 0.001 + 1e-5
    assert sorted(cosine[9:], reverse=True) == cosine[9:]
    linear = rates(schedule="linear")
    assert linear[9:] == pytest.approx([0.01 * (101 - step) / 91 for step in range(10, 101)])
    assert linear[-1] > 0  # no step is for nothing
    assert rates(schedule="constant")[9:] == [0.01] * 91
    assert rates(schedule="constant", warmup=0) == [0.01] * 100
    assert loop.rate(1, 1, settings(learning_rate=0.01)) == 0.01
