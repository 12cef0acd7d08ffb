"""What a selection writes: every row once, kept whole or left out with the reason, and done only where both files say so."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from midb_ray.curation import choice, select_output, stretches
from midb_ray.curation.select_output import Verdicts
from midb_ray.runs import commit, earlier
from tests.curation.select_runs import row, scored, turns, work


def written(tmp_path: Path) -> tuple[stretches.Stretch, object]:
    """A selection from one stretch: a pair of each verdict, and a conversation that is left out for one turn."""
    rows = [
        row(1),
        row(2, score=40, content=90),
        row(3, kinds=["echo", "refusal", "character"]),
        row(4),
        *turns(5, [90, 30]),
        *turns(6, [90, 90]),
    ]
    found, (stretch,) = work(
        tmp_path,
        [scored(tmp_path / "a", rows)],
        at_least={"overall": 50, "translation": 50},
        without=("refusal", "echo"),
    )
    verdict = np.array(
        [choice.KEPT, choice.THRESHOLD, choice.FINDING, choice.DUPLICATE, choice.THRESHOLD, choice.KEPT], np.uint8
    )
    duplicate_of = pa.array([None, None, None, "corpus.jsonl:1", None, None], pa.large_string())
    columns = found.columns[stretch.run]
    select_output.write(found, columns, Verdicts(stretch, verdict, duplicate_of))
    return stretch, found


def test_rows_are_kept_as_they_were_or_left_out_with_why(tmp_path: Path) -> None:
    stretch, work_done = written(tmp_path)
    run = work_done.run.uri
    before = {one["row"]: one for one in stretches.read(stretch, work_done.columns[stretch.run]).to_pylist()}
    kept = pq.read_table(commit.part_uri(run, "pairs", 0)).to_pylist()
    out = pq.read_table(commit.part_uri(run, "excluded", 0)).to_pylist()
    assert [one["row"] for one in kept] == ["corpus.jsonl:1", "talk.jsonl:6#1", "talk.jsonl:6#2"]
    assert kept == [before[one["row"]] for one in kept]
    assert [(one["row"], one.pop("reason"), one.pop("detail"), one.pop("duplicate_of")) for one in out] == [
        ("corpus.jsonl:2", "threshold", "overall translation", None),
        ("corpus.jsonl:3", "finding", "echo refusal", None),
        ("corpus.jsonl:4", "duplicate", None, "corpus.jsonl:1"),
        ("talk.jsonl:5#1", "threshold", "overall translation", None),
        ("talk.jsonl:5#2", "threshold", "overall translation", None),
    ]
    assert out == [before[one["row"]] for one in out]


def test_a_selection_is_read_like_a_run_of_score(tmp_path: Path) -> None:
    stretch, work_done = written(tmp_path)
    schema = work_done.columns[stretch.run]
    assert earlier.table(work_done.run.uri, commit.PAIRS, schema, 0).num_rows == 3
    part = commit.read_part(work_done.run.uri, 0)
    assert part is not None
    assert (part.digest, part.figures.rows_out, part.figures.balanced) == (work_done.run.digest, 3, True)
    assert pq.read_table(commit.part_uri(work_done.run.uri, commit.DEAD_LETTERS, 0)).num_rows == 0


def test_the_books_count_languages_and_reasons(tmp_path: Path) -> None:
    stretch, work_done = written(tmp_path)
    done, figures = select_output.done(work_done.run, [stretch])
    assert done.tolist() == [True]
    assert figures.decisions == {"de": {"kept": 3, "excluded": 5}}
    assert figures.reasons == {"de": {"threshold": 3, "finding": 1, "duplicate": 1}}


@pytest.mark.parametrize("name", ["pairs", "excluded"])
@pytest.mark.parametrize("harm", ["gone", "torn", "a row less", "of another run"])
def test_a_part_is_done_only_if_both_files_hold_what_they_say(tmp_path: Path, name: str, harm: str) -> None:
    stretch, work_done = written(tmp_path)
    path = Path(commit.part_uri(work_done.run.uri, name, 0))
    table = pq.read_table(path)
    if harm == "gone":
        path.unlink()
    elif harm == "torn":
        path.write_bytes(path.read_bytes()[:-20])
    elif harm == "a row less":
        pq.write_table(table.slice(1), path)
    else:
        metadata = {**(table.schema.metadata or {}), b"midb_ray.fingerprint": b"another"}
        pq.write_table(table.replace_schema_metadata(metadata), path)
    assert select_output.done(work_done.run, [stretch])[0].tolist() == [False]


def test_a_stretch_without_rows_is_written_too(tmp_path: Path) -> None:
    found, (stretch,) = work(tmp_path, [scored(tmp_path / "a", [])])
    nothing = Verdicts(stretch, np.empty(0, np.uint8), pa.array([], pa.large_string()))
    select_output.write(found, found.columns[stretch.run], nothing)
    assert select_output.done(found.run, [stretch])[0].tolist() == [True]
