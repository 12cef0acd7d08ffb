"""How busy an engine was: each second counted once, whatever runs side by side and whatever cannot be committed."""

from __future__ import annotations

import types

import pytest

from midb_ray.engines import meter
from midb_ray.engines.meter import Meter, Told
from midb_ray.runs.figures import EngineFigures


class Clock:
    now = 100.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(meter, "time", types.SimpleNamespace(monotonic=clock.monotonic))
    return clock


def test_shards_side_by_side_count_their_common_time_once(clock: Clock) -> None:
    measured = Meter()
    clock.now += 2  # nothing to do
    with measured.at_engine():
        clock.now += 3
        with measured.at_engine():
            clock.now += 4
        clock.now += 5
    clock.now += 6
    assert measured.take() == Told(up=20, busy=12)
    assert measured.take() == Told(up=0, busy=0)


def test_the_time_of_loading_is_not_counted(clock: Clock) -> None:
    measured = Meter()
    clock.now += 300
    measured.begin(None)
    clock.now += 2
    assert measured.take() == Told(up=2, busy=0)


def test_a_shard_that_is_still_at_the_engine_has_its_time_so_far_counted(clock: Clock) -> None:
    measured = Meter()
    with measured.at_engine():
        clock.now += 3
        assert measured.take() == Told(3, 3)
        clock.now += 4
    clock.now += 1
    assert measured.take() == Told(5, 4)


def test_what_could_not_be_committed_goes_with_the_next_shard(clock: Clock) -> None:
    measured = Meter()
    with measured.at_engine():
        clock.now += 3
    told = measured.take()
    clock.now += 1
    measured.give_back(told)
    assert measured.take() == Told(4, 3)


def test_a_failing_shard_has_left_the_engine(clock: Clock) -> None:
    measured = Meter()
    with pytest.raises(ValueError, match="this row"), measured.at_engine():
        raise ValueError("this row")
    clock.now += 7
    assert measured.take() == Told(7, 0)


def test_figures_are_by_node_and_actor(clock: Clock) -> None:
    measured = Meter()
    assert measured.figures(8, 2, 120, Told(4, 3)) == {measured.name: EngineFigures(1, 8, 120, 4, 3, 2)}
