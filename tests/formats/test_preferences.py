"""Preference pairs: TRL's two forms are read, the conversational one is written, as a pair or as a revision."""

from __future__ import annotations

import json
from typing import Any

import pytest

from midb_ray.formats import preferences
from midb_ray.formats.reading import Reader
from midb_ray.formats.registry import FORMATS
from midb_ray.locales import load_locales
from midb_ray.pairs import Pair, Revision
from tests.formats.conftest import Read, record

PAIR = Pair("a:1", "7", None, "fr", "Traduis.", "Good evening", "Bonsoir")


def turns(*said: str) -> list[dict[str, str]]:
    roles = ("user", "assistant") if len(said) == 2 else ("system", "user", "assistant")
    return [{"role": role, "content": text} for role, text in zip(roles, said, strict=True)]


def test_a_pair_becomes_a_prompt_and_two_answers_that_are_read_back(read: Read) -> None:
    row = preferences.to_row(PAIR, "Bonjour")
    assert row == {
        "prompt": [{"role": "user", "content": "Traduis.\n\nGood evening"}],
        "chosen": [{"role": "assistant", "content": "Bonsoir"}],
        "rejected": [{"role": "assistant", "content": "Bonjour"}],
        "id": "7",
        "language": "fr",
    }
    pair = read(row, "preferences")
    assert (pair.id, pair.language, pair.instruction, pair.input) == ("7", "fr", "Traduis.\n\nGood evening", "")
    assert pair.response == "Bonsoir"
    assert json.loads(pair.extra) == {"rejected": row["rejected"]}


def test_system_turns_lead_the_prompt() -> None:
    extra = json.dumps({"messages": [{"role": "system", "content": "Sois bref."}], "tag": 1})
    row = preferences.to_row(PAIR._replace(input="", extra=extra), "Bonjour")
    assert row["prompt"] == turns("Sois bref.", "Traduis.", "-")[:2]
    assert (row["tag"], "messages" in row) == (1, False)


def test_keys_of_the_user_that_have_a_fields_name_stay_apart() -> None:
    row = preferences.to_row(PAIR._replace(extra=json.dumps({"chosen": "mine", "extra": 5})), "Bonjour")
    assert row["chosen"] == [{"role": "assistant", "content": "Bonsoir"}]
    assert row["extra"] == {"extra": 5, "chosen": "mine"}


def test_plain_texts_are_read_too(read: Read) -> None:
    pair = read({"prompt": "Traduis.", "chosen": "Bonsoir", "rejected": "Bonjour"}, "preferences")
    assert (pair.instruction, pair.response) == ("Traduis.", "Bonsoir")


def test_answers_that_begin_with_the_prompt_are_whole_conversations(read: Read) -> None:
    row = {"prompt": "Traduis.", "chosen": turns("Traduis.", "Bonsoir"), "rejected": turns("Traduis.", "Bonjour")}
    pair = read(row, "preferences")
    assert (pair.instruction, pair.response) == ("Traduis.", "Bonsoir")


def test_a_preference_is_a_revision_of_the_rejected_answer() -> None:
    row = {**preferences.to_row(PAIR, "Bonjour"), "tag": 1}
    found = Reader(FORMATS["preferences"], load_locales()).revision(record(row))
    assert isinstance(found, Revision)
    assert (found.pair.instruction, found.pair.response) == ("Traduis.\n\nGood evening", "Bonjour")
    assert (found.instruction, found.response) == ("Traduis.\n\nGood evening", "Bonsoir")
    assert json.loads(found.pair.extra or "") == {"tag": 1}


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ({"prompt": None, "chosen": "b", "rejected": "c"}, "missing_instruction"),
        ({"prompt": "a", "chosen": None, "rejected": "c"}, "missing_response"),
        ({"prompt": 5, "chosen": "b", "rejected": "c"}, "wrong_type"),
        ({"prompt": ["a"], "chosen": "b", "rejected": "c"}, "wrong_type"),
        ({"prompt": [{"role": "chief", "content": "a"}], "chosen": "b", "rejected": "c"}, "unknown_role"),
    ],
)
def test_what_is_no_preference_becomes_a_dead_letter(refused: Read, row: dict[str, Any], reason: str) -> None:
    assert refused(row, "preferences").reason == reason
