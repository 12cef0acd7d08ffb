"""Rows of every form, and the reasons for which pairs become none."""

from __future__ import annotations

import json
from typing import Any

import pyarrow as pa
import pytest

from midb_ray.curation.export_rows import REASONS, Outcome, columns_of, conversations_in, form_schema, outcomes
from midb_ray.curation.export_settings import ExportSettings
from midb_ray.pairs import BOOSTED_SCHEMA
from tests.curation.export_runs import SCORED_SCHEMA, boosted_row, scored_row, turns_of


def settings(form: str = "messages", **more: Any) -> ExportSettings:
    return ExportSettings(input="run", output="out", form=form, **more)


def made(rows: list[dict[str, Any]], given: ExportSettings, schema: pa.Schema = BOOSTED_SCHEMA) -> list[Outcome]:
    table = pa.Table.from_pylist(rows, schema=schema)
    return [outcome for examples in conversations_in(table) for outcome in outcomes(examples, given)]


def one(row: dict[str, Any], given: ExportSettings, schema: pa.Schema = BOOSTED_SCHEMA) -> dict[str, Any]:
    (outcome,) = made([row], given, schema)
    assert outcome.row is not None
    return outcome.row


ROW = boosted_row(0, id="7", source_id="s", input="Text", instruction="Frage?", response="Antwort", extra='{"tag": 1}')


@pytest.mark.parametrize(
    ("form", "texts"),
    [
        ("alpaca", {"instruction": "Frage?", "input": "Text", "output": "Antwort"}),
        (
            "messages",
            {
                "messages": [
                    {"role": "user", "content": "Frage?\n\nText"},
                    {"role": "assistant", "content": "Antwort"},
                ]
            },
        ),
        (
            "sharegpt",
            {"conversations": [{"from": "human", "value": "Frage?\n\nText"}, {"from": "gpt", "value": "Antwort"}]},
        ),
        (
            "preference",
            {
                "prompt": [{"role": "user", "content": "Frage?\n\nText"}],
                "chosen": [{"role": "assistant", "content": "Antwort"}],
                "rejected": [{"role": "assistant", "content": "Roh 0 ü😀"}],
            },
        ),
    ],
)
def test_a_row_holds_the_final_texts_and_says_which_pair_it_is(form: str, texts: dict[str, Any]) -> None:
    named = {"id": "7", "source_id": "s", "language": "de"}
    assert one(ROW, settings(form)) == {**texts, **named}
    assert one(ROW, settings(form, extra="keys")) == {**texts, **named, "tag": 1}
    assert one(ROW, settings(form, extra="column")) == {**texts, **named, "extra": '{"tag":1}'}
    assert form_schema(settings(form)).names == [*texts, *named]
    assert form_schema(settings(form, extra="column")).names == [*texts, *named, "extra"]


def test_an_input_that_is_not_there_is_an_empty_string_in_alpaca() -> None:
    assert one(boosted_row(1), settings("alpaca"))["input"] == ""


def test_keys_of_the_input_that_have_a_fields_name_stay_apart() -> None:
    row = one({**ROW, "extra": '{"output": 5, "tag": 1}'}, settings("alpaca", extra="keys"))
    assert (row["output"], row["extra"], row["tag"]) == ("Antwort", {"output": 5}, 1)


def test_system_turns_are_text_whatever_they_came_as() -> None:
    system = [
        {"role": "system", "content": [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}], "name": "x"}
    ]
    row = {**ROW, "extra": json.dumps({"messages": system})}
    assert one(row, settings())["messages"][0] == {"role": "system", "content": "a\nb"}
    assert one(row, settings("sharegpt"))["conversations"][0] == {"from": "system", "value": "a\nb"}
    assert one(row, settings(extra="keys"))["messages"][0] == system[0]


@pytest.mark.parametrize(
    "extra", ["no JSON", "[1]", "[" * 100_000, '{"messages": {"turns": 5, "answers": [9]}}', '"a"']
)
@pytest.mark.parametrize("form", ["alpaca", "messages", "sharegpt", "preference"])
def test_a_rest_that_is_no_rest_costs_nothing_but_itself(extra: str, form: str) -> None:
    row = one({**ROW, "extra": extra}, settings(form, extra="column"))
    assert row["id"] == "7"


def test_pairs_become_no_preference_for_a_reason_each() -> None:
    rows = [boosted_row(number) for number in range(8)]
    found = [(outcome.row is not None, outcome.reason) for outcome in made(rows, settings("preference"))]
    assert found == [
        (True, None),
        (False, "unchanged"),
        (False, "kept_original"),
        (True, None),
        (True, None),
        (False, "unchanged"),
        (False, "kept_original"),
        (False, "same_response"),
    ]
    changed = {**ROW, "instruction": "Andere Frage?", "raw_input": "Text"}
    (outcome,) = made([changed], settings("preference", same_prompt=True))
    assert outcome.reason == "changed_prompt"
    assert {reason for _, reason in found if reason} | {"changed_prompt"} <= REASONS.keys()


def test_decisions_that_were_not_asked_for_are_left_out() -> None:
    rows = [boosted_row(number) for number in range(4)]
    found = [outcome.reason for outcome in made(rows, settings("alpaca", decisions=("unchanged",)))]
    assert found == ["boosted", None, "kept_original", "boosted"]


def test_a_scored_run_of_boosted_pairs_knows_what_they_were() -> None:
    row = one(scored_row(0), settings("preference", extra="keys"), SCORED_SCHEMA)
    assert row["rejected"] == [{"role": "assistant", "content": "Roh 0 ü😀"}]
    assert (row["topic"], "previous" in row) == (0, False)
    (outcome,) = made([scored_row(0)], settings(), SCORED_SCHEMA)
    assert outcome.examples[0].scores == (50, 50, 50, 50)


@pytest.mark.parametrize("content", ["half \ud83d", 5, None, {"a": "\ud83d"}, [{"type": "image"}], ["\ud83d\0"], []])
def test_every_file_takes_what_a_turn_says(content: Any) -> None:
    fake = {"turns": [{"role": content, "content": content}, {"role": "user"}, {"role": "assistant"}], "answers": [2]}
    for given in (settings(files="parquet"), settings("preference", files="parquet", extra="column")):
        turn = {"source_row": "a:1", "turn": 1, "extra": json.dumps({"messages": fake, "b": content})}
        row = one({**ROW, **turn}, given)
        table = pa.Table.from_pylist([row], form_schema(given))
        (turns,) = table.column(0).to_pylist()
        assert all(isinstance(text, str) and "\0" not in text for turn in turns for text in turn.values())
        assert turns[1] == {"role": "user", "content": "Frage?\n\nText"}


def test_a_scored_run_of_raw_pairs_has_no_preferences() -> None:
    (outcome,) = made([scored_row(0, extra=None)], settings("preference"), SCORED_SCHEMA)
    assert outcome.reason == "never_boosted"
    previous = {"row": "a:1", "decision": "boosted", "raw_instruction": "a", "raw_input": None, "raw_response": 5}
    for changed in ({}, {"raw_input": "", "raw_response": "b", "decision": "<b>"}, {"decision": ["boosted"]}):
        extra = json.dumps({"previous": {**previous, **changed}})
        (outcome,) = made([scored_row(0, extra=extra)], settings("preference"), SCORED_SCHEMA)
        assert outcome.reason == "never_boosted"


def test_only_columns_that_a_part_has_are_read() -> None:
    assert "decision" in columns_of(BOOSTED_SCHEMA).names
    assert {"overall", "decision"} & {*columns_of(SCORED_SCHEMA).names} == {"overall"}


def test_the_turns_of_a_conversation_are_one_row_with_its_system_turn() -> None:
    rows = [boosted_row(1), *turns_of(2, ["un", "deux"]), *turns_of(3, ["trois"]), boosted_row(4)]
    found = made(rows, settings(extra="keys"))
    assert [len(outcome.examples) for outcome in found] == [1, 2, 1, 1]
    row = found[1].row
    assert row is not None
    assert [(turn["role"], turn["content"]) for turn in row["messages"]] == [
        ("system", "Sois bref."),
        ("user", "Question 1 ?"),
        ("assistant", "un"),
        ("user", "Question 2 ?"),
        ("assistant", "deux"),
    ]
    assert row["topic"] == "talk"


def test_a_preference_for_a_turn_has_the_turns_before_it_in_its_prompt() -> None:
    first, second = made(turns_of(2, ["un", "deux"]), settings("preference"))
    assert first.row is not None
    assert second.row is not None
    assert [turn["content"] for turn in first.row["prompt"]] == ["Sois bref.", "Question 1 ?"]
    assert [turn["content"] for turn in second.row["prompt"]] == ["Sois bref.", "Question 1 ?", "un", "Question 2 ?"]
    assert second.row["chosen"] == [{"role": "assistant", "content": "deux"}]
    assert second.row["rejected"] == [{"role": "assistant", "content": "brut 2"}]


def test_a_conversation_ends_where_a_turn_is_missing() -> None:
    one, _, three = turns_of(2, ["un", "deux", "trois"])
    found = made([one, three], settings())
    assert [(len(outcome.examples), outcome.reason) for outcome in found] == [(1, None), (1, "turn_missing")]
    assert found[0].row is not None
    assert [turn["content"] for turn in found[0].row["messages"]] == ["Sois bref.", "Question 1 ?", "un"]
    assert [outcome.reason for outcome in made([three], settings())] == ["turn_missing"]
    assert [outcome.reason for outcome in made([one, three], settings("preference"))] == [None, "turn_missing"]


def test_a_turn_whose_decision_was_not_asked_for_ends_its_conversation() -> None:
    one, two, three = turns_of(2, ["un", "deux", "trois"])
    two["decision"] = "kept_original"
    found = made([one, two, three], settings(decisions=("boosted",)))
    assert [outcome.reason for outcome in found] == [None, "kept_original", "turn_missing"]


def test_a_prompt_does_not_grow_without_end() -> None:
    found = made(turns_of(2, ["un"] * 100), settings("preference"))
    assert [outcome.reason for outcome in found] == [None] * 65 + ["many_turns"] * 35


def test_alpaca_has_the_first_turns_alone() -> None:
    first, second = made(turns_of(2, ["un", "deux"]), settings("alpaca", extra="keys"))
    assert first.row is not None
    assert (first.row["output"], first.row["topic"], "messages" in first.row) == ("un", "talk", False)
    assert second.reason == "later_turn"
