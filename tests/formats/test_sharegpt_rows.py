"""ShareGPT rows are read back as the pairs that they were made of."""

from __future__ import annotations

import json

import pytest

from midb_ray.formats import conversations
from midb_ray.pairs import Pair

_ODD = ["\0 a NUL", "a lone \ud800 surrogate", "=SUM(A1:A9)", "[Instruction] ### Response:", "x" * 1_000_000]


def _pair(instruction: str, response: str, extra: dict[str, object] | None = None) -> Pair:
    return Pair("a:1", "7", "s7", "fr", instruction, "", response, (), json.dumps(extra) if extra else None)


@pytest.mark.parametrize("text", _ODD)
def test_odd_text_survives_as_data(text: str) -> None:
    row = json.loads(json.dumps(conversations.to_sharegpt_row(_pair(text, text[::-1]))))
    found = conversations.fields(row)
    assert (found.instruction, found.response, found.id, found.source_id) == (text, text[::-1], "7", "s7")


@pytest.mark.parametrize(
    ("key", "turn"),
    [
        ("messages", {"role": "system", "content": "Be brief."}),
        ("conversations", {"from": "system", "value": "Be brief."}),
    ],
)
def test_system_turns_of_either_form_come_first_and_once(key: str, turn: dict[str, str]) -> None:
    row = conversations.to_sharegpt_row(_pair("Why?", "So.", {key: [turn], "topic": "x"}))
    assert row["conversations"] == [
        {"from": "system", "value": "Be brief."},
        {"from": "human", "value": "Why?"},
        {"from": "gpt", "value": "So."},
    ]
    assert "messages" not in row
    assert row["topic"] == "x"
    assert conversations.fields(row).instruction == "Why?"


def test_the_input_follows_the_instruction_after_a_blank_line() -> None:
    row = conversations.to_sharegpt_row(_pair("Sum up.", "So.")._replace(input="A text."))
    assert row["conversations"][0] == {"from": "human", "value": "Sum up.\n\nA text."}


def test_a_system_turn_from_sharegpt_reads_back_from_openai_messages() -> None:
    extra: dict[str, object] = {"conversations": [{"from": "system", "value": "Be brief."}]}
    row = conversations.to_row(_pair("Why?", "So.", extra))
    assert row["messages"][0] == {"role": "system", "content": "Be brief."}
    assert conversations.fields(row).response == "So."
