"""Gate, trying again, samples and caps in whole jobs."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow.dataset as ds
import pytest

from midb_ray import cli
from midb_ray.boosting import again
from midb_ray.corpora import summary
from midb_ray.errors import ExitCode

pytestmark = pytest.mark.usefixtures("ray_cluster")


def boost(output: Path, *arguments: object) -> int:
    return cli.boost(["--output", str(output), "--shard-rows", "8", *map(str, arguments)])


def rows(run: Path) -> list[dict[str, object]]:
    """The output in the order of its parts."""
    found: list[dict[str, object]] = ds.dataset(run / "pairs").to_table().to_pylist()
    return found


def test_what_failed_is_tried_again_and_the_rest_goes_over(tmp_path, make_corpus, books, listen, capsys) -> None:
    corpus, first, second = make_corpus(60), tmp_path / "first", tmp_path / "second"
    with corpus.open("a") as file:
        file.write("no JSON\n")
        file.write(
            '{"instruction": "Qui va là ?", "output": "Personne, sinon le vent dans la cheminée.", "language": "fr"}\n'
        )
    echo = ["--engine.kind", "echo", "--max-dead-letters", "0.1", "--caps.engine-errors", "0.5"]
    failing = [*echo, "--input", corpus, "--gate.languages", "fr", "--engine.echo-fail-on", "Nummer 1"]
    assert boost(first, *failing) == 0
    before = books(first)
    assert before.summary["decisions"]["de"]["kept_original"] == 11
    assert before.summary["decisions"]["fr"] == {"skipped": 1}

    retry = [*echo, "--input", first, "--only", "kept_original:engine_error", "--engine.temperature", 1, "--samples", 2]
    told, planned = listen(summary), listen(again)
    assert boost(second, *retry, "--caps.hours", 9, "--gate.languages", "ja", "--dry-run") == 0
    assert planned == ["Again: 11 of 61 pairs are tried, the others go over as they are, with 1 dead letters."]
    shown = " ".join(told)
    for words in ("tried again: kept_original:engine_error", "samples: 2", "have language ja", "caps: 9 hours"):
        assert words in shown
    assert not second.exists()

    assert boost(second, *retry) == 0
    after = books(second)
    assert [row["row"] for row in rows(second)] == [row["row"] for row in rows(first)]
    assert after.rows == before.rows
    assert after.dead_letters.to_pylist() == before.dead_letters.to_pylist()
    for old, new in zip(rows(first), rows(second), strict=True):
        assert (new["decision"] == "boosted") if old["decision"] == "kept_original" else new == old
    assert after.summary["again"] == {"run": str(first), "only": ["kept_original:engine_error"]}
    assert (after.summary["complete"], after.summary["decisions"]["fr"]) == (True, {"skipped": 1})

    times = {path: path.stat().st_mtime_ns for path in (second / "pairs").iterdir()}
    assert boost(second, *retry) == 0
    assert {path: path.stat().st_mtime_ns for path in (second / "pairs").iterdir()} == times
    for more, sentence in (
        (["--only", "unchanged"], "only was"),
        (["--samples", "3"], "go on knowingly with --accept samples"),
        (["--output", first], "are not apart; give another --output"),
        (["--input", corpus], "found 2 inputs"),
    ):
        assert boost(second, *retry, *more) == ExitCode.USER_ERROR
        error = capsys.readouterr().err
        assert sentence in error
        assert error.count("\n") == 1
    next((first / "pairs").iterdir()).touch()
    assert boost(second, *retry) == ExitCode.USER_ERROR
    assert f"Input '{first}' has changed since the run in" in capsys.readouterr().err


@pytest.mark.slow
def test_a_run_stops_at_its_cap_says_why_and_goes_on_with_a_higher_one(tmp_path, make_corpus, books, booster) -> None:
    corpus, run = make_corpus(320), tmp_path / "run"
    model = ["--input", corpus, "--engine.model", booster, "--engine.device", "cpu", "--engine.threads", 1]
    model += ["--engine.max-new-tokens", 4, "--engine.temperature", 1, "--samples", 2, "--pool.shards-in-flight", 2]
    assert boost(run, *model, "--caps.tokens", 100) == ExitCode.CAPPED
    found = json.loads((run / "summary.json").read_text())
    done = {path: path.stat().st_mtime_ns for path in (run / "pairs").iterdir()}
    assert 0 < found["rows_in"] == 8 * len(done) < 320  # what was in flight is whole, and nothing else began
    assert not found["complete"]
    assert found["stopped"].endswith(" tokens of 100 (caps.tokens)")
    assert found["answer_tokens"] >= 100
    progress = json.loads((run / "progress.json").read_text())
    assert (progress["state"], progress["reason"]) == ("stopped", found["stopped"])
    assert books(run).left_over == []

    spent = (run / "spent.json").read_text()
    assert boost(run, *model, "--caps.tokens", 100) == ExitCode.CAPPED  # reached already: no engine is started
    assert (run / "spent.json").read_text() == spent
    assert boost(run, *model) == 0
    assert {path: path.stat().st_mtime_ns for path in done} == done
    whole = books(run)
    assert whole.rows == sorted(f"{corpus}:{line}" for line in range(1, 321))
    assert (whole.summary["complete"], "stopped" in whole.summary) == (True, False)
    assert whole.summary["answer_tokens"] == sum(whole.pairs.column("answer_tokens").to_pylist())
