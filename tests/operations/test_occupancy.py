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
    return Beat(("node", "a"), int(go * 1e9), go - come, 0.0, rows, rows, 0, go - come)


def full(beats: list[Beat], rows: float, busy: float) -> Full | None:
    """Of one engine that was busy for so long."""
    beats = [beat._replace(busy=busy / len(beats)) for beat in beats]
    return occupancy.full([beats], [[WORK] * len(beats)], rows)


def test_only_the_time_with_enough_rows_inside_counts() -> None:
    """One shard from 0 to 10, two at a time from 10 to 40, one from 40 to 50."""
    beats = [stay(0, 10), *(stay(start, start + 10) for start in (10, 20, 30) for _ in range(2)), stay(40, 50)]
    found = full(beats, 20, busy=50)
    assert found is not None
    assert (found.seconds.sum(), found.work.sum()) == (pytest.approx(30), pytest.approx(600))


def test_a_shard_that_stays_longer_has_its_work_spread_over_its_stay() -> None:
    """Of a shard from 0 to 20 half falls into the full time, with four from 10 to 20."""
    found = full([stay(0, 20), *[stay(10, 20)] * 4], 50, busy=20)
    assert found is not None
    assert (found.seconds.sum(), found.work.sum()) == (pytest.approx(10), pytest.approx(450))


def test_the_pieces_are_equally_long_and_as_different_as_the_rate_was() -> None:
    quick = [stay(start, start + 1) for start in range(20)]
    slow = [stay(20 + 2 * start, 22 + 2 * start) for start in range(10)]
    found = full([*quick, *slow], 10, busy=40)
    assert found is not None
    assert found.seconds == pytest.approx(np.full(10, 4.0))
    assert found.work == pytest.approx([400.0] * 5 + [200.0] * 5)


def test_what_is_too_little_gives_no_rate() -> None:
    three = [stay(0, 10), stay(10, 20), stay(20, 30)]
    assert full(three, 10, busy=30) is None
    assert full([*three, stay(30, 40)], 10, busy=40) is not None
    assert full([*three, stay(30, 40)], 20, busy=40) is None  # never that full


def test_a_copied_folder_has_other_times_than_the_run() -> None:
    """All parts of the same second, of a run of a minute."""
    copied = [stay(0, 10)._replace(when=int(100e9) + place) for place in range(6)]
    assert full(copied, 10, busy=60) is None
    assert full([stay(10 * place, 10 * place + 10) for place in range(6)], 10, busy=60) is not None


def test_engines_are_looked_at_one_by_one() -> None:
    """Two engines with one shard each at the same time are not one with two."""
    one = [stay(10 * place, 10 * place + 10)._replace(busy=10.0) for place in range(4)]
    assert occupancy.full([one, one], [[WORK] * 4] * 2, 20) is None
    found = occupancy.full([one, one], [[WORK] * 4] * 2, 10)
    assert found is not None
    assert (found.seconds.sum(), found.work.sum()) == (pytest.approx(80), pytest.approx(800))
