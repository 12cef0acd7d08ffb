"""What a run spends over all its starts, and the halt at a cap."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path

import pydantic
import pytest

from midb_ray.engines import caps, halt
from midb_ray.engines.cap_settings import CapSettings
from midb_ray.runs.figures import EngineFigures, Figures


class Clock:
    """A clock that a test sets."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    found = Clock()
    monkeypatch.setattr(caps.time, "monotonic", found)
    return found


def account(run: Path, figures: Figures, replicas: int = 1, **limits: float) -> caps.Account:
    return caps.Account(str(run), CapSettings.model_validate(limits), replicas, figures, seconds=60)


def generated(tokens: int) -> Figures:
    return Figures(engines={"one": EngineFigures(tokens=tokens)})


def test_tokens_that_are_generated_reach_a_cap_and_call_a_halt(tmp_path: Path) -> None:
    figures = generated(900)
    with account(tmp_path, figures, tokens=1000) as watch:
        watch.check()
        assert (watch.reached, halt.is_called(str(tmp_path))) == (None, False)
        figures.add(generated(150))
        watch.check()
        assert watch.reached == "1,050 tokens of 1,000 (caps.tokens)"
        assert halt.is_called(str(tmp_path))
    assert not halt.is_called(str(tmp_path))
    assert account(tmp_path, figures, tokens=1000).reached is not None  # at once: nothing need be started
    assert account(tmp_path, figures, tokens=2000).reached is None


def test_an_engine_that_fails_on_much_of_what_it_is_given_is_halted_and_tried_anew_by_the_next_start(
    tmp_path: Path,
) -> None:
    def given(rows: int, errors: int) -> Figures:
        return Figures(engines={("node", "actor"): EngineFigures(rows=rows, errors=errors)})

    figures = given(200, 200)
    with account(tmp_path, figures) as watch:
        watch.check()
        assert watch.reached is None  # what an earlier start met is no fault of this one
        figures.add(given(255, 255))
        watch.check()
        assert watch.reached is None  # too few to judge by
        figures.add(given(1, 0))
        watch.check()
        assert watch.reached == "errors of the engine on 255 of 256 requests (caps.engine_errors 0.1)"
    with account(tmp_path, figures, engine_errors=0.05) as watch:
        figures.add(given(1000, 50))
        watch.check()
        assert watch.reached is None
        figures.add(given(1, 1))
        watch.check()
        assert watch.reached is not None


def test_hours_and_cost_are_summed_over_all_starts_and_replicas(tmp_path: Path, clock: Clock) -> None:
    figures = Figures()
    with account(tmp_path, figures, replicas=4, cost_per_hour=3) as watch:
        clock.now += 1800
        assert watch.spent == (0, 0.5, 6.0)
    clock.now += 5000  # between two starts no engine is up
    with account(tmp_path, figures, replicas=1, cost_per_hour=3, hours=1, cost=8) as watch:
        clock.now += 900
        assert watch.spent == (0, 0.75, 6.75)
        watch.check()
        assert watch.reached is None
        clock.now += 900
        watch.check()
        assert watch.reached == "1 hours of 1 (caps.hours)"
    assert account(tmp_path, figures, cost_per_hour=4, cost=10).reached == "a cost of 10 of 10 (caps.cost)"
    assert account(tmp_path, figures, hours=2).spent == (0, 1.0, None)


def test_time_reaches_a_cap_though_no_shard_comes(tmp_path: Path) -> None:
    with caps.Account(str(tmp_path), CapSettings(hours=1e-9), 1, Figures(), seconds=0.01):
        deadline = time.monotonic() + 60
        while not halt.is_called(str(tmp_path)):
            assert time.monotonic() < deadline
            time.sleep(0.01)


def test_a_driver_that_was_killed_has_written_down_its_time(tmp_path: Path) -> None:
    watch = caps.Account(str(tmp_path), CapSettings(), 2, Figures(), seconds=0.01)
    with watch:
        deadline = time.monotonic() + 60
        while not (tmp_path / caps.FILE).exists():
            assert time.monotonic() < deadline
            time.sleep(0.01)
        found = json.loads((tmp_path / caps.FILE).read_text())
        assert found["replica_seconds"] == pytest.approx(2 * found["seconds"], abs=0.002)


@pytest.mark.parametrize("content", [b"", b"[]", b'{"seconds": "many"}', b'{"seconds": null, "replica_seconds": 1}'])
def test_a_damaged_record_says_nothing(tmp_path: Path, content: bytes) -> None:
    (tmp_path / caps.FILE).write_bytes(content)
    assert account(tmp_path, Figures()).spent.hours == 0


def test_a_halt_that_cannot_be_called_is_called_with_the_next_look(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    call: Callable[[str], None] = halt.call

    def refuse(run: str) -> None:
        raise OSError("storage refuses writes")

    monkeypatch.setattr(halt, "call", refuse)
    with account(tmp_path, generated(5), tokens=5) as watch:
        watch.check()
        assert not halt.is_called(str(tmp_path))
        monkeypatch.setattr(halt, "call", call)
        watch.check()
        assert halt.is_called(str(tmp_path))


def test_a_cap_on_cost_needs_a_price() -> None:
    with pytest.raises(pydantic.ValidationError, match=r"expected caps.cost_per_hour"):
        CapSettings.model_validate({"cost": 100})


def test_caps_in_words() -> None:
    assert (
        CapSettings(tokens=1_000_000, hours=2.5, cost=99, cost_per_hour=1).words()
        == "1,000,000 tokens, 2.5 hours, a cost of 99"
    )
    assert CapSettings().words() == ""
