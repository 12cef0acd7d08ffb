"""Engines' time from the shards that they brought, by hand."""

from __future__ import annotations

import pytest

from midb_ray.engines.pool_settings import InFlight
from midb_ray.operations.estimates import Estimate
from midb_ray.operations.pace import measure
from midb_ray.operations.pilot import Beat

ONE, OTHER = ("node", "a"), ("node", "b")
PAIR, SINGLE = InFlight(2, 1), InFlight(1, 1)  # shards inside an engine


def beats(actor: tuple[str, str], seconds: list[float], busy: float = 1.0, tokens: int = 100) -> list[Beat]:
    """Shards of ten rows that an engine brought one after the other, nobody knows how long they were inside."""
    return [Beat(actor, place, up, up * busy, 10, 10, tokens, 0.0) for place, up in enumerate(seconds)]


def test_the_rate_is_that_of_full_engines_and_the_rest_is_the_start() -> None:
    """The first two shards wait for the engine to fill, the last two while it empties."""
    found = measure(beats(ONE, [30, 9, 5, 5, 5, 5, 5, 5, 1, 1]), PAIR, 10, up=80)
    assert (found.unit, found.steady, found.seconds.value) == ("tokens", True, pytest.approx(0.05))
    assert found.fixed == pytest.approx(80 - 10 * 5)
    assert found.wall(Estimate(100_000), 1).value == pytest.approx(30 + 5000)
    assert found.wall(Estimate(100_000), 4).value == pytest.approx(30 + 1250)
    assert found.wall(Estimate(100_000), 4, speed=2).value == pytest.approx(30 + 625)


def test_a_forecast_of_the_pilot_itself_is_the_pilot() -> None:
    found = measure([*beats(ONE, [9, *[5] * 8]), *beats(OTHER, [7, *[4] * 8])], SINGLE, 10, up=60)
    assert found.engines == 2
    assert found.wall(Estimate(18 * 100), 2).value == pytest.approx(60)


def test_a_pilot_that_never_fills_its_engine_gives_its_busy_time() -> None:
    found = measure(beats(ONE, [20, 5, 5], busy=0.5), PAIR, 10, up=40)
    assert (found.steady, found.seconds.value) == (False, pytest.approx(15 / 300))
    assert found.feeding.value == 0


def test_engines_that_wait_for_long_are_held_back_by_what_feeds_them() -> None:
    """Busy for a quarter of two minutes: more engines help until the feeding is all that is left."""
    found = measure(beats(ONE, [20] * 10, busy=0.25), PAIR, 10, up=210)
    assert (found.waited, found.busy) == (True, pytest.approx(0.25))
    assert found.seconds.value == pytest.approx(0.05)
    assert found.feeding.value == pytest.approx(0.2)
    work = Estimate(10_000)
    assert found.wall(work, 1) == found.wall(work, 8)
    assert found.wall(work, 1).value == pytest.approx(2000 + 10)


def test_a_short_pilot_waits_for_processes_that_start() -> None:
    found = measure(beats(ONE, [2] * 10, busy=0.25), PAIR, 10, up=30)
    assert (found.waited, found.feeding.value, found.seconds.value) == (True, 0, pytest.approx(0.005))
    assert found.fixed == pytest.approx(30 - 5)


def test_without_tokens_requests_are_counted_and_without_requests_rows() -> None:
    asked = [Beat(ONE, place, 1.0, 1.0, 10, 8, 0, 0.0) for place in range(10)]
    found = measure(asked, SINGLE, 10, 10)
    assert (found.unit, found.seconds.value) == ("requests", pytest.approx(1 / 8))
    silent = [beat._replace(requests=0, busy=0.0) for beat in asked]
    found = measure(silent, SINGLE, 10, 10)
    assert (found.unit, found.feeding.value) == ("rows", pytest.approx(0.1))


def halves(unit: float) -> list[Beat]:
    """Half of the pilot one shard was inside at a time, which took as long as when two were: busy all the time, twice as slow."""
    ups = [5 * unit] * 10 + [5 * unit, 0.0] * 10
    return [Beat(ONE, place, up, up, 10, 10, 100, 5 * unit) for place, up in enumerate(ups)]


def test_the_time_in_which_engines_were_full_gives_the_rate_of_a_short_pilot() -> None:
    found = measure(halves(0.5), InFlight(3, 1), 10, up=60)
    assert (found.steady, found.busy) == (True, 1.0)
    assert found.seconds.value == pytest.approx(2.5 / 200)
    assert found.fixed == pytest.approx(60 - 3000 * 2.5 / 200)


def test_a_long_pilot_is_not_forecast_as_fuller_than_it_was() -> None:
    """What it was for minutes, it will be: 24 shards of the stretch in 80 seconds."""
    found = measure(halves(1.0), InFlight(3, 1), 10, up=110)
    assert (found.steady, found.fixed) == (True, pytest.approx(110 - 3000 * found.seconds.value))
    assert found.seconds.value == pytest.approx(80 / 2400)


def test_a_pilot_that_was_full_but_has_no_stretch_is_steady() -> None:
    """Two engines; the rows in flight at the beginning and the end are all that each has brought."""
    ups = [4.0, 0.0] * 3
    both = [Beat(actor, place, up, up, 10, 10, 100, 4.0) for actor in (ONE, OTHER) for place, up in enumerate(ups)]
    found = measure(both, InFlight(4, 1), 10, up=20)
    assert (found.steady, found.engines) == (False, 2)
    found = measure(both, InFlight(3, 1), 10, up=20)
    assert (found.steady, found.seconds.value) == (True, pytest.approx(4 / 200))


def test_an_engine_with_one_in_flight_is_full_while_it_has_one() -> None:
    """A second between shards of five is neither work nor full time."""
    found = measure([Beat(ONE, place, 6.0, 5.0, 10, 10, 100, 5.0) for place in range(8)], SINGLE, 10, up=50)
    assert found.seconds.value == pytest.approx(5 / 100)


def test_with_shards_of_different_size_full_is_a_matter_of_shards() -> None:
    """One in flight: large ones take no more of it than small ones, and both are part of the rate."""
    beats = [
        Beat(ONE, place, 5 + rows / 10, 5 + rows / 10, rows, rows, 0, 5 + rows / 10)
        for place, rows in enumerate([5, 15] * 4)
    ]
    found = measure(beats, SINGLE, 10, up=50)
    assert found.seconds.value == pytest.approx(48 / 80)


def test_small_shards_are_full_by_the_rows_of_their_bundles() -> None:
    """Bundles of four shards of ten rows: two of three bundles are eight shards."""
    ups = [4.0, *[0.0] * 3] * 2 + [4.0, *[0.0] * 7] * 4
    beats = [Beat(ONE, place, up, up, 10, 10, 100, 4.0) for place, up in enumerate(ups)]
    found = measure(beats, InFlight(3, 40), 10, up=30)
    assert found.seconds.value == pytest.approx(4 / 800)


def test_an_engine_that_only_looked_in_does_not_make_a_pilot_short() -> None:
    """Half idle for minutes beside one that brought a single shard: held back by what feeds them, as without it."""
    alone = beats(ONE, [20] * 10, busy=0.5)
    found = measure([*alone, *beats(OTHER, [1])], PAIR, 10, up=210)
    assert (found.steady, found.waited) == (True, True)
    assert found.feeding.value > 0
