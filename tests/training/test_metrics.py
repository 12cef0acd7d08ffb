"""Figures of a run while it goes on: golden numbers under a clock of the test's own."""

from __future__ import annotations

import json
import time
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from midb_ray.runs import storage
from midb_ray.training import metrics
from midb_ray.training.flops import Work
from midb_ray.training.loop import Step
from midb_ray.training.metrics import Meter

Listen = Callable[[object], list[str]]


class Clock:
    """Time passes when the test says so."""

    now = 1000.0

    def monotonic(self) -> float:
        return self.now

    def time(self) -> float:
        return 1e9 + self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    monkeypatch.setattr(metrics, "time", types.SimpleNamespace(monotonic=made.monotonic, time=made.time))
    return made


def step(loss: float, tokens: int = 100, answers: int = 40, norm: float = 1.5) -> Step:
    return Step(loss, norm, 1e-4, 6, tokens, answers, False)


def lines(run: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]


def test_figures_of_the_steps_since_the_last_line(tmp_path: Path, clock: Clock) -> None:
    meter = Meter(str(tmp_path), steps=5, first=0, every=2, work=Work(10, 5), peak=1000.0)
    for number, one in enumerate(
        [step(4.0, answers=10), step(2.0, answers=30, norm=0.5), step(1.0), step(1.0), step(0.5)], start=1
    ):
        clock.now += 2
        meter.add(number, one)
    meter.close()
    assert [line["step"] for line in lines(tmp_path)] == [2, 4, 5]  # every second, and the last
    first = lines(tmp_path)[0]
    assert first["steps"] == 5
    assert first["loss"] == 2.5  # over answer tokens, not over steps
    assert first["gradient_norm"] == 0.5
    assert first["learning_rate"] == 1e-4
    assert (first["examples"], first["tokens"], first["answer_tokens"]) == (12, 200, 40)
    assert first["seconds"] == 4
    assert first["tokens_per_second"] == 50
    assert first["flops_utilisation"] == (200 * 10 + 40 * 5) / 4 / 1000
    assert first["memory_bytes"] > 1 << 20
    assert first["eta_seconds"] == 6  # three steps of two seconds
    assert lines(tmp_path)[-1]["eta_seconds"] == 0
    assert meter.latest["loss"] == 0.5


def test_time_for_validation_and_checkpoints_does_not_count_as_training(tmp_path: Path, clock: Clock) -> None:
    meter = Meter(str(tmp_path), steps=4, first=0, every=1, work=Work(1, 1), peak=None)
    clock.now += 1
    meter.add(1, step(3.0))
    clock.now += 60
    meter.validated(1, {"de": 2.0, "fr": 4.0}, 3.0, 50.0)
    meter.paused(10.0)
    clock.now += 2
    meter.add(2, step(3.0))
    first, validation, second = lines(tmp_path)
    assert (first["seconds"], second["seconds"]) == (1, 2)
    assert validation == {
        "time": validation["time"],
        "step": 1,
        "validation_loss": 3.0,
        "validation": {"de": 2.0, "fr": 4.0},
    }
    assert second["flops_utilisation"] is None
    clock.now += 3
    meter.add(3, step(3.0))
    assert lines(tmp_path)[-1]["seconds"] == 3  # a pause counts once


def test_a_run_that_goes_on_drops_what_is_done_again(tmp_path: Path, clock: Clock) -> None:
    before = Meter(str(tmp_path), steps=8, first=0, every=1, work=Work(1, 1), peak=None)
    for number in range(1, 7):
        before.add(number, step(float(number)))
    meter = Meter(str(tmp_path), steps=8, first=4, every=1, work=Work(1, 1), peak=None)
    clock.now += 10
    meter.add(5, step(50.0))
    assert [(line["step"], line["loss"]) for line in lines(tmp_path)] == [(1, 1), (2, 2), (3, 3), (4, 4), (5, 50)]
    assert lines(tmp_path)[-1]["eta_seconds"] == 30  # the step of this process, not those before


def test_progress_is_what_was_last_told(tmp_path: Path, clock: Clock) -> None:
    meter = Meter(str(tmp_path), steps=3, first=0, every=1, work=Work(1, 1), peak=None)
    meter.add(1, step(3.0))
    meter.validated(1, {"de": 2.0}, 2.0, 1.0)
    found = json.loads((tmp_path / "progress.json").read_text())
    assert (found["job"], found["state"], found["step"], found["steps"]) == ("train", "running", 1, 3)
    assert found["loss"] == 3.0
    assert found["updated"] == 1e9 + clock.now


def test_a_line_of_the_log(tmp_path: Path, clock: Clock, listen: Listen) -> None:
    heard = listen(metrics)
    meter = Meter(str(tmp_path), steps=2000, first=0, every=1, work=Work(1e9, 0), peak=None)
    clock.now += 2
    meter.add(1, step(3.14159, tokens=1234))
    (line,) = heard
    assert line.startswith("train: step 1 of 2,000, loss 3.1416, gradient norm 1.50, 617 tokens/s, ")
    assert line.endswith(" GiB, ETA 1:06:38")
    assert "617 tokens/s, 61.7% of peak, " in metrics.line({**meter.latest, "flops_utilisation": 0.617})
    meter.validated(1, {"de": 2.0}, 2.0, 1.0)
    assert heard[-1] == "train: step 1 of 2,000, validation loss 2.0000"


def test_figures_that_cannot_be_written_do_not_stop_a_run(tmp_path: Path, clock: Clock, listen: Listen) -> None:
    heard = listen(metrics)
    meter = Meter(str(tmp_path), steps=2, first=0, every=1, work=Work(1, 1), peak=None)
    (tmp_path / "metrics.jsonl").unlink()
    (tmp_path / "metrics.jsonl").mkdir()
    meter.add(1, step(3.0))
    assert heard[0].startswith("Cannot write metrics: ")
    assert meter.latest["loss"] == 3.0
    meter.close()


def test_an_object_store_has_every_line_at_the_end(s3: str, clock: Clock) -> None:
    meter = Meter(f"{s3}/run", steps=9, first=0, every=1, work=Work(1, 1), peak=None)
    for number in range(1, 10):
        meter.add(number, step(float(number)))
    meter.close()
    written = storage.read_bytes(f"{s3}/run/metrics.jsonl").decode().splitlines()
    assert [json.loads(line)["step"] for line in written] == list(range(1, 10))


def test_an_object_store_that_is_gone_at_the_end_does_not_stop_a_run(s3: str, wire: Any, listen: Listen) -> None:
    heard = listen(metrics)
    meter = Meter(f"{s3}/run", steps=9, first=0, every=1, work=Work(1, 1), peak=None)
    for number in range(1, 4):
        meter.add(number, step(float(number)))
    wire.cut()
    meter.close()
    assert heard[-1].startswith("Cannot write metrics: ")


def scalars(folder: Path) -> dict[tuple[str, int], float]:
    from tensorboardX.proto.event_pb2 import Event

    found = {}
    for path in sorted(folder.rglob("events.*")):
        data = path.read_bytes()
        while data:
            size = int.from_bytes(data[:8], "little")
            event = Event.FromString(data[12 : 12 + size])
            data = data[16 + size :]
            for value in event.summary.value:
                found[value.tag, event.step] = value.simple_value
    return found


@pytest.mark.parametrize("remote", [False, True])
def test_tensorboard_has_the_same_figures(
    tmp_path: Path, clock: Clock, remote: bool, request: pytest.FixtureRequest
) -> None:
    run = f"{request.getfixturevalue('s3')}/run" if remote else str(tmp_path)
    meter = Meter(run, steps=2, first=0, every=1, work=Work(1, 1), peak=None)
    meter.open_board()
    meter.add(1, step(3.0))
    meter.validated(1, {"de": 2.0}, 2.5, 1.0)
    meter.add(2, step(1.0))
    meter.close()
    if remote:
        (tmp_path / "tensorboard").mkdir()
        for file in storage.list_files(f"{run}/tensorboard", recursive=True):
            (tmp_path / "tensorboard" / Path(file.uri).name).write_bytes(storage.read_bytes(file.uri))
    found = scalars(tmp_path / "tensorboard")
    assert (found["loss", 1], found["loss", 2]) == (3.0, 1.0)
    assert (found["validation_loss", 1], found["validation/de", 1]) == (2.5, 2.0)
    assert ("tokens_per_second", 2) in found
    assert not any(tag in ("step", "steps", "flops_utilisation") for tag, _ in found)


def test_the_real_clock_runs(tmp_path: Path) -> None:
    before = time.time()
    meter = Meter(str(tmp_path), steps=1, first=0, every=1, work=Work(1, 1), peak=None)
    meter.add(1, step(3.0))
    assert meter.latest["seconds"] > 0
    assert lines(tmp_path)[0]["time"] >= before


def test_the_driver_says_how_it_ended(tmp_path: Path) -> None:
    def state() -> str:
        return str(json.loads((tmp_path / "progress.json").read_text())["state"])

    with metrics.state(str(tmp_path)):
        pass
    assert not (tmp_path / "progress.json").exists()  # nothing was begun
    meter = Meter(str(tmp_path), steps=3, first=0, every=1, work=Work(1, 1), peak=None)
    meter.add(1, step(3.0))
    with pytest.raises(KeyboardInterrupt), metrics.state(str(tmp_path)):
        raise KeyboardInterrupt
    assert state() == "stopped"
    with metrics.state(str(tmp_path)):
        pass
    assert state() == "finished"
