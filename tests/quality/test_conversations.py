"""Conversations are scored turn by turn, and the judge sees what was said before each."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from midb_ray import prompts
from midb_ray.engines.flight import unpack
from midb_ray.locales import load_locales
from midb_ray.pairs import Pair, Turn, heard, pairs_to_table
from midb_ray.quality.settings import ScoreSettings
from midb_ray.quality.work import ScoreWork
from midb_ray.runs import planning
from midb_ray.runs.inputs import InputFile
from tests.engines.openai_server import serving
from tests.quality.test_job import GOOD, SOURCE, WRONG, rows, summary
from tests.quality.test_judge import answer
from tests.quality.test_judge_job import score

ASKED = {"role": "user", "content": "Wie hoch ist der Turm?"}


def work_for(path: Path) -> ScoreWork:
    settings = ScoreSettings(input=(str(path),), output=f"{path.parent}/out")
    return ScoreWork(settings, json.dumps(load_locales().fingerprint(), ensure_ascii=False))


@pytest.mark.usefixtures("ray_cluster")
def test_each_turn_is_judged_by_itself_with_what_was_said_before(tmp_path: Path) -> None:
    corpus = tmp_path / "a.jsonl"
    turns = [ASKED, {"role": "assistant", "content": GOOD}, ASKED, {"role": "assistant", "content": WRONG}]
    corpus.write_text(json.dumps({"messages": turns, "language": "de", **SOURCE}, ensure_ascii=False) + "\n")
    asked: list[str] = []

    def said(prompt: str) -> str:
        asked.append(prompt)
        return answer()

    with serving(said=said) as books:
        assert score(books, corpus, tmp_path / "run") == 0
    found = rows(tmp_path / "run")
    assert [(row["row"], row["source_row"], row["turn"]) for row in found] == [
        (f"{corpus}:1#{turn}", f"{corpus}:1", turn) for turn in (1, 2)
    ]
    assert heard(found[0]["context"]) == []
    assert heard(found[1]["context"]) == [Turn("user", ASKED["content"]), Turn("assistant", GOOD)]
    assert [row["judge_content"] for row in found] == [90, 90]
    assert not any(row["has_source"] for row in found)  # what the row has a source of is no single turn
    told = summary(tmp_path / "run")
    assert (told["complete"], told["rows_in"], told["later_turns"], told["rows_out"]) == (True, 1, 1, 2)
    judged = {prompt for prompt in asked if prompts.INSTRUCTION in prompt}
    first, second = sorted(judged, key=lambda prompt: prompts.CONTEXT in prompt)
    assert prompts.CONTEXT not in first
    assert prompts.before(heard(found[1]["context"])) in second


def test_turns_of_an_earlier_run_stay_turns(tmp_path: Path) -> None:
    path = tmp_path / "part.parquet"
    turn = Pair("a:1#1", None, None, "de", ASKED["content"], "", GOOD, source_row="a:1", turn=1)
    said = '[{"role": "user", "content": "Wie hoch ist der Turm?"}]'
    pairs = [
        turn,
        turn._replace(row="a:1#2", turn=2, context=said),
        turn._replace(row="a:2", source_row=None, turn=None),
    ]
    pq.write_table(pairs_to_table(pairs), path)
    file = InputFile("part.parquet", str(path), path.stat().st_size, "")
    (task,) = planning.scans(file, str(path), "parquet", "pairs", 256, 1.0, None)
    (shard,) = planning.assemble([task], [planning.scan(task)])
    work = work_for(path)
    table, _, figures = work.finish(unpack(work.prepare(shard)), [None] * 3)
    assert [(row["source_row"], row["turn"], row["context"]) for row in table.to_pylist()] == [
        ("a:1", 1, None),
        ("a:1", 2, said),
        (None, None, None),
    ]
    assert (figures.rows_in, figures.later_turns, figures.balanced) == (3, 0, True)  # each is a row of this input
