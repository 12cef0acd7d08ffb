"""Where pairs come from: run by run, as far as runs can be found."""

from __future__ import annotations

import json
from pathlib import Path

from midb_ray.curation import lineage
from midb_ray.runs import folder, shards
from midb_ray.runs.inputs import InputFile
from tests.curation.export_runs import boosted_row, finished, scored_row

ENGINE = {"kind": "vllm", "model": "org/booster", "revision": "abc"}


def test_a_scored_run_goes_back_to_the_boost_that_it_read(tmp_path: Path) -> None:
    boosted = finished(tmp_path / "boosted", [boosted_row(number) for number in range(8)], engine=ENGINE)
    rows = [scored_row(number) for number in range(8)]
    for given in (boosted, boosted / "pairs", boosted / "pairs" / "*.parquet"):
        scored = finished(tmp_path / f"scored-{given.name[:2]}", rows, "score", input=[str(given)])
        last, first = lineage.trace(str(scored))
        assert (last.job, last.model, last.sources) == ("score", None, (str(given),))
        assert (first.job, first.model, first.sources) == ("boost", "org/booster @ abc (vllm)", ("corpus.jsonl",))
        assert (first.rows, first.dead_letters) == (9, {"invalid_json": 1})
        assert first.decisions["de"] == {"boosted": 2, "kept_original": 1}


def test_files_are_those_of_the_plan_and_parts_of_a_run_are_told_together(tmp_path: Path) -> None:
    run = finished(tmp_path / "run", [boosted_row(0)])
    names = ["a.jsonl", "old/pairs/part-00000000.parquet", "old/pairs/part-00000001.parquet"]
    shards.write_plan(
        str(run / "plan.parquet"), [shards.to_table([])], [InputFile(name, name, 1, "1") for name in names]
    )
    assert lineage.trace(str(run))[0].sources == ("a.jsonl", "old/pairs")


def test_a_judge_is_told_where_one_was_asked(tmp_path: Path) -> None:
    judged = finished(tmp_path / "run", [scored_row(0)], "score", engine=ENGINE, judge={"on": True})
    assert lineage.trace(str(judged))[0].model == "org/booster @ abc (vllm)"
    echoed = finished(tmp_path / "echo", [boosted_row(0)], engine={"kind": "echo", "model": None})
    assert lineage.trace(str(echoed))[0].model is None


def test_a_selection_tells_what_it_excluded(tmp_path: Path) -> None:
    scored = finished(tmp_path / "scored", [scored_row(0)], "score")
    run = finished(tmp_path / "run", [scored_row(0)], "select", input=[str(scored)])
    summary = json.loads((run / "summary.json").read_text())
    del summary["decisions"]
    languages = {"de": {"rows": 9, "kept": 4, "excluded": 5, "reasons": {"duplicate": 5}}}
    folder.write_json(str(run), "summary.json", {**summary, "languages": languages, "reasons": {"duplicate": 5}})
    last, first = lineage.trace(str(run))
    assert (last.job, last.excluded, last.decisions) == ("select", {"duplicate": 5}, {"de": {"kept": 4, "excluded": 5}})
    assert first.job == "score"


def test_runs_that_go_in_a_circle_or_are_gone_end_the_line(tmp_path: Path) -> None:
    first = finished(tmp_path / "a", [boosted_row(0)], input=[str(tmp_path / "b"), "http://nowhere", "\0", 5])
    finished(tmp_path / "b", [boosted_row(0)], input=str(first))
    assert [origin.job for origin in lineage.trace(str(first))] == ["boost", "boost"]
    (tmp_path / "b" / "run.json").write_text("[" * 100_000)
    assert len(lineage.trace(str(first))) == 1
