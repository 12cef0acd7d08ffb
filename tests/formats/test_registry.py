"""Which format an input is in."""

from __future__ import annotations

import json
from typing import Any

import pytest

from midb_ray.errors import UserError
from midb_ray.formats.registry import FORMATS, detect
from midb_ray.pairs import BOOSTED_SCHEMA, PAIR_SCHEMA

ROWS: dict[str, dict[str, Any]] = {
    "alpaca": {"instruction": "a", "input": "", "output": "c"},
    "revisions": {"Raw Instruction": "a", "Raw Response": "c", "Revised Instruction": "A", "Revised Response": "C"},
    "conversations": {"prompt": "a", "messages": [{"role": "user", "content": "a"}]},
    "preferences": {"prompt": "a", "chosen": "c", "rejected": "d", "answer": "c"},
    "pairs": dict.fromkeys(PAIR_SCHEMA.names),
}


@pytest.mark.parametrize("name", sorted(FORMATS))
def test_each_format_is_detected_from_one_row(name: str) -> None:
    assert detect([ROWS[name]]) is FORMATS[name]
    assert detect([json.dumps(ROWS[name]).encode()]) is FORMATS[name]


def test_our_own_forms_are_not_taken_for_alpaca() -> None:
    assert detect([dict.fromkeys(BOOSTED_SCHEMA.names)]).name == "pairs"
    own = ("raw_instruction", "raw_input", "raw_response", "instruction", "input", "response", "kinds", "language")
    assert detect([dict.fromkeys(own)]).name == "revisions"


def test_dirty_rows_have_no_say() -> None:
    samples = [b'{"instr', b"\xff\xfe", b"[" * 100_000, b"[]", b"{}", json.dumps(ROWS["alpaca"]).encode()]
    assert detect(samples).name == "alpaca"


def test_the_majority_decides() -> None:
    assert detect([ROWS["conversations"], ROWS["alpaca"], ROWS["alpaca"]]).name == "alpaca"


def test_unknown_keys_are_shown_with_what_to_do() -> None:
    with pytest.raises(UserError) as error:
        detect([{"frage": "a", "kommentar": "c"}])
    assert "'frage', 'kommentar'" in str(error.value)
    assert "alpaca, conversations" in str(error.value)


def test_rows_none_of_which_can_be_read_are_of_any_format_and_become_dead_letters() -> None:
    assert detect([b'{"instruction": "Wie', b"zzz", b"\xff\xfe{\0"]).name in FORMATS
