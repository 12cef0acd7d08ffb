"""Conversations are boosted turn by turn: each with what was said before it, none of them lost, and once more by itself."""

from __future__ import annotations

import json
from collections.abc import Iterable
from itertools import groupby
from pathlib import Path
from typing import Any

import pyarrow.dataset as ds
import pytest

from midb_ray import cli, prompts
from midb_ray.boosting import again
from midb_ray.boosting.settings import BoostSettings
from midb_ray.boosting.work import BoostWork
from midb_ray.corpora import summary
from midb_ray.engines.base import Request
from midb_ray.engines.flight import unpack
from midb_ray.formats import frames
from midb_ray.locales import load_locales
from midb_ray.pairs import Pair, Turn
from midb_ray.runs import planning, shards
from midb_ray.runs.inputs import InputFile

SYSTEM = {"role": "system", "content": "Antworte kurz."}


def exchange(topic: str, **more: Any) -> list[dict[str, Any]]:
    return [
        {"role": "user", "content": f"Was bedeutet  {topic} in einem Satz?"},
        {"role": "assistant", "content": f"Das Wort {topic} meint ganz einfach einen Begriff aus dem Alltag", **more},
    ]


CONVERSATIONS: list[dict[str, Any]] = [
    {"id": "a", "messages": [SYSTEM, *exchange("Haus", weight=1), *exchange("Hof"), *exchange("Garten")], "score": 3},
    {"id": "b", "messages": [SYSTEM, *exchange("Baum")]},
    {"id": "c", "messages": [*exchange("Wald"), {"role": "user", "content": "Und warum?"}]},
    {"id": "d", "messages": [{"role": "tool", "content": [1, 2], "name": "f"}, *exchange("See"), *exchange("Fluss")]},
    {"id": "e", "messages": [exchange("Berg")[1], exchange("Berg")[0]]},
]


def written(path: Path, rows: Iterable[dict[str, Any]] = CONVERSATIONS) -> Path:
    path.write_text("".join(json.dumps({**row, "language": "de"}, ensure_ascii=False) + "\n" for row in rows))
    return path


def pairs_in(run: Path) -> list[dict[str, Any]]:
    return list(ds.dataset(run / "pairs", format="parquet").to_table().to_pylist())


def pair_of(row: dict[str, Any], raw: bool = False) -> Pair:
    texts = {name: row[f"raw_{name}"] for name in ("instruction", "input", "response")} if raw else {}
    return Pair(**{**{name: row[name] for name in Pair._fields}, **texts})


def work_for(path: Path, **more: Any) -> BoostWork:
    given = {"input": [str(path)], "output": f"{path.parent}/out", "engine": {"kind": "echo"}, **more}
    return BoostWork(BoostSettings.model_validate(given), json.dumps(load_locales().fingerprint(), ensure_ascii=False))


def shard_of(path: Path) -> shards.Shard:
    file = InputFile(path.name, str(path), path.stat().st_size, "")
    (task,) = planning.scans(file, str(path), "lines", "conversations", 256, 1.0, None)
    (found,) = planning.assemble([task], [planning.scan(task)])
    return found


def texts_of(requests: Iterable[Request | None]) -> list[str]:
    return [request.text or "" for request in requests if request is not None]


def test_a_prompt_shows_what_was_said_before_its_turn_and_no_other(tmp_path: Path) -> None:
    path = written(tmp_path / "corpus.jsonl", CONVERSATIONS[:2])
    first, second, third, single = texts_of(unpack(work_for(path).prepare(shard_of(path))).requests)
    house, yard = ([Turn(turn["role"], turn["content"]) for turn in exchange(topic)] for topic in ("Haus", "Hof"))
    opening = Turn("system", "Antworte kurz.")
    for prompt, said in ((first, [opening]), (second, [opening, *house]), (third, [opening, *house, *yard])):
        assert prompts.before(said) in prompt
        assert prompt.count(prompts.INSTRUCTION) == 1
    assert "Hof" not in first
    assert prompts.CONTEXT not in single  # a pair by itself is asked for as ever
    assert "Antworte kurz." not in single


def test_a_gate_looks_at_the_score_of_the_row_for_each_of_its_turns(tmp_path: Path) -> None:
    path = written(tmp_path / "corpus.jsonl", CONVERSATIONS[:1])
    flight = unpack(work_for(path, gate={"column": "score", "at_least": 3}).prepare(shard_of(path)))
    assert flight.finished.column("turn").to_pylist() == [1, 2, 3]
    assert flight.finished.column("decision").to_pylist() == ["skipped"] * 3


@pytest.mark.usefixtures("ray_cluster")
def test_every_turn_comes_out_once_and_the_conversations_can_be_put_together(tmp_path: Path, books, listen) -> None:
    corpus, first, second = written(tmp_path / "corpus.jsonl"), tmp_path / "first", tmp_path / "second"
    with corpus.open("a") as file:
        file.write("no JSON\n")
    told = listen(summary)
    common = ["--engine.kind", "echo", "--shard-rows", "2", "--max-dead-letters", "0.5", "--caps.engine-errors", "1"]
    boost = [
        "--input",
        str(corpus),
        "--output",
        str(first),
        "--engine.echo-fail-on",
        "<|instruction|>\nWas bedeutet  Hof",
    ]
    assert cli.boost([*boost, *common]) == 0
    run = books(first)
    assert (run.summary["complete"], run.summary["rows"], run.summary["rows_in"]) == (True, 6, 6)
    assert (run.summary["rows_out"], run.summary["later_turns"], run.summary["dead_letters"]) == (7, 3, 2)
    assert any("6 rows in + 3 later turns of conversations = 7 pairs out" in line for line in told)
    assert run.summary["dead_letter_reasons"] == {"invalid_json": 1, "turn_order": 1}
    rows = pairs_in(first)
    assert [row["row"].rpartition(":")[2] for row in rows] == ["1#1", "1#2", "1#3", "2", "3#1", "4#1", "4#2"]
    assert [row["turn"] for row in rows] == [1, 2, 3, None, 1, 1, 2]
    assert {row["decision"] for row in rows if "Hof" not in row["instruction"]} == {"boosted"}
    assert [row["reasons"] for row in rows if "Hof" in row["instruction"]] == [["engine_error"]]

    for key, group in groupby(rows, lambda row: row["source_row"] or row["row"]):
        turns = list(group)
        before = {**CONVERSATIONS[int(key.rpartition(":")[2]) - 1], "language": "de"}
        assert frames.assemble([pair_of(row, raw=True) for row in turns], "messages") == before
        after = frames.assemble([pair_of(row) for row in turns], "messages")
        said = [turn["content"] for turn in after["messages"] if turn["role"] in ("user", "assistant")]
        assert said[: 2 * len(turns)] == [text for row in turns for text in (row["instruction"], row["response"])]
        assert [{**turn, "content": ""} for turn in after["messages"]] == [
            {**turn, "content": ""} for turn in before["messages"]
        ]

    times = {path: path.stat().st_mtime_ns for path in (first / "pairs").iterdir()}
    assert cli.boost([*boost, *common]) == 0  # every shard is known to be done
    assert {path: path.stat().st_mtime_ns for path in (first / "pairs").iterdir()} == times

    retry = ["--input", str(first), "--output", str(second), "--only", "kept_original"]
    settings = work_for(first, only=["kept_original"], shard_rows=8).settings
    (shard,) = again.plan(
        again.find(settings), (part for stretch in again.stretches(again.find(settings), settings) for part in again.look(stretch)),
        settings, load_locales(),
    )  # fmt: skip
    assert shard.rows == 6
    (prompt,) = texts_of(unpack(work_for(first, only=["kept_original"]).prepare(shard)).requests)
    assert prompts.before([Turn("system", "Antworte kurz."), *[Turn(**turn) for turn in exchange("Haus")]]) in prompt
    assert cli.boost([*retry, *common]) == 0
    assert books(second).summary["rows_in"] == 6
    tried = pairs_in(second)
    assert [row["row"] for row in tried] == [row["row"] for row in rows]
    for old, new in zip(rows, tried, strict=True):
        assert (new["decision"] == "boosted") if old["decision"] == "kept_original" else new == old
