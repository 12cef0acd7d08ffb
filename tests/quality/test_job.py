"""The score job from end to end on real input, with a real cluster and no engine."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pyarrow.dataset as ds
import pytest
import ray

from midb_ray import cli
from midb_ray.errors import ExitCode
from midb_ray.pairs import DEAD_LETTER_SCHEMA
from midb_ray.quality.output import SCORED_SCHEMA
from tests.boosting.jobs import wait_until

pytestmark = pytest.mark.usefixtures("ray_cluster")

SOURCE = {
    "source_instruction": "How high is the tower?",
    "source_response": "The tower is 48 metres high and stands by the harbour.",
}
GOOD = "Der Turm ist 48 Meter hoch und steht am Hafen."
WRONG = "Der Turm ist 84 Meter hoch und steht am Hafen."


def write(path: Path, responses: list[str], **more: object) -> Path:
    with path.open("w", encoding="utf-8") as file:
        for number, response in enumerate(responses):
            row = {"id": f"id-{number}", "instruction": "Wie hoch ist der Turm?", "output": response, "language": "de"}
            file.write(json.dumps({**row, **more}, ensure_ascii=False) + "\n")
    return path


def score(output: Path, *arguments: object) -> int:
    return cli.score(["--output", str(output), *map(str, arguments)])


def rows(run: Path) -> list[dict[str, Any]]:
    found = ds.dataset(run / "pairs", format="parquet").to_table()
    assert found.schema.equals(SCORED_SCHEMA)
    return list(found.to_pylist())


def summary(run: Path) -> dict[str, Any]:
    return dict(json.loads((run / "summary.json").read_text()))


def test_every_pair_comes_out_once_with_scores_and_what_they_rest_on(tmp_path: Path) -> None:
    corpus = write(tmp_path / "a.jsonl", [GOOD, WRONG] * 20, **SOURCE)
    with corpus.open("a") as file:
        file.write("no JSON\n")
    assert score(tmp_path / "run", "--input", corpus, "--shard-rows", 7, "--max-dead-letters", "0.1") == 0
    found = sorted(rows(tmp_path / "run"), key=lambda row: int(row["id"].split("-")[1]))
    assert [row["row"] for row in found] == [f"{corpus}:{line}" for line in range(1, 41)]
    for row in found:
        assert row["has_source"]
        assert json.loads(row["extra"]) == SOURCE
        if row["response"] == GOOD:
            assert (row["translation"], row["localisation"], row["findings"]) == (100, 100, [])
            assert row["content"] == pytest.approx(80 + 20 * row["richness"], abs=0.01)
            continue
        assert (row["content"] > 80, row["localisation"]) == (True, 100)
        assert row["translation"] < 100 > row["overall"]
        (one,) = row["findings"]
        assert (one["kind"], one["section"], one["text"], one["suggestion"]) == ("lost_number", "response", "48", None)
    told = summary(tmp_path / "run")
    assert (told["job"], told["complete"], told["rows_in"], told["dead_letters"]) == ("score", True, 41, 1)
    assert told["decisions"] == {"de": {"flawed": 20, "sound": 20}}
    assert told["reasons"] == {"de": {"lost_number": 20}}
    dead = ds.dataset(tmp_path / "run" / "dead_letters", format="parquet").to_table()
    assert dead.schema.equals(DEAD_LETTER_SCHEMA)
    assert dead.column("raw").to_pylist() == [b"no JSON"]


def test_a_finished_run_is_left_alone_and_other_columns_are_refused(tmp_path: Path, capsys) -> None:
    corpus = write(tmp_path / "a.jsonl", [GOOD] * 12, **SOURCE)
    run = tmp_path / "run"
    assert score(run, "--input", corpus, "--shard-rows", 5) == 0
    before = {path: path.stat().st_mtime_ns for path in (run / "pairs").iterdir()}
    assert score(run, "--input", corpus, "--shard-rows", 5) == 0
    assert {path: path.stat().st_mtime_ns for path in (run / "pairs").iterdir()} == before
    assert score(run, "--input", corpus, "--shard-rows", 5, "--source.response", "english") == ExitCode.USER_ERROR
    assert 'source.response was "source_response", is now "english"' in capsys.readouterr().err
    assert score(tmp_path / "other", "--input", corpus, "--source.language", "Klingon") == ExitCode.USER_ERROR
    assert "Unknown language 'Klingon'" in capsys.readouterr().err
    assert not (tmp_path / "other").exists()


def test_what_boost_wrote_can_be_scored_and_a_scored_corpus_scored_again(tmp_path: Path) -> None:
    corpus = write(tmp_path / "a.jsonl", [GOOD, "Der Turm  ist hoch und steht am Hafen"], **SOURCE)
    assert cli.boost(["--engine.kind", "echo", "--input", str(corpus), "--output", str(tmp_path / "boosted")]) == 0
    assert score(tmp_path / "scored", "--input", tmp_path / "boosted" / "pairs") == 0
    first = rows(tmp_path / "scored")
    assert [row["has_source"] for row in first] == [True, True]
    assert [[one["text"] for one in row["findings"]] for row in first] == [[], ["48"]]
    assert score(tmp_path / "again", "--input", tmp_path / "scored" / "pairs") == 0
    names = ("id", "content", "translation", "localisation", "overall", "findings")
    assert [[row[name] for name in names] for row in rows(tmp_path / "again")] == [
        [row[name] for name in names] for row in first
    ]


def test_an_empty_corpus_has_an_empty_output(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text("")
    assert score(tmp_path / "run", "--input", tmp_path / "a.jsonl") == 0
    assert rows(tmp_path / "run") == []


def test_a_killed_job_goes_on_and_counts_every_pair_once(tmp_path: Path) -> None:
    corpus, run = write(tmp_path / "a.jsonl", [GOOD, WRONG] * 600, **SOURCE), tmp_path / "run"
    command = [sys.executable, "-m", "midb_ray.cli", "score", "--input", str(corpus), "--output", str(run)]
    command += ["--shard-rows", "10"]
    address = ray.get_runtime_context().gcs_address
    job = subprocess.Popen(command, env={**os.environ, "RAY_ADDRESS": address}, start_new_session=True)
    wait_until(lambda: len(list((run / "pairs").glob("part-*"))) >= 5, job)
    os.killpg(job.pid, signal.SIGKILL)
    job.wait()
    assert not (run / "summary.json").exists()
    done = {path: path.stat().st_mtime_ns for path in (run / "pairs").glob("part-*.parquet")}
    assert score(run, "--input", corpus, "--shard-rows", 10) == 0
    assert all(path.stat().st_mtime_ns == time for path, time in done.items())
    assert sorted(row["id"] for row in rows(run)) == sorted(f"id-{number}" for number in range(1200))
    assert summary(run)["decisions"] == {"de": {"flawed": 600, "sound": 600}}
