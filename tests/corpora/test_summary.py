"""The summary of a run: what its engines have done, and what was not done twice."""

from __future__ import annotations

import json
from pathlib import Path

from midb_ray.boosting.pipeline import BoostJob
from midb_ray.boosting.settings import BoostSettings
from midb_ray.boosting.work import BoostWork
from midb_ray.corpora import summary
from midb_ray.engines.caps import Account
from midb_ray.runs import folder
from midb_ray.runs.figures import EngineFigures, Figures


def test_engines_stand_by_node_and_actor_with_the_share_of_time_they_worked(tmp_path: Path, listen) -> None:
    told = listen(summary)
    figures = Figures(rows_in=600, answer_tokens=9000, duplicates=100)
    for _ in range(600):
        figures.count("de", "boosted", ())
    figures.engines[("10.0.0.2", "b")] = EngineFigures(1, 200, 2000, 40.0, 10.0)
    figures.engines[("10.0.0.1", "a")] = EngineFigures(2, 400, 6000, 50.0, 40.0)
    run = folder.open_run(str(tmp_path / "run"), "boost", {}, {})
    settings = BoostSettings(input=("a",), output="b", engine={"kind": "echo"})
    account = Account(run.uri, settings.caps, 1, figures, 60)
    assert summary.finish(run, BoostJob(BoostWork(settings, "{}"), {}), 3, 600, figures, account) == 0
    written = json.loads((tmp_path / "run" / "summary.json").read_text())
    assert (written["duplicates"], written["generated_tokens"], written["answer_tokens"]) == (100, 8000, 9000)
    assert [engine["node"] for engine in written["engines"]] == ["10.0.0.1", "10.0.0.2"]
    assert written["engines"][0] == {
        "node": "10.0.0.1",
        "actor": "a",
        "shards": 2,
        "rows": 400,
        "errors": 0,
        "tokens": 6000,
        "up_seconds": 50.0,
        "busy_seconds": 40.0,
        "tokens_per_second": 120.0,
        "busy": 0.8,
    }
    assert "100 of the prompts repeated another one and were not generated again." in told


def test_a_run_whose_engine_failed_on_more_than_it_may_ends_with_1(tmp_path: Path, listen) -> None:
    told = listen(summary)
    figures = Figures(rows_in=20)
    for _ in range(20):
        figures.count("de", "kept_original", ("engine_error",))
    figures.engines[("10.0.0.2", "b")] = EngineFigures(1, 20, 0, 4.0, 1.0, errors=3)
    run = folder.open_run(str(tmp_path / "run"), "boost", {}, {})
    for share, code in ((0.1, 1), (0.15, 0), (1.0, 0)):
        settings = BoostSettings(input=("a",), output="b", engine={"kind": "echo"}, caps={"engine_errors": share})
        account = Account(run.uri, settings.caps, 1, figures, 60)
        assert summary.finish(run, BoostJob(BoostWork(settings, "{}"), {}), 1, 20, figures, account) == code
    assert "The engine failed on 3 of 20 requests, more than caps.engine_errors (0.1) allows." in told


def test_a_run_over_both_limits_says_both(tmp_path: Path, listen) -> None:
    told = listen(summary)
    figures = Figures(rows_in=20, dead_letters=5)
    for _ in range(15):
        figures.count("de", "kept_original", ("engine_error",))
    figures.engines[("10.0.0.2", "b")] = EngineFigures(1, 15, 0, 4.0, 1.0, errors=15)
    run = folder.open_run(str(tmp_path / "run"), "boost", {}, {})
    settings = BoostSettings(input=("a",), output="b", engine={"kind": "echo"})
    account = Account(run.uri, settings.caps, 1, figures, 60)
    assert summary.finish(run, BoostJob(BoostWork(settings, "{}"), {}), 1, 20, figures, account) == 1
    assert any("25.00 % of the rows are dead letters" in line for line in told)
    assert "The engine failed on 15 of 15 requests, more than caps.engine_errors (0.1) allows." in told
