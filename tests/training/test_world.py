"""One process alone, without Ray: it keeps checkpoints in a folder, goes on from the latest and exports, as any worker does."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from midb_ray.errors import UserError
from midb_ray.training import loop, state, worker
from midb_ray.training.export import BOOSTER
from midb_ray.training.steppers import PlainStepper
from midb_ray.training.task import Task
from midb_ray.training.world import OneProcess
from tests.training.conftest import Reference
from tests.training.grid import settings, task

pytestmark = pytest.mark.usefixtures("one_thread")

FACTS = {
    "version": "9.8.7",
    "start": "start",
    "train_examples": 40,
    "validation_examples": 6,
    "languages": 2,
    "sources": "experts.jsonl",
    "dropped": 0,
    "cut": 0,
    "selection_seed": 0,
}


def kept(place: Path) -> list[str]:
    return sorted(path.name for path in place.iterdir())


def save(world: OneProcess, step: int, content: str = "") -> None:
    def write(place: Path) -> None:
        place.mkdir()
        (place / "state").write_text(content or str(step))

    world.save({"step": step}, write)


def test_the_latest_checkpoint_and_the_one_before_are_kept(tmp_path: Path) -> None:
    world = OneProcess(tmp_path)
    with world.checkpoint() as found:
        assert found is None
    for step in (9, 10, 100, 1000):
        save(world, step)
        with world.checkpoint() as found:
            assert found is not None
            assert (found / "state").read_text() == str(step)
    assert kept(tmp_path) == ["step-00000100", "step-00001000"]


def test_a_checkpoint_that_was_not_finished_is_none(tmp_path: Path) -> None:
    world = OneProcess(tmp_path)
    save(world, 1)

    def fail(place: Path) -> None:
        place.mkdir()
        (place / "state").write_text("half")
        raise OSError("No space left on device")

    with pytest.raises(OSError, match="No space left"):
        world.save({"step": 2}, fail)
    with OneProcess(tmp_path).checkpoint() as found:
        assert found is not None
        assert found.name == "step-00000001"


def test_without_a_folder_nothing_is_kept() -> None:
    world = OneProcess()
    world.save({"step": 1}, lambda _: pytest.fail("written"))
    with world.checkpoint() as found:
        assert found is None


def test_one_process_has_no_others() -> None:
    world = OneProcess()
    assert (world.rank, world.workers) == (0, 1)
    assert not world.wants_to_know()
    assert world.leaving() == []


@pytest.fixture
def job(place: Path, tmp_path: Path) -> Callable[..., Task]:
    """`job(settings)`: what the worker of a run folder with the examples is told."""
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "examples").symlink_to(place / "run" / "examples")
    (tmp_path / "run" / "nonce").write_text("abc")
    (tmp_path / "kept").mkdir()

    def make(chosen: Any) -> Task:
        return task(place, chosen)._replace(run=str(tmp_path / "run"), nonce="abc", facts=FACTS)

    return make


def lines(tmp_path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()]


def test_a_run_ends_with_a_booster_and_what_it_told(
    job: Callable[..., Task], reference: Callable[[str], Reference], tmp_path: Path
) -> None:
    chosen = settings(checkpoint={"steps": 8}, log_steps=1)
    outcome = worker.run(job(chosen), OneProcess(tmp_path / "kept"), PlainStepper)
    expected = reference("full")
    assert (outcome.step, outcome.steps, outcome.leaving) == (30, 30, [])
    assert outcome.validation == pytest.approx(expected.validation, rel=1e-4)
    assert outcome.loss == pytest.approx(expected.losses[-1], rel=1e-4)
    assert outcome.difference is not None
    assert outcome.difference < 1e-5
    assert kept(tmp_path / "kept") == ["step-00000024", "step-00000030"]
    position = state.read_position(tmp_path / "kept" / "step-00000030")
    assert (position.step, position.examples) == (30, 175)
    told = lines(tmp_path)
    assert [line["loss"] for line in told if "loss" in line] == pytest.approx(expected.losses, rel=1e-4)
    looks = [line for line in told if "validation" in line]
    assert [line["step"] for line in looks] == [8, 16, 24, 30]
    assert looks[-1]["validation"] == pytest.approx(expected.validation, rel=1e-4)
    mean = sum(expected.validation.values()) / 2
    assert looks[-1]["validation_loss"] == pytest.approx(mean, rel=1e-4)
    card = (tmp_path / "run" / BOOSTER / "README.md").read_text()
    assert f"| fr | {outcome.validation['fr']:.4f} |" in card
    assert "30 steps of 6 examples" in card


class Killed(BaseException):
    """What a kill is to code that is inside a step."""


@pytest.mark.parametrize("method", ["full", "lora"])
def test_a_run_that_is_killed_goes_on_from_its_checkpoint_and_sees_every_example_once(
    job: Callable[..., Task],
    reference: Callable[[str], Reference],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    method: str,
) -> None:
    given = job(settings(checkpoint={"steps": 8}, log_steps=1, method=method))
    steps, deaths = loop.run_step, [13, 8, 27, 29]  # after a checkpoint, on one, far from one, right before the end
    taken: dict[int, list[int]] = {}

    def run_step(stepper: Any, examples: Any, schedule: Any, step: int, *more: Any) -> loop.Step:
        if deaths and step == deaths[0]:
            deaths.pop(0)
            raise Killed
        done = steps(stepper, examples, schedule, step, *more)
        assert taken.setdefault(step, schedule.indices(step).tolist()) == schedule.indices(step).tolist()
        return done

    monkeypatch.setattr(loop, "run_step", run_step)
    outcome = None
    while outcome is None:
        with contextlib.suppress(Killed):
            outcome = worker.run(given, OneProcess(tmp_path / "kept"), PlainStepper)
    assert deaths == []
    assert outcome.validation == pytest.approx(reference(method).validation, rel=1e-4)
    told = [line for line in lines(tmp_path) if "loss" in line]
    assert [line["step"] for line in told] == list(range(1, 31))
    assert [line["loss"] for line in told] == pytest.approx(reference(method).losses, rel=1e-4)
    order = [index for step in range(30) for index in taken[step]]
    for epoch in range(4):
        assert sorted(order[40 * epoch : 40 * (epoch + 1)]) == list(range(40))


def test_a_run_that_died_in_its_export_is_only_exported_again(
    job: Callable[..., Task], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    given = job(settings(epochs=0.3))
    first = worker.run(given, OneProcess(tmp_path / "kept"), PlainStepper)
    monkeypatch.setattr(loop, "run_step", lambda *_: pytest.fail("trained again"))
    again = worker.run(given, OneProcess(tmp_path / "kept"), PlainStepper)
    assert again.validation == first.validation
    assert (again.step, again.loss) == (first.step, first.loss)  # the loss is that of metrics.jsonl
    assert again.difference == first.difference


def test_a_folder_that_is_not_the_drivers_is_refused(job: Callable[..., Task], tmp_path: Path) -> None:
    (tmp_path / "run" / "nonce").write_text("another")
    with pytest.raises(UserError, match="is not shared storage"):
        worker.run(job(settings()), OneProcess(), PlainStepper)


def test_a_folder_that_another_driver_has_taken_over_is_left_alone(job: Callable[..., Task], tmp_path: Path) -> None:
    (tmp_path / "run" / "driver.json").write_text('{"token": "theirs", "process": 7, "host": "far"}')
    given = job(settings(checkpoint={"steps": 3}))
    with pytest.raises(UserError, match=r"Another job \(process 7 on far\) is writing"):
        worker.run(given._replace(driver="ours"), OneProcess(tmp_path / "kept"), PlainStepper)
    assert kept(tmp_path / "kept") == []
    (tmp_path / "run" / "driver.json").unlink()  # nobody has it: the driver's heart writes it again
    worker.run(given._replace(driver="ours"), OneProcess(tmp_path / "kept"), PlainStepper)


@pytest.mark.parametrize("step", [5, 6])
def test_a_gradient_that_is_no_number_keeps_the_last_good_checkpoint(
    job: Callable[..., Task], tmp_path: Path, step: int
) -> None:
    """There are checkpoints after steps 2, 4 and 6. The step's loss is a number still, the weights after it are none."""

    class Spoiled(PlainStepper):
        count = 0

        def update(self, learning_rate: float) -> float:
            self.count += 1
            if self.count == step:
                next(self.module.parameters()).grad.fill_(float("inf"))  # type: ignore[union-attr]
            return super().update(learning_rate)

    given = job(settings(checkpoint={"steps": 2}, log_steps=1))
    with pytest.raises(UserError, match=f"norm is inf at step {step} of 30; the checkpoints before it are whole"):
        worker.run(given, OneProcess(tmp_path / "kept"), Spoiled)
    with OneProcess(tmp_path / "kept").checkpoint() as found:
        assert found is not None
        values = state.State(found)
        assert all(values.read(name, "master", 0, 8).isfinite().all() for name, _ in values._pieces)
    assert not (tmp_path / "run" / BOOSTER).exists()
    assert len(lines(tmp_path)) >= step - 1  # what it told until then is written
