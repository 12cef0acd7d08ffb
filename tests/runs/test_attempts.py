"""The record of attempts: deaths close in on the poisonous row, innocent rows always run."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from midb_ray.runs import attempts
from midb_ray.runs.attempts import Attempt


def take_through(run: Path, rows: int, poison: set[int]) -> tuple[set[int], int]:
    """Run a shard in processes that die of poisonous rows until one survives; the rows that came through, and the deaths."""
    for deaths in range(10_000):
        attempt = Attempt(str(run), 7)
        assert attempt.suspect == (deaths > 0)
        done: set[int] = set()
        for first, last in attempt.parts(rows):
            attempt.begin((first, last))
            if poison & set(range(first, last)):
                break  # the process dies here
            assert not done & set(range(first, last))
            done |= set(range(first, last))
        else:
            attempt.survived()
            attempt.close()
            return done, deaths
    raise AssertionError("the shard never came through")


@settings(max_examples=40)
@given(rows=st.integers(0, 300), places=st.sets(st.integers(0, 299), max_size=3), parts=st.sampled_from([2, 3, 16]))
def test_all_rows_but_the_poisonous_ones_come_through(
    tmp_path_factory: pytest.TempPathFactory, rows: int, places: set[int], parts: int
) -> None:
    run = tmp_path_factory.mktemp("run")
    poison = {place for place in places if place < rows}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(attempts, "PARTS", parts)
        patch.setattr(os, "fsync", lambda _: None)  # a thousand records are written here, and no power fails
        done, deaths = take_through(run, rows, poison)
    assert done == set(range(rows)) - poison
    assert (deaths > 0) == bool(poison)
    assert list((run / "attempts").glob("*")) == []


def test_one_poisonous_row_in_a_full_shard_costs_four_deaths(tmp_path: Path) -> None:
    assert take_through(tmp_path, 256, {200}) == (set(range(256)) - {200}, 4)  # 256, 16, 1 and 1 again


def test_a_death_that_could_not_be_written_at_once_is_one_death(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write, refusals = attempts.storage.write_bytes, [OSError("503 Slow Down")] * 2

    def refusing(*arguments: object, **more: object) -> None:
        if refusals:
            raise refusals.pop()
        write(*arguments, **more)

    monkeypatch.setattr(attempts.storage, "write_bytes", refusing)
    attempt = Attempt(str(tmp_path), 0)
    for _ in range(2):
        with pytest.raises(OSError, match="503"):
            attempt.died((0, 1))
    attempt.died((0, 1))
    assert Attempt(str(tmp_path), 0).deaths == [(0, 1)]


def test_a_single_row_is_given_up_after_two_deaths_of_its_own(tmp_path: Path) -> None:
    for deaths, parts in ((0, [(0, 1)]), (1, [(0, 1)]), (2, [])):
        attempt = Attempt(str(tmp_path), 0)
        assert (len(attempt.deaths), attempt.parts(1)) == (deaths, parts)
        attempt.begin((0, 1))


def test_a_neighbours_death_costs_an_innocent_shard_nothing_but_time(tmp_path: Path) -> None:
    Attempt(str(tmp_path), 0).begin((0, 40))
    again = Attempt(str(tmp_path), 0)
    assert again.suspect
    assert [row for first, last in again.parts(40) for row in range(first, last)] == list(range(40))
    assert not Attempt(str(tmp_path), 1).suspect


def test_a_shard_with_other_rows_than_before_still_runs_whole(tmp_path: Path) -> None:
    Attempt(str(tmp_path), 0).begin((0, 40))
    assert Attempt(str(tmp_path), 0).parts(39) == [(0, 39)]
    assert Attempt(str(tmp_path), 0).parts(0) == []


@pytest.mark.parametrize(
    "record",
    [
        b"",
        b'{"deaths": [[0, 2]], "run',
        b"[]",
        b"null",
        b'{"deaths": 3, "running": null}',
        b'{"deaths": [[1]]}',
        b"\xff",
    ],
)
def test_a_record_that_cannot_be_understood_stops_nothing(tmp_path: Path, record: bytes) -> None:
    (tmp_path / "attempts").mkdir()
    (tmp_path / "attempts" / "00000003.json").write_bytes(record)
    attempt = Attempt(str(tmp_path), 3)
    assert (attempt.suspect, attempt.parts(5)) == (False, [(0, 5)])
    attempt.begin((0, 5))
    assert Attempt(str(tmp_path), 3).deaths == [(0, 5)]


def test_a_run_that_was_told_to_stop_leaves_no_shard_more_suspect_than_before(tmp_path: Path) -> None:
    attempts.forgive(str(tmp_path))  # nothing has run yet
    innocent, guilty, whole = (Attempt(str(tmp_path), shard) for shard in (1, 2, 3))
    innocent.begin((0, 9))
    guilty.died((0, 9))
    Attempt(str(tmp_path), 2).begin((0, 1))
    whole.begin((0, 9))
    (tmp_path / "attempts" / "00000003.json").write_text("{")
    attempts.forgive(str(tmp_path))
    assert Attempt(str(tmp_path), 1).deaths == []
    assert Attempt(str(tmp_path), 2).deaths == [(0, 9)]
    assert sorted(path.name for path in (tmp_path / "attempts").iterdir()) == ["00000002.json", "00000003.json"]
