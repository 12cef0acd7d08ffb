"""Boosting around the engine: requests before it, rows and figures after it."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow as pa
import pytest

from midb_ray.boosting.settings import BoostSettings
from midb_ray.boosting.work import BoostWork
from midb_ray.engines.base import Completion
from midb_ray.engines.flight import unpack
from midb_ray.locales import load_locales
from midb_ray.pairs import Text
from midb_ray.prompts import serialise
from midb_ray.runs.figures import Figures
from midb_ray.runs.shards import Shard
from tests.corpora.plans import plan

ROWS = [
    {"instruction": f"Zähle bis {n}.", "output": f"Ich zähle bis {n}.", "language": "de" if n % 2 else "fr"}
    for n in range(40)
]


@pytest.fixture
def boost_work(tmp_path: Path) -> BoostWork:
    settings = BoostSettings.model_validate(
        {"input": ["corpus"], "output": f"{tmp_path}/run", "engine": {"kind": "echo"}, "shard_rows": 8}
    )
    return BoostWork(settings, json.dumps(load_locales().fingerprint(), ensure_ascii=False))


def sampled(work_before: BoostWork, samples: int, **more: object) -> BoostWork:
    """The same work with so many samples of each pair."""
    given = work_before.settings.model_dump() | {
        "engine": {"kind": "echo", "temperature": 0.7},
        "samples": samples,
        **more,
    }
    return BoostWork(BoostSettings.model_validate(given), work_before.locales)


def answered(boost: BoostWork, shard: Shard, answers: list[str]) -> tuple[pa.Table, Figures]:
    """The rows of a shard whose pairs each get these answers, one for each sample; an answer ends with its response."""
    flight = unpack(boost.prepare(shard))
    asked = [text for row in flight.pairs.to_pylist() for text in [Text(row["instruction"], row["input"], "")]]
    completions = [
        Completion(serialise(text._replace(response=answer)), "stop", 7) for text in asked for answer in answers
    ]
    rows, _, figures = boost.finish(flight, list(completions))
    return rows, figures


def test_each_pair_is_asked_for_so_many_samples_that_differ_in_their_number_alone(tmp_path, boost_work) -> None:
    (shard, *_) = plan(tmp_path, "".join(json.dumps(row) + "\n" for row in ROWS).encode())
    once, thrice = (unpack(sampled(boost_work, n).prepare(shard)).requests for n in (1, 3))
    assert [request.sample for request in thrice] == [0, 1, 2] * 8
    assert [request._replace(sample=0) for request in thrice[::3]] == once


def test_the_first_answer_that_the_guard_accepts_is_taken(tmp_path, boost_work) -> None:
    (shard, *_) = plan(tmp_path, json.dumps(ROWS[1]).encode())
    good, better = "Ich zähle jetzt bis 1.", "Ich zähle nun sehr langsam bis 1."
    rows, figures = answered(sampled(boost_work, 3), shard, ["", good, better])
    (row,) = rows.to_pylist()
    assert (row["decision"], row["response"], row["reasons"]) == ("boosted", good, [])
    assert (row["answer_tokens"], figures.answer_tokens) == (21, 21)
    (row,) = answered(sampled(boost_work, 3), shard, ["", ROWS[1]["output"], good])[0].to_pylist()
    assert row["decision"] == "unchanged"


def test_where_no_answer_is_accepted_the_reasons_of_all_stand_there_in_their_order(tmp_path, boost_work) -> None:
    (shard, *_) = plan(tmp_path, json.dumps(ROWS[1]).encode())
    link = "Ich zähle bis 1, siehe https://zahlen.de/1."
    (row,) = answered(sampled(boost_work, 3), shard, [link, "", link])[0].to_pylist()
    assert (row["decision"], row["response"]) == ("kept_original", ROWS[1]["output"])
    assert row["reasons"] == ["empty", "added_url"]


def test_a_skipped_pair_never_reaches_the_engine_and_comes_out_in_its_place(tmp_path, boost_work) -> None:
    rows = [{**row, "score": number % 5} for number, row in enumerate(ROWS[:8])]
    (shard,) = plan(tmp_path, "".join(json.dumps(row) + "\n" for row in rows).encode())
    gated = sampled(boost_work, 1, gate={"column": "score", "at_least": 3})
    flight = unpack(gated.prepare(shard))
    assert len(flight.requests) == flight.pairs.num_rows == 6
    found, figures = answered(gated, shard, ["Ich zähle bis zehn."])
    assert found.column("row").to_pylist() == [f"corpus:{n}" for n in range(1, 9)]
    skipped = [row for row in found.to_pylist() if row["decision"] == "skipped"]
    assert [json.loads(row["extra"])["score"] for row in skipped] == [3, 4]
    assert all(row["response"] == row["raw_response"] and row["reasons"] == [] for row in skipped)
    assert figures.total("skipped") == 2
    assert figures.balanced
