"""Expert revisions in both forms."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from midb_ray.errors import UserError
from midb_ray.formats import revisions
from midb_ray.formats.reading import Reader
from midb_ray.formats.records import Record
from midb_ray.formats.registry import FORMATS
from midb_ray.locales import load_locales
from midb_ray.pairs import DeadLetter, Revision

Read = Callable[..., Any]

PUBLISHED = {
    "Raw Instruction": "a",
    "Raw Input": "b",
    "Raw Response": "c",
    "Revised Instruction": "A",
    "Revised Input": "B",
    "Revised Response": "C",
    "Distance": 3,
    "source_index": 41,
}
OWN = {
    "raw_instruction": "a",
    "raw_input": "b",
    "raw_response": "c",
    "instruction": "A",
    "input": "B",
    "response": "C",
    "kinds": ["content", "localisation"],
    "source_id": "s1",
    "language": "Italian",
}
ITALIAN = {
    "Istruzione Grezza": "a",
    "Input Grezzo": "b",
    "Risposta Grezza": "c",
    "Istruzione Rivisitata": "A",
    "Input Rivisitato": "B",
    "Risposta Rivisitata": "C",
    "Distanza": 3,
    "source_index": 41,
}


@pytest.mark.parametrize(("row", "source_id"), [(PUBLISHED, "41"), (OWN, "s1"), (ITALIAN, "41")])
def test_the_raw_side_is_the_pair_and_the_other_side_the_revision(
    read: Read, revise: Read, row: dict[str, Any], source_id: str
) -> None:
    assert revisions.recognises(tuple(row))
    pair = read(row, "revisions")
    assert (pair.instruction, pair.input, pair.response, pair.source_id) == ("a", "b", "c", source_id)
    found = revise(row)
    assert isinstance(found, Revision)
    assert (found.instruction, found.input, found.response) == ("A", "B", "C")
    assert found.pair == pair._replace(extra=found.pair.extra)


def test_kinds_and_language_of_our_own_form_are_read(revise: Read) -> None:
    found = revise(OWN)
    assert (found.kinds, found.pair.language, found.pair.extra) == (("content", "localisation"), "it", None)


def test_the_pair_keeps_the_revision_in_its_rest(read: Read) -> None:
    rest = json.loads(read(PUBLISHED, "revisions").extra)
    assert list(rest) == ["Revised Instruction", "Revised Input", "Revised Response", "Distance"]


def test_the_revision_keeps_only_what_is_neither_raw_nor_revised(revise: Read) -> None:
    assert revise(PUBLISHED).pair.extra == '{"Distance":3}'


@pytest.mark.parametrize("qualified", ["Raw Instruction", "raw_instruction", "instruction_raw", "RAWINSTRUCTION"])
def test_a_qualifier_may_be_written_in_many_ways(qualified: str) -> None:
    assert revisions.recognises((qualified, "Raw Response"))


@pytest.mark.parametrize(
    ("instruction", "response"),
    [("Rohe Anweisung", "Rohe Antwort"), ("Instruction brute", "Réponse brute"), ("生の指示", "生の応答")],
)
def test_qualifiers_are_known_in_other_languages(instruction: str, response: str) -> None:
    assert revisions.recognises((instruction, response))


def test_a_row_without_distance_is_a_revision(revise: Read) -> None:
    found = revise({key: value for key, value in PUBLISHED.items() if key != "Distance"})
    assert isinstance(found, Revision)
    assert found.pair.extra is None


@pytest.mark.parametrize("key", ["Revised Instruction", "Revised Response"])
@pytest.mark.parametrize("value", ["", "\n", None])
def test_a_blank_revision_is_a_dead_letter_but_still_a_pair(
    revise: Read, read: Read, key: str, value: str | None
) -> None:
    row = {**PUBLISHED, key: value}
    assert revise(row).reason == "missing_revision"
    assert read(row, "revisions").instruction == "a"


def test_a_missing_revision_shows_the_keys(revise: Read) -> None:
    letter = revise({"raw_instruction": "a", "raw_response": "c", "comment": "x"})
    assert isinstance(letter, DeadLetter)
    assert letter.reason == "missing_revision"
    assert "'comment'" in letter.detail


@pytest.mark.parametrize(
    ("given", "kinds"),
    [
        (None, ()),
        ([], ()),
        ("Content", ("content",)),
        (["localization"], ("localisation",)),
        (["content", "content"], ("content",)),
    ],
)
def test_kinds_are_read_as_people_write_them(revise: Read, given: Any, kinds: tuple[str, ...]) -> None:
    assert revise({**OWN, "kinds": given}).kinds == kinds


@pytest.mark.parametrize("given", ["style", ["content", 3], 7, {"content": True}])
def test_an_unknown_kind_is_a_dead_letter(revise: Read, given: Any) -> None:
    assert revise({**OWN, "kinds": given}).reason == "unknown_kind"


def test_repairs_of_both_sides_are_noted(revise: Read) -> None:
    found = revise({**OWN, "raw_response": "c\0", "response": "C\ud800"})
    assert found.pair.repairs == ("response: NUL removed", "revised response: lone surrogate replaced")
    assert (found.pair.response, found.response) == ("c", "C\ufffd")


def test_revisions_are_not_looked_for_in_a_format_without_them() -> None:
    reader = Reader(FORMATS["alpaca"], load_locales())
    with pytest.raises(UserError, match=r"x\.json: expected revisions .* 'alpaca'"):
        reader.revision(Record("x.json:1", "x.json", 1, 0, b"{}"))
