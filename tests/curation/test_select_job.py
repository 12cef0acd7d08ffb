"""The select job from end to end, with a real cluster: options, books, resume, object stores, and the order of runs."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import ray

from midb_ray import cli
from midb_ray.curation import lineage
from midb_ray.errors import ExitCode
from tests.boosting.jobs import wait_until
from tests.curation.select_runs import EXCLUDED, read, row, scored, text, turns

pytestmark = pytest.mark.usefixtures("ray_cluster")


def select(output: Path | str, *arguments: object) -> int:
    return cli.select(["--output", str(output), *map(str, arguments)])


def corpus() -> list[dict[str, Any]]:
    """Two languages with scores from 0 to 99, of which each fifth pair is a near duplicate of the one before, and conversations."""
    rows = []
    for number in range(300):
        language, score = ("de", "fr")[number % 2], float(number * 37 % 100)
        kinds = ["refusal"] if number % 11 == 0 else []
        rows.append(row(number, language, score, kinds, response=text(number, 30)))
        if number % 5 == 0:
            rows.append(
                row(1000 + number, language, score - 1, response=text(number, 30) + " Thus.", **_instruction(number))
            )
    return rows + [turn for number in range(20) for turn in turns(number, [90.0, 5.0 * number])]


def _instruction(number: int) -> dict[str, Any]:
    return {"instruction": row(number)["instruction"]}


def test_every_row_is_kept_or_left_out_with_a_reason_and_the_best_stay(tmp_path: Path) -> None:
    rows, run = corpus(), tmp_path / "selected"
    given = scored(tmp_path / "scored", rows, 16)
    rules = ["--at-least.overall", 20, "--without", "refusal", "--keep", 0.7, "--limit", 70]
    assert select(run, "--input", given, *rules) == 0
    kept, out = read(run), read(run, EXCLUDED)
    assert Counter(one["row"] for one in [*kept, *out]) == Counter(one["row"] for one in rows)
    by_row = {one["row"]: one for one in rows}
    for one in out:
        talk = [turn for turn in rows if one["turn"] and turn.get("source_row") == one["source_row"]] or [one]
        if one["reason"] == "threshold":
            assert min(turn["overall"] for turn in talk) < 20
        elif one["reason"] == "finding":
            assert "refusal" in {finding["kind"] for finding in one["findings"]}
        elif one["reason"] == "duplicate":
            assert by_row[one["duplicate_of"]]["overall"] >= one["overall"]
    reasons = Counter(one["reason"] for one in out)
    assert set(reasons) == {"threshold", "finding", "duplicate", "score", "limit"}
    told = json.loads((run / "summary.json").read_text())
    assert (told["complete"], told["rows"], told["rows_out"], told["excluded"]) == (
        True,
        len(rows),
        len(kept),
        len(out),
    )
    assert told["reasons"] == dict(reasons)
    for language, counts in told["languages"].items():
        mine = [one for one in kept if one["language"] == language]
        assert counts["kept"] == len(mine) <= 70
        assert counts["rows"] == sum(one["language"] == language for one in rows)
        alone = [one for one in out if one["language"] == language and one["turn"] is None]
        cut = [one["overall"] for one in alone if one["reason"] in ("score", "limit")]
        assert max(cut) <= min(one["overall"] for one in mine if one["turn"] is None)
    whole = Counter(one["source_row"] for one in kept if one["turn"])
    assert set(whole.values()) <= {2}
    assert not (run / "buckets").exists()
    assert lineage.trace(str(run))[0].excluded == dict(reasons)


def test_a_selection_is_the_same_whatever_the_order_of_runs_and_the_size_of_parts(tmp_path: Path) -> None:
    rows = corpus()[:360]
    rules = ["--keep", 0.6, "--diversity.pairs", 40]
    first = [scored(tmp_path / "a", rows[:100], 9), scored(tmp_path / "b", rows[100:], 50)]
    second = [scored(tmp_path / "c", rows[100:][::-1], 33), scored(tmp_path / "d", rows[:100], 100)]
    found = []
    for name, runs in (("one", first), ("two", second)):
        assert select(tmp_path / name, "--input", *runs, *rules) == 0
        told = [(one["row"], None, None) for one in read(tmp_path / name)]
        told += [(one["row"], one["reason"], one["duplicate_of"]) for one in read(tmp_path / name, EXCLUDED)]
        found.append(sorted(told, key=str))
    assert found[0] == found[1]


def test_a_finished_selection_is_left_alone_and_other_rules_are_refused(tmp_path: Path, capsys) -> None:
    given, run = scored(tmp_path / "scored", [row(number) for number in range(9)]), tmp_path / "selected"
    assert select(run, "--input", given, "--keep", 0.5) == 0
    before = {path: path.stat().st_mtime_ns for path in run.rglob("*.parquet")}
    assert select(run, "--input", given, "--keep", 0.5) == 0
    assert {path: path.stat().st_mtime_ns for path in run.rglob("*.parquet")} == before
    assert select(run, "--input", given, "--keep", 0.9) == ExitCode.USER_ERROR
    assert "keep was 0.5, is now 0.9; start over with --fresh, or give another --output" in capsys.readouterr().err
    assert select(run, "--input", given, "--keep", 0.9, "--fresh") == 0
    assert len(read(run)) == 9
    assert select(tmp_path / "again", "--input", run) == ExitCode.USER_ERROR
    assert "is no run folder of a score job" in capsys.readouterr().err


def test_a_part_that_is_lost_is_written_again_and_no_other(tmp_path: Path) -> None:
    given, run = scored(tmp_path / "scored", [row(number) for number in range(2_500)], 100), tmp_path / "selected"
    assert select(run, "--input", given, "--keep", 0.5) == 0
    kept, (first, second, third) = read(run), sorted((run / "pairs").iterdir())
    times = [first.stat().st_mtime_ns, third.stat().st_mtime_ns]
    second.unlink()
    Path(given).rename(tmp_path / "elsewhere")  # a run is known by what it holds, not by where it lies
    assert select(run, "--input", tmp_path / "elsewhere", "--keep", 0.5) == 0
    assert read(run) == kept
    assert [first.stat().st_mtime_ns, third.stat().st_mtime_ns] == times


def test_a_dry_run_starts_and_writes_nothing(tmp_path: Path) -> None:
    given = scored(tmp_path / "scored", [row(1)])
    assert select(tmp_path / "out", "--input", given, "--dry-run") == 0
    assert not (tmp_path / "out").exists()


def test_runs_without_pairs_make_an_empty_selection(tmp_path: Path) -> None:
    assert select(tmp_path / "out", "--input", scored(tmp_path / "scored", [])) == 0
    assert read(tmp_path / "out") == []


def test_a_job_that_is_killed_at_every_stage_comes_to_the_same_end(tmp_path: Path) -> None:
    rows = [row(number, score=float(number % 97), response=text(number % 2_000, 30)) for number in range(2_400)]
    given, run = scored(tmp_path / "scored", rows, 200), tmp_path / "selected"
    command = [sys.executable, "-m", "midb_ray.cli", "select", "--input", given, "--output", str(run), "--keep", "0.5"]
    address = ray.get_runtime_context().gcs_address
    for stage in ("buckets/*/units/stretch-*", "buckets/*/pairs/bucket-*", "pairs/part-*"):
        job = subprocess.Popen(command, env={**os.environ, "RAY_ADDRESS": address}, start_new_session=True)
        wait_until(lambda stage=stage: any(run.glob(stage)), job)
        os.killpg(job.pid, signal.SIGKILL)
        job.wait()
        assert not (run / "summary.json").exists()
    assert select(run, "--input", given, "--keep", 0.5) == 0
    assert select(tmp_path / "undisturbed", "--input", given, "--keep", 0.5) == 0
    assert read(run) == read(tmp_path / "undisturbed")
    assert read(run, EXCLUDED) == read(tmp_path / "undisturbed", EXCLUDED)
    assert not (run / "buckets").exists()
