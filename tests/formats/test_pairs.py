"""Our own Parquet: pairs, and the output of an earlier boost."""

from __future__ import annotations

import io
import json
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from midb_ray.formats import pairs
from midb_ray.formats.reading import Reader
from midb_ray.formats.records import Record
from midb_ray.formats.registry import FORMATS
from midb_ray.locales import load_locales
from midb_ray.pairs import BOOSTED_SCHEMA, DeadLetter, Pair, pairs_to_table, rows_to_table

PAIR = Pair("old.json:1", "x", "s", "fr-CA", "a", "b", "c", ("input: NUL removed",), '{"score":1,"tags":["é"]}')
BOOSTED: tuple[Any, ...] = (
    "old.json:1",
    "x",
    "s",
    "fr",
    "A",
    "B",
    "C",
    "a",
    "b",
    "c",
    "boosted",
    ["r"],
    3,
    10,
    12,
    [],
    '{"score":1}',
    None,
    None,
    None,
)


def through_parquet(table: pa.Table) -> dict[str, Any]:
    sink = io.BytesIO()
    pq.write_table(table, sink)
    row: dict[str, Any] = pq.read_table(sink).to_pylist()[0]
    return row


def read(row: dict[str, Any]) -> Pair | DeadLetter:
    return read_from("p.parquet", row)


def read_from(file: str, row: dict[str, Any]) -> Pair | DeadLetter:
    outcome = Reader(FORMATS["pairs"], load_locales()).pairs(Record(f"{file}:1", file, None, None, row))
    return outcome if isinstance(outcome, DeadLetter) else outcome[0]


def test_a_pair_comes_back_from_parquet_and_remembers_its_old_row() -> None:
    row = through_parquet(pairs_to_table([PAIR]))
    assert pairs.recognises(tuple(row))
    again = read(row)
    assert isinstance(again, Pair)
    assert again._replace(row=PAIR.row, extra=None) == PAIR._replace(extra=None)
    assert json.loads(again.extra or "") == {"score": 1, "tags": ["é"], "previous": {"row": "old.json:1"}}


def test_the_final_texts_of_an_earlier_boost_are_the_next_raw_pair() -> None:
    row = through_parquet(rows_to_table([BOOSTED], BOOSTED_SCHEMA))
    assert pairs.recognises(tuple(row))
    pair = read(row)
    assert isinstance(pair, Pair)
    assert (pair.instruction, pair.input, pair.response, pair.id, pair.language) == ("A", "B", "C", "x", "fr")
    assert json.loads(pair.extra or "") == {
        "score": 1,
        "previous": {
            "row": "old.json:1",
            "raw_instruction": "a",
            "raw_input": "b",
            "raw_response": "c",
            "decision": "boosted",
            "reasons": ["r"],
            "distance": 3,
            "prompt_tokens": 10,
            "answer_tokens": 12,
        },
    }


def test_a_turn_stays_one_of_its_conversation() -> None:
    turn = PAIR._replace(
        row="old.json:1#2", source_row="old.json:1", turn=2, context='[{"role": "user", "content": "é"}]'
    )
    again = read(through_parquet(pairs_to_table([turn])))
    assert isinstance(again, Pair)
    assert again[-3:] == turn[-3:]
    assert json.loads(again.extra or "")["previous"] == {"row": "old.json:1#2"}


def test_turns_of_two_runs_are_not_of_the_same_conversation() -> None:
    row = pairs.to_row(PAIR._replace(source_row="old.json:1", turn=2))
    found = [read_from(file, row) for file in ("one/p.parquet", "one/q.parquet", "two/p.parquet")]
    assert [pair.source_row for pair in found if isinstance(pair, Pair)] == [
        f"{run}/old.json:1" for run in ("one", "one", "two")
    ]


@pytest.mark.parametrize(
    "odd", [{"turn": 0}, {"turn": True}, {"turn": "2"}, {"source_row": None}, {"context": "[1]"}, {"context": {"a": 1}}]
)
def test_columns_that_are_not_those_of_a_turn_are_remembered_and_nothing_more(odd: dict[str, Any]) -> None:
    row = {**pairs.to_row(PAIR), "source_row": "old.json:1", "turn": 2, "context": None, **odd}
    again = read(row)
    assert isinstance(again, Pair)
    assert again[-3:] == (None, None, None)
    kept = {name: row[name] for name in ("source_row", "turn", "context") if row[name] is not None}
    assert json.loads(again.extra or "")["previous"] == {"row": "old.json:1", **kept}


def test_a_run_from_before_there_were_turns_is_read() -> None:
    row = through_parquet(pairs_to_table([PAIR]).drop_columns(["source_row", "turn", "context"]))
    assert pairs.recognises(tuple(row))
    assert isinstance(read(row), Pair)


def test_every_run_before_the_last_is_remembered() -> None:
    first = read(through_parquet(pairs_to_table([PAIR])))
    assert isinstance(first, Pair)
    second = read(pairs.to_row(first))
    assert isinstance(second, Pair)
    assert json.loads(second.extra or "")["previous"] == {"row": "p.parquet:1", "previous": {"row": "old.json:1"}}


def test_a_column_that_was_added_never_hides_what_was_there() -> None:
    pair = read({**pairs.to_row(PAIR), "score": 2, "previous": "mine"})
    assert isinstance(pair, Pair)
    extra = json.loads(pair.extra or "")
    assert extra["score"] == 2
    assert extra["previous"] == {"row": "old.json:1", "previous": "mine", "extra": {"score": 1}}


def test_an_extra_that_is_no_object_is_kept_as_it_is() -> None:
    pair = read({**pairs.to_row(PAIR), "extra": "not json"})
    assert isinstance(pair, Pair)
    assert json.loads(pair.extra or "") == {"extra": "not json", "previous": {"row": "old.json:1"}}


def test_a_dead_letter_of_a_parsed_row_shows_it_as_json() -> None:
    letter = read({**pairs.to_row(PAIR), "response": None, "score": float("nan")})
    assert isinstance(letter, DeadLetter)
    assert letter.reason == "empty_response"
    shown = json.loads(letter.raw)
    assert (shown["instruction"], shown["response"], shown["score"]) == ("a", None, None)
