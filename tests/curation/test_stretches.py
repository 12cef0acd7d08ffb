"""What a selection reads: whole runs of score jobs, cut alike every time, never within a conversation."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow as pa
import pytest

from midb_ray.curation import stretches
from midb_ray.errors import UserError
from midb_ray.quality.output import SCORED_SCHEMA
from midb_ray.runs import commit
from tests.curation import select_runs
from tests.curation.select_runs import row, scored, turns


def test_stretches_cover_every_part_once_and_are_always_the_same(tmp_path: Path) -> None:
    runs = [scored(tmp_path / "a", [row(number) for number in range(2_600)], 100), scored(tmp_path / "b", [row(1)])]
    found = stretches.sources(tuple(runs), str(tmp_path / "out"))
    plan = stretches.plan(found, map)
    assert [(one.number, Path(one.run).name, one.first, one.stop, one.rows) for one in plan] == [
        (0, "a", 0, 10, 1_000),
        (1, "a", 10, 20, 1_000),
        (2, "a", 20, 26, 600),
        (3, "b", 0, 1, 1),
    ]
    stretches.write(str(tmp_path / "plan"), plan)
    assert stretches.load(str(tmp_path / "plan")) == plan == stretches.plan(found, map)


def test_a_conversation_is_never_cut_also_across_a_part_without_rows(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(stretches, "_LEAST", 4)
    rows = [*turns(1, [9] * 3), *turns(2, [9] * 9), *turns(3, [9] * 2), row(1), row(2), row(3)]
    run = scored(tmp_path / "a", rows, 2)
    (source,) = stretches.sources((run,), str(tmp_path / "out"))
    plan = stretches.plan([source], map)
    assert sum(one.rows for one in plan) == len(rows)
    whole = [{one["source_row"] for one in stretches.read(stretch, source.schema).to_pylist()} for stretch in plan]
    talks = [name for found in whole for name in found if name]
    assert len(talks) == len(set(talks)) == 3
    assert len(plan) > 1


@pytest.mark.parametrize("metadata", [None, {b"midb_ray.figures": b"{}"}])
def test_a_part_that_is_gone_or_of_other_settings_is_refused(
    tmp_path: Path, metadata: dict[bytes, bytes] | None
) -> None:
    run = scored(tmp_path / "a", [row(number) for number in range(12)])
    (source,) = stretches.sources((run,), str(tmp_path / "out"))
    part = Path(commit.part_uri(run, "pairs", 1))
    part.unlink()
    if metadata:
        pa.parquet.write_table(select_runs.table([row(1)]).replace_schema_metadata(metadata), part)
    with pytest.raises(UserError, match=r"part-00000001\.parquet is missing, damaged or of other settings"):
        stretches.plan([source], map)


def test_a_part_that_lost_rows_after_it_was_planned_is_refused(tmp_path: Path) -> None:
    run = scored(tmp_path / "a", [row(number) for number in range(12)])
    (source,) = stretches.sources((run,), str(tmp_path / "out"))
    (stretch,) = stretches.plan([source], map)
    pa.parquet.write_table(select_runs.table([row(1)]), commit.part_uri(run, "pairs", 1))
    with pytest.raises(UserError, match=r"parts 0 to 2 had 12 rows and have 8 now"):
        stretches.read(stretch, source.schema)


def test_only_whole_runs_of_score_jobs_are_read_each_once(tmp_path: Path) -> None:
    run, out = scored(tmp_path / "a", [row(1)]), str(tmp_path / "out")
    with pytest.raises(UserError, match=r"is given twice"):
        stretches.sources((run, f"{run}/"), out)
    with pytest.raises(UserError, match=r"is no run folder of a score job; select needs one"):
        stretches.sources((str(tmp_path / "empty"),), out)
    summary = json.loads(Path(run, "summary.json").read_text())
    Path(run, "summary.json").write_text(json.dumps({**summary, "complete": False}))
    with pytest.raises(UserError, match=r"is not complete"):
        stretches.sources((run,), out)


def test_runs_of_different_versions_are_put_together_column_by_column(tmp_path: Path) -> None:
    older = pa.schema([field for field in SCORED_SCHEMA if field.name not in ("source_row", "turn", "context")])
    runs = scored(tmp_path / "a", [row(1)], schema=older), scored(tmp_path / "b", turns(2, [50]))
    found = stretches.sources(runs, str(tmp_path / "out"))
    columns = stretches.schema(found)
    assert set(columns.names) == set(SCORED_SCHEMA.names)
    table = pa.concat_tables(
        stretches.aligned(stretches.read(one, found[one.number].schema), columns) for one in stretches.plan(found, map)
    )
    assert table.column("source_row").to_pylist() == [None, "talk.jsonl:2"]
    other = pa.schema(
        [field.with_type(pa.int64()) if field.name == "judge_notes" else field for field in SCORED_SCHEMA]
    )
    changed = stretches.sources((runs[1], scored(tmp_path / "c", [row(1)], schema=other)), str(tmp_path / "out"))
    with pytest.raises(UserError, match=r"different columns"):
        stretches.schema(changed)


def test_a_run_without_scores_is_refused(tmp_path: Path) -> None:
    bare = pa.schema([field for field in SCORED_SCHEMA if field.name != "overall"])
    with pytest.raises(UserError, match=r"has no column 'overall'"):
        stretches.sources((scored(tmp_path / "a", [row(1)], schema=bare),), str(tmp_path / "out"))
