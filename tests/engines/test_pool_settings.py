"""The settings of the pool: what follows from the size of shards, and what is refused."""

from __future__ import annotations

import pytest

from midb_ray import config
from midb_ray.boosting.settings import BoostSettings
from midb_ray.engines.pool_settings import PoolSettings
from midb_ray.errors import UserError


def test_shards_in_flight_follow_the_size_of_shards_unless_a_number_is_set() -> None:
    assert [PoolSettings().in_flight(rows) for rows in (1, 8, 64, 256, 1000)] == [16, 16, 9, 3, 2]
    assert PoolSettings(rows_in_flight=2048).in_flight(256) == 9
    assert PoolSettings(shards_in_flight=5).in_flight(1) == 5


def test_small_shards_travel_together_unless_their_number_is_set_or_few_rows_are_to_be_at_hand() -> None:
    assert [PoolSettings(rows_in_flight=rows).rows_together() for rows in (512, 4096, 100, 3)] == [64, 64, 12, 1]
    assert PoolSettings(shards_in_flight=5).rows_together() == 1


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
    assert "--pool.shards-in-flight auto|INT" in capsys.readouterr().out
