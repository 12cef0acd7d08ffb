"""The score job with a judge behind a real server that stumbles."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow.dataset as ds
import pytest

from midb_ray import cli
from midb_ray.errors import ExitCode
from midb_ray.quality.output import SCORED_SCHEMA
from tests.engines.openai_server import Books, serving
from tests.quality.test_job import GOOD, SOURCE, WRONG, rows, summary, write
from tests.quality.test_judge import answer

pytestmark = pytest.mark.usefixtures("ray_cluster")

FAULTS = ("500", "429", "hang", "malformed", "reset")
UNREADABLE = "Turm Nummer 7 "


@pytest.fixture(autouse=True)
def no_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)


def score(books: Books, corpus: Path, run: Path, *arguments: object) -> int:
    engine = ["--engine.kind", "openai", "--engine.model", "judge", "--engine.openai.base-url", books.url]
    engine += [
        "--engine.openai.request-timeout",
        "0.4",
        "--engine.openai.backoff",
        "0.01",
        "--engine.openai.retries",
        "20",
    ]
    engine += ["--engine.openai.prompt-price", "2", "--engine.openai.answer-price", "10", "--engine.temperature", "0.7"]
    where = ["--input", corpus, "--output", run, "--shard-rows", 10, "--judge.on"]
    return cli.score([*map(str, where), *engine, *map(str, arguments)])


def test_a_stumbling_judge_loses_no_pair_and_every_token_is_counted(tmp_path: Path) -> None:
    corpus = write(tmp_path / "a.jsonl", [f"{GOOD} Turm Nummer {number} von allen." for number in range(100)])
    with serving(
        lambda number, _: dict(enumerate(FAULTS)).get(number % 100, ""),  # 5 % of the requests
        lambda prompt: "I like it." if UNREADABLE in prompt else answer(),
    ) as books:
        assert score(books, corpus, tmp_path / "run", "--judge.tries", 2) == 0
    found = {row["id"]: row for row in rows(tmp_path / "run")}
    assert len(found) == 100
    unread = found.pop("id-7")
    assert (unread["judge_error"], unread["judge_content"], unread["judge_notes"]) == (
        "the answer is no JSON",
        None,
        None,
    )
    assert (unread["translation"], unread["localisation"]) == (100, 100)  # what the signals say
    assert unread["overall"] > 90
    for row in found.values():
        assert (row["judge_content"], row["judge_translation"], row["judge_localisation"]) == (90, 80, 100)
        assert (row["content"], row["translation"], row["localisation"], row["overall"]) == (90, 80, 100, 85)
        assert json.loads(row["judge_notes"])["flaws"]["translation"] == ["fluency"]
        assert row["judge_error"] is None
    told = summary(tmp_path / "run")
    assert told["reasons"] == {"de": {"unjudged": 1}}
    (usage,) = [engine["usage"] for engine in told["engines"]]
    assert usage["requests"] >= books.requests > 101  # what broke on its way never got there
    untold = (
        books.answer_tokens - usage["answer_tokens"]
    ) / 7  # answers that came when nobody waited for them any more
    assert 0 <= untold <= usage["unknown"] < 25
    assert usage["prompt_tokens"] <= books.prompt_tokens
    assert usage["cost"] == pytest.approx((2 * usage["prompt_tokens"] + 10 * usage["answer_tokens"]) / 1e6)
    assert told["spent"]["cost"] is None


def test_signals_hold_a_generous_judge_down(tmp_path: Path) -> None:
    corpus = write(tmp_path / "a.jsonl", [WRONG], **SOURCE)
    with serving(said=lambda _: answer(translation={"score": 100})) as books:
        assert score(books, corpus, tmp_path / "run") == 0
    (row,) = rows(tmp_path / "run")
    assert row["judge_translation"] == 100
    assert row["translation"] == 60


def test_a_judge_that_is_none_is_refused_before_anything_starts(tmp_path: Path, capsys: Any) -> None:
    corpus = write(tmp_path / "a.jsonl", [GOOD])
    where = ["--input", str(corpus), "--output", str(tmp_path / "run")]
    for more, told in (
        (["--judge.on"], "judge: expected an engine that can judge"),
        (["--engine.kind", "openai", "--engine.model", "x"], "judge: expected judge.on, without which nobody asks"),
    ):
        assert cli.score([*where, *more]) == ExitCode.USER_ERROR
        assert told in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


def test_a_run_is_not_mixed_of_judged_and_unjudged_pairs(tmp_path: Path, capsys: Any) -> None:
    corpus, run = write(tmp_path / "a.jsonl", [GOOD]), tmp_path / "run"
    assert cli.score(["--input", str(corpus), "--output", str(run), "--shard-rows", "10"]) == 0
    with serving(said=lambda _: answer()) as books:
        assert score(books, corpus, run) == ExitCode.USER_ERROR
    assert "judge.on was the default, is now true" in capsys.readouterr().err
    assert ds.dataset(run / "pairs", format="parquet").schema.equals(SCORED_SCHEMA)
