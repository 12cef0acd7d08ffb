"""Shards: how a plan is kept, and what reading one of them promises."""

from __future__ import annotations

from pathlib import Path

import pytest

from midb_ray.errors import UserError
from midb_ray.runs import shards
from midb_ray.runs.inputs import InputFile
from midb_ray.runs.shards import Shard


def test_a_plan_is_written_and_read_in_parts(tmp_path: Path) -> None:
    plan = [
        Shard(
            number,
            "fr é.jsonl",
            "s3://b/fr",
            "lines",
            "alpaca",
            number << 33,
            10,
            1,
            number,
            2,
            [0, 3] if number % 2 else None,
        )
        for number in range(10_000)
    ]
    plan[-1] = plan[-1]._replace(error="broken")
    uri = f"{tmp_path}/plan.parquet"
    shards.write_plan(uri, [shards.to_table(plan[:6000]), shards.to_table([]), shards.to_table(plan[6000:])])
    for start, count in ((0, None), (0, 5), (4090, 10), (5999, 4001), (10_000, 5)):
        found = [shard for table in shards.read_plan(uri, start, count) for shard in shards.from_table(table)]
        assert found == plan[start : None if count is None else start + count]
    assert max(table.num_rows for table in shards.read_plan(uri)) <= 4096
    shards.write_plan(uri, [])
    assert list(shards.read_plan(uri)) == []


def test_a_plan_knows_its_files_and_a_damaged_one_says_so(tmp_path: Path) -> None:
    uri = f"{tmp_path}/plan.parquet"
    files = [InputFile("a é.jsonl", "/in/a é.jsonl", 7, "1"), InputFile("empty", "/in/empty", 0, "2")]
    shards.write_plan(uri, [], files)
    assert shards.planned_files(uri) == files
    (tmp_path / "plan.parquet").write_bytes(b"PAR1 torn")
    with pytest.raises(UserError, match=r"plan\.parquet is damaged, or no plan of midb_ray"):
        shards.planned_files(uri)


@pytest.mark.parametrize("picked", [None, [0, 2]])
def test_a_file_that_holds_fewer_rows_than_planned_loses_none_in_silence(
    tmp_path: Path, picked: list[int] | None
) -> None:
    (tmp_path / "a.jsonl").write_bytes(b"{}\n{}\n{}\n")
    rows = 3 if picked is None else 2
    shard = Shard(5, "a.jsonl", f"{tmp_path}/a.jsonl", "lines", "alpaca", 0, 8, 1, 1, rows, picked)
    assert [position for position, *_ in shards.read(shard)] == [str(1 + place) for place in picked or range(3)]
    (tmp_path / "a.jsonl").write_bytes(b"{}\n{}\n\n\n\n")
    with pytest.raises(
        UserError, match=f"has changed since it was planned: shard 5 had {rows} rows and has {rows - 1}"
    ):
        list(shards.read(shard))
