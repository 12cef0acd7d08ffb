"""The settings of the pool: what follows from the size of shards, and what is refused."""

from __future__ import annotations

import pytest

from midb_ray import config
from midb_ray.boosting.settings import BoostSettings
from midb_ray.engines.pool_settings import InFlight, PoolSettings
from midb_ray.errors import UserError


def test_shards_in_flight_follow_their_size_and_the_engine_unless_a_number_is_set() -> None:
    """Small shards travel in bundles, of which as many are inside as hold twice what the engine works on at once."""
    found = [PoolSettings().in_flight(rows, 256) for rows in (1, 8, 64, 256, 1000)]
    assert found == [(9, 64), (9, 64), (9, 64), (3, 64), (2, 64)]
    assert [PoolSettings().in_flight(256, rows) for rows in (16, 1024, 100_000)] == [(2, 4), (9, 66), (32, 6451)]
    assert [PoolSettings().in_flight(rows, 256) for rows in (32, 33, 40)] == [(9, 64), (17, 64), (14, 64)]
    assert PoolSettings().in_flight(8, 4096) == (32, 264)
    assert [PoolSettings(rows_in_flight=rows).in_flight(8, 256) for rows in (4096, 100, 3)] == [
        (32, 132),
        (14, 12),
        (2, 1),
    ]
    assert PoolSettings(shards_in_flight=5).in_flight(1, 256) == (5, 1)


@pytest.mark.parametrize("value", ["0", "65", "-1", "2.5", "all", "true"])
def test_a_number_of_shards_that_cannot_be_is_one_sentence(value: str) -> None:
    arguments = ["--input", "a", "--output", "b", "--engine.kind", "echo", "--pool.shards-in-flight", value]
    with pytest.raises(UserError) as failure:
        config.load(BoostSettings, "midb-ray boost", arguments)
    expected = f"pool.shards_in_flight: expected auto or a whole number from 1 to 64, found {value!r}."
    assert str(failure.value) == expected


def test_help_names_both_forms_of_a_setting(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        config.load(BoostSettings, "midb-ray boost", ["--help"])
    told = capsys.readouterr().out
    assert "--pool.shards-in-flight auto|INT" in told
    assert "--pool.rows-in-flight auto|INT" in told


def test_rows_in_flight_are_those_of_shards_or_of_bundles_of_small_ones() -> None:
    assert InFlight(3, 64).rows(256) == 768
    assert InFlight(9, 64).rows(10) == 540
