"""Buckets: rows with equal keys meet, whole or not at all, and again the same."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from midb_ray.errors import UserError
from midb_ray.runs import buckets, storage
from midb_ray.runs.buckets import Buckets

SCHEMA = pa.schema([("key", pa.uint64()), ("text", pa.large_string())])


def rows(keys: list[int], task: int = 0) -> pa.Table:
    """Rows that name their task and place."""
    texts = [f"{task}:{place}" for place in range(len(keys))]
    return pa.table([pa.array(keys, pa.uint64()), pa.array(texts, pa.large_string())], schema=SCHEMA)


def test_rows_with_equal_keys_meet_and_none_is_lost_or_doubled(tmp_path: Path) -> None:
    place = Buckets(str(tmp_path / "b"), 7)
    keys = [[number * 31 % 50 for number in range(start, start + 40)] for start in (0, 20, 40)]
    for task, some in enumerate(keys):
        buckets.write(place, task, rows(some, task))
    found = [buckets.read(place, range(3), bucket) for bucket in range(7)]
    homes: dict[int, set[int]] = {}
    for bucket, table in enumerate(found):
        for key in table.column("key").to_pylist():
            homes.setdefault(key, set()).add(bucket)
    assert all(len(home) == 1 for home in homes.values())
    assert len({min(home) for home in homes.values()}) == 7
    told = [text for table in found for text in table.column("text").to_pylist()]
    assert sorted(told) == sorted(f"{task}:{place}" for task in range(3) for place in range(40))


def test_a_bucket_has_its_rows_in_the_order_of_tasks_and_of_each_task(tmp_path: Path) -> None:
    place = Buckets(str(tmp_path), 1)
    for task in (1, 0):
        buckets.write(place, task, rows([9, 3, 7], task))
    assert buckets.read(place, [0, 1], 0).column("text").to_pylist() == ["0:0", "0:1", "0:2", "1:0", "1:1", "1:2"]


def test_a_task_that_is_tried_again_leaves_the_same_bytes(tmp_path: Path) -> None:
    place = Buckets(str(tmp_path), 3)
    buckets.write(place, 0, rows([1, 2, 3]))
    (before,) = (path.read_bytes() for path in tmp_path.iterdir())
    buckets.write(place, 0, rows([1, 2, 3]))
    assert [path.read_bytes() for path in tmp_path.iterdir()] == [before]


def test_a_task_without_rows_is_written_and_read_like_others(tmp_path: Path) -> None:
    place = Buckets(str(tmp_path), 2)
    assert buckets.written(place) == set()
    buckets.write(place, 0, SCHEMA.empty_table())
    buckets.write(place, 12, rows([5]))
    assert buckets.written(place) == {0, 12}
    assert sum(buckets.read(place, [0, 12], bucket).num_rows for bucket in (0, 1)) == 1


def test_a_file_that_is_missing_or_damaged_is_never_taken_for_no_rows(tmp_path: Path) -> None:
    place = Buckets(str(tmp_path), 2)
    buckets.write(place, 0, rows(list(range(200))))
    with pytest.raises(FileNotFoundError):
        buckets.read(place, [0, 1], 0)
    (path,) = tmp_path.iterdir()
    os.truncate(path, path.stat().st_size // 2)
    with pytest.raises(UserError, match=r"task-00000000\.arrow is damaged"):
        buckets.read(place, [0], 0)


def test_another_number_of_buckets_is_refused(tmp_path: Path) -> None:
    buckets.write(Buckets(str(tmp_path), 2), 0, rows([1]))
    with pytest.raises(UserError, match=r"has 2 buckets, expected 3"):
        buckets.read(Buckets(str(tmp_path), 3), [0], 0)


def test_buckets_lie_on_an_object_store_and_go_with_their_folder(s3: str) -> None:
    place = Buckets(f"{s3}/run/buckets", 4)
    for task in range(3):
        buckets.write(place, task, rows([task, 7], task))
    assert buckets.written(place) == {0, 1, 2}
    home = int(buckets.of(np.array([7], np.uint64), 4)[0])
    sevens = [row["text"] for row in buckets.read(place, range(3), home).to_pylist() if row["key"] == 7]
    assert sevens == ["0:1", "1:1", "2:1"]
    buckets.delete(place)
    assert storage.list_files(f"{s3}/run", recursive=True) == []


@given(st.lists(st.integers(0, 2**64 - 1)), st.integers(1, 1024))
def test_every_key_has_a_bucket_and_always_the_same(keys: list[int], count: int) -> None:
    found = buckets.of(np.array(keys, np.uint64), count)
    assert ((found >= 0) & (found < count)).all()
    assert (found == buckets.of(np.array(keys, np.uint64), count)).all()


def test_keys_that_follow_each_other_spread_evenly() -> None:
    for keys in (np.arange(100_000, dtype=np.uint64), np.arange(100_000, dtype=np.uint64) << np.uint64(32)):
        sizes = np.bincount(buckets.of(keys, 64), minlength=64)
        assert sizes.min() > 1_000
        assert sizes.max() < 2_200


def test_there_are_as_many_buckets_as_keep_each_small() -> None:
    assert [buckets.enough(rows, 1_000) for rows in (0, 10_000, 671_089, 100_000_000)] == [1, 1, 10, 1_024]
