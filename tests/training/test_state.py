"""Checkpoints: whoever wrote them, any stretch can be read again; what is damaged or belongs to another run is refused."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from midb_ray.errors import UserError
from midb_ray.training import loop, setup, state
from midb_ray.training.state import Position, State
from midb_ray.training.steppers import MOMENTS, Fragment, PlainStepper
from tests.training.conftest import Reference, small_llama
from tests.training.grid import METHODS, schedule_of, settings, task

pytestmark = pytest.mark.usefixtures("one_thread")

Begin = Callable[..., Any]


class Worker:
    """Writes what it is given: one of several that keep parts of parameters."""

    def __init__(self, rank: int, workers: int, kept: list[Fragment]) -> None:
        self.rank, self.workers, self._kept = rank, workers, kept

    def fragments(self) -> Iterator[Fragment]:
        yield from self._kept


def cut(values: dict[str, torch.Tensor], places: list[int], workers: int) -> list[list[Fragment]]:
    """`values` cut at `places` (and nowhere else), dealt out to workers; means are ten and a hundred times the values."""
    kept: list[list[Fragment]] = [[] for _ in range(workers)]
    turn = 0
    for name, value in values.items():
        limits = [0, *(place for place in places if place < len(value)), len(value)]
        for begin, end in itertools.pairwise(limits):
            part = value[begin:end]
            moments = {kind: part * factor for kind, factor in zip(MOMENTS, (10, 100), strict=True)}
            kept[turn % workers].append(Fragment(name, begin, part, moments))
            turn += 1
    return kept


def write(folder: Path, kept: list[list[Fragment]]) -> Path:
    for rank, fragments in enumerate(kept):
        worker: Any = Worker(rank, len(kept), fragments)
        state.write(folder, worker, Position(4, 24, "d", {"de": 1.5}))
    return folder


VALUES = {"one.weight": torch.arange(37.0), "two.weight|odd": torch.arange(100.0, 105.0)}


@pytest.mark.parametrize("workers", [1, 2, 3])
@pytest.mark.parametrize("places", [[], [5], [1, 2, 20, 36]])
def test_any_stretch_is_read_whoever_wrote_it(tmp_path: Path, workers: int, places: list[int]) -> None:
    found = State(write(tmp_path, cut(VALUES, places, workers)))
    assert {name for name in VALUES if found.size(name) == len(VALUES[name])} == set(VALUES)
    for name, value in VALUES.items():
        for kind, factor in {state.MASTER: 1, **dict(zip(MOMENTS, (10, 100), strict=True))}.items():
            for begin in range(len(value)):
                for end in range(begin + 1, len(value) + 1):
                    stretch = found.read(name, kind, begin, end - begin)
                    assert torch.equal(stretch, value[begin:end] * factor)


def test_a_checkpoint_is_safetensors_and_a_position(tmp_path: Path) -> None:
    write(tmp_path, cut(VALUES, [5], 2))
    names = sorted(path.name for path in tmp_path.iterdir())
    assert names == ["position.json", "state-00000-of-00002.safetensors", "state-00001-of-00002.safetensors"]
    assert load_file(tmp_path / names[1])["one.weight|master|0"].tolist() == [0, 1, 2, 3, 4]
    assert state.read_position(tmp_path) == Position(4, 24, "d", {"de": 1.5})


@pytest.mark.parametrize("missing", ["state-00000-of-00002.safetensors", "state-00001-of-00002.safetensors"])
def test_a_lost_file_is_refused(tmp_path: Path, missing: str) -> None:
    (write(tmp_path, cut(VALUES, [5], 2)) / missing).unlink()
    with pytest.raises(UserError, match=r"has 1 of its 2 files; restore it from a copy, or start over with --fresh\.$"):
        State(tmp_path)


def test_a_folder_without_files_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="has 0 of its 1 files"):
        State(tmp_path)


@pytest.mark.parametrize("left", [0, 5, 40, -1])
def test_a_file_that_was_cut_off_is_refused(tmp_path: Path, left: int) -> None:
    path = write(tmp_path, cut(VALUES, [], 1)) / "state-00000-of-00001.safetensors"
    path.write_bytes(path.read_bytes()[:left])
    with pytest.raises(UserError, match=r"state-00000-of-00001.safetensors is damaged .*--fresh\.$"):
        State(tmp_path)


@pytest.mark.parametrize("content", [None, "", "{", "[]", '{"step": 3}', '{"step": "x", "examples": 1, "digest": "d"}'])
def test_a_position_that_cannot_be_read_is_refused(tmp_path: Path, content: str | None) -> None:
    if content is not None:
        (tmp_path / state.POSITION).write_text(content)
    with pytest.raises(UserError, match=r"^The checkpoint .* cannot be read .*; restore it from a copy"):
        state.read_position(tmp_path)


def test_what_is_not_there_is_of_another_model(tmp_path: Path) -> None:
    kept = cut(VALUES, [5, 20], 1)
    del kept[0][1]
    found = State(write(tmp_path, kept))
    assert found.read("one.weight", "master", 0, 5).tolist() == [0, 1, 2, 3, 4]
    with pytest.raises(UserError, match=r"has no master of one.weight from element 5 on: it belongs to another model"):
        found.read("one.weight", "master", 0, 37)
    with pytest.raises(UserError, match=r"has no exp_avg of one.weight from element 5 on"):
        found.read("one.weight", "exp_avg", 5, 1)
    with pytest.raises(UserError, match=r"has no master of three.weight from element 0 on"):
        found.read("three.weight", "master", 0, 1)
    with pytest.raises(UserError, match=r"has no master of one.weight from element 37 on"):
        found.read("one.weight", "master", 36, 2)


def test_a_smaller_model_than_the_checkpoints_is_refused(tmp_path: Path) -> None:
    stepper = trained(small_llama(intermediate_size=96))
    state.write(tmp_path, stepper, Position(1, 6, "d", {}))
    with pytest.raises(UserError, match="belongs to another model"):
        state.load_weights(small_llama(intermediate_size=64), State(tmp_path))


def test_a_larger_model_than_the_checkpoints_is_refused(tmp_path: Path) -> None:
    stepper = trained(small_llama(num_hidden_layers=1))
    state.write(tmp_path, stepper, Position(1, 6, "d", {}))
    with pytest.raises(UserError, match=r"no master of model.layers.1.* belongs to another model"):
        state.load_weights(small_llama(), State(tmp_path))


def trained(model: Any) -> PlainStepper:
    """A stepper after a step with any gradient."""
    stepper = PlainStepper(model, settings())
    for each in model.parameters():
        each.grad = torch.ones_like(each)
    stepper.update(1e-3)
    return stepper


@pytest.mark.parametrize("method", METHODS)
def test_training_goes_on_as_if_it_had_never_stopped(
    place: Path,
    examples: Any,
    begin: Begin,
    reference: Callable[[str], Reference],
    tmp_path: Path,
    method: str,
) -> None:
    chosen = settings(method=method)
    schedule = schedule_of(examples, chosen)
    expected = reference(method)
    step, folder = 0, None
    for stop in (4, 5, 12):
        given = task(place, chosen)
        stepper, found = setup.stepper(given, chosen, schedule, folder, PlainStepper)
        assert found == step
        losses = []
        while step < stop:
            losses.append(loop.run_step(stepper, examples, schedule, step, chosen).loss)
            step += 1
        assert losses == pytest.approx(expected.losses[step - len(losses) : step], rel=1e-4)
        folder = tmp_path / str(stop)
        state.write(folder, stepper, Position(step, schedule.offset(step), "d", {}))


def test_a_checkpoint_holds_every_bit(begin: Begin, examples: Any, tmp_path: Path) -> None:
    chosen = settings()
    schedule = schedule_of(examples, chosen)
    before = PlainStepper(begin(chosen), chosen)
    for step in range(3):
        loop.run_step(before, examples, schedule, step, chosen)
    state.write(tmp_path, before, Position(3, 18, "d", {}))
    after = PlainStepper(begin(chosen), chosen)
    found = State(tmp_path)
    state.load_weights(after.module, found)
    after.set_moments(3, found.read)
    for stepper in (before, after):
        loop.run_step(stepper, examples, schedule, 3, chosen)
    torch.testing.assert_close(before.weights(), after.weights(), rtol=0, atol=0)


@pytest.mark.parametrize(
    "changed", [{"digest": "another"}, {"examples": 17}, {"step": 31, "examples": 175}, {"step": 2}]
)
def test_a_checkpoint_of_another_run_is_refused(
    place: Path, examples: Any, begin: Begin, tmp_path: Path, changed: dict[str, Any]
) -> None:
    chosen = settings()
    stepper = PlainStepper(begin(chosen), chosen)
    schedule = schedule_of(examples, chosen)
    loop.run_step(stepper, examples, schedule, 0, chosen)
    folder = tmp_path / "step-1"
    state.write(folder, stepper, Position(1, schedule.offset(1), "d", {}))
    assert setup.stepper(task(place, chosen), chosen, schedule, folder, PlainStepper)[1] == 1
    position = state.read_position(folder)._asdict()
    (folder / state.POSITION).write_text(json.dumps({**position, **changed}))
    with pytest.raises(UserError, match=r"^The checkpoint step-1 in .* was made with other settings or other data; "):
        setup.stepper(task(place, chosen), chosen, schedule, folder, PlainStepper)


def test_a_checkpoint_of_settings_whose_change_was_accepted_is_taken(
    place: Path, examples: Any, begin: Begin, tmp_path: Path
) -> None:
    chosen = settings()
    stepper = PlainStepper(begin(chosen), chosen)
    schedule = schedule_of(examples, chosen)
    loop.run_step(stepper, examples, schedule, 0, chosen)
    state.write(tmp_path, stepper, Position(1, schedule.offset(1), "before", {}))
    given = task(place, chosen)._replace(digest="now", digests=("before", "now"))
    assert setup.stepper(given, chosen, schedule, tmp_path, PlainStepper)[1] == 1
