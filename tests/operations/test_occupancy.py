"""The full time of engines from when their shards came in and went out, by hand."""

from __future__ import annotations

import numpy as np
import pytest

from midb_ray.operations import occupancy
from midb_ray.operations.occupancy import Full
from midb_ray.operations.pilot import Beat

WORK = 100.0


def stay(come: float, go: float, rows: int = 10) -> Beat:
    """A shard that was in its engine from one second to another."""
    return Beat(("node", "a"), 0, go, 0.0, rows, rows, 0, go - come)


def told(beats: list[Beat], busy: float) -> list[Beat]:
    """In the order of their ends, each with the time since the one before; the engine was busy for so long."""
    beats = sorted(beats, key=lambda one: one.up)
    ups = np.diff([0.0, *(beat.up for beat in beats)])
    return [beat._replace(up=float(up), busy=busy / len(beats)) for beat, up in zip(beats, ups, strict=True)]


def full(beats: list[Beat], shards: float, busy: float) -> Full | None:
    """Of one engine."""
    return occupancy.full([told(beats, busy)], [[WORK] * len(beats)], lambda _: 1.0, shards)


def test_only_the_time_with_enough_rows_inside_counts() -> None:
    """One shard from 0 to 10, two at a time from 10 to 40, one from 40 to 50."""
    beats = [stay(0, 10), *(stay(start, start + 10) for start in (10, 20, 30) for _ in range(2)), stay(40, 50)]
    found = full(beats, 2, busy=50)
    assert found is not None
    assert (found.seconds.sum(), found.work.sum()) == (pytest.approx(30), pytest.approx(600))


def test_a_shard_that_stays_longer_has_its_work_spread_over_its_stay() -> None:
    """One from 0 to 40 beside four at a time until 30, and three after that: three quarters of it fall into the full time."""
    fours = [stay(start, start + 10) for start in (0, 10, 20) for _ in range(4)]
    found = full([stay(0, 40), *fours, *[stay(30, 40)] * 3], 5, busy=40)
    assert found is not None
    assert (found.seconds.sum(), found.work.sum()) == (pytest.approx(30), pytest.approx(1275))


def test_the_pieces_are_equally_long_and_as_different_as_the_rate_was() -> None:
    quick = [stay(start, start + 1) for start in range(20)]
    slow = [stay(20 + 2 * start, 22 + 2 * start) for start in range(10)]
    found = full([*quick, *slow], 1, busy=40)
    assert found is not None
    assert found.seconds == pytest.approx(np.full(10, 4.0))
    assert found.work == pytest.approx([400.0] * 5 + [200.0] * 5)


def test_pieces_are_no_shorter_than_a_stay() -> None:
    found = full([stay(10 * place, 10 * place + 10) for place in range(6)], 1, busy=60)
    assert found is not None
    assert len(found.seconds) == 6


def test_what_is_too_little_gives_no_rate() -> None:
    three = [stay(0, 10), stay(10, 20), stay(20, 30)]
    assert full(three, 1, busy=30) is None
    assert full([*three, stay(30, 40)], 1, busy=40) is not None
    assert full([*three, stay(30, 40)], 2, busy=40) is None  # never that full
    assert full([stay(0, 10)] * 8, 8, busy=10) is None  # eight at once, but for one stay


def test_the_time_between_stays_is_no_time_inside() -> None:
    found = full([stay(20 * place, 20 * place + 10) for place in range(6)], 1, busy=60)
    assert found is not None
    assert found.seconds.sum() == pytest.approx(60)


@pytest.mark.parametrize(("busy", "is_trusted"), [(60, True), (66, True), (54, True), (85, False), (45, False)])
def test_an_engine_that_was_busy_at_other_times_is_left_out(busy: float, is_trusted: bool) -> None:
    """Sixty seconds with a shard inside."""
    assert (full([stay(10 * place, 10 * place + 10) for place in range(6)], 1, busy) is not None) == is_trusted


def test_engines_are_looked_at_one_by_one() -> None:
    """Two engines with one shard each at the same time are not one with two."""
    one = told([stay(10 * place, 10 * place + 10) for place in range(4)], busy=40)
    strange = told([stay(0, 10)], busy=80)
    works = [[WORK] * 4, [WORK] * 4, [WORK]]
    assert occupancy.full([one, one, strange], works, lambda _: 1.0, 2) is None
    found = occupancy.full([one, one, strange], works, lambda _: 1.0, 1)
    assert found is not None
    assert (found.seconds.sum(), found.work.sum()) == (pytest.approx(80), pytest.approx(800))
