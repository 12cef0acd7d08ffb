"""What every format has in common: texts, ids, languages, and that no row is lost."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from midb_ray.errors import UserError
from midb_ray.formats.reading import Reader
from midb_ray.formats.records import REASONS, Record
from midb_ray.formats.registry import FORMATS
from midb_ray.formats.texts import text
from midb_ray.locales import load_locales
from midb_ray.pairs import DeadLetter, Pair, Revision, pairs_to_table

Read = Callable[..., Any]

ROW = {"instruction": "Nommez un fruit.", "input": "", "output": "La pomme."}
TEXT = st.text(st.characters(codec=None) | st.sampled_from("\0\ud800\udc00"), max_size=5)  # lone surrogates too
ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=6,
)
KEYS = (
    *(
        "instruction",
        "Input",
        "output",
        "response",
        "prompt",
        "history",
        "id",
        "source_id",
        "language",
        "lang",
        "extra",
    ),
    *(
        "raw_instruction",
        "raw_input",
        "raw_response",
        "kinds",
        "messages",
        "conversations",
        "row",
        "repairs",
        "previous",
    ),
)


# Texts


def test_lone_surrogates_and_nul_are_mended_and_noted(read: Read) -> None:
    pair = read(b'{"instruction": "a\\ud800b", "input": "\\u0000x", "output": "c\\udc00\\u0000"}')
    assert (pair.instruction, pair.input, pair.response) == ("a\ufffdb", "x", "c\ufffd")
    assert pair.repairs == (
        "instruction: lone surrogate replaced",
        "input: NUL removed",
        "response: NUL removed",
        "response: lone surrogate replaced",
    )


def test_escaped_pairs_of_surrogates_are_characters(read: Read) -> None:
    pair = read(b'{"instruction": "\\ud83d\\ude00", "output": "c"}')
    assert (pair.instruction, pair.repairs) == ("😀", ())


@given(st.text(st.characters(codec=None), max_size=20))
@example("\ud800\ud800a")
@example("\udc00\ud800")
def test_mended_text_keeps_every_good_character_and_can_be_written(value: str) -> None:
    repairs: list[str] = []
    mended = text("input", value, repairs)
    mended.encode("utf-8")
    joined = re.sub(
        "[\ud800-\udbff][\udc00-\udfff]",
        lambda pair: pair[0].encode("utf-16-le", "surrogatepass").decode("utf-16-le"),
        value.replace("\0", ""),
    )
    assert mended == re.sub("[\ud800-\udfff]", "\ufffd", joined)
    assert bool(repairs) == (mended != value)


@pytest.mark.parametrize(
    ("value", "expected", "note"),
    [
        (42, "42", "number"),
        (2.5, "2.5", "number"),
        (True, "true", "boolean"),
        (0, "0", "number"),
        (False, "false", "boolean"),
    ],
)
def test_numbers_and_booleans_become_their_text_and_are_noted(read: Read, value: Any, expected: str, note: str) -> None:
    pair = read({**ROW, "output": value})
    assert (pair.response, pair.repairs) == (expected, (f"response: {note} written as text",))


def test_nan_means_null(read: Read, refused: Read) -> None:
    pair = read(b'{"instruction": "a", "input": NaN, "output": "c", "score": Infinity}')
    assert (pair.input, pair.extra) == ("", '{"score":null}')
    assert pair.repairs == ("input: NaN or Infinity read as null", "extra: NaN or Infinity replaced by null")
    assert refused(b'{"instruction": "a", "output": NaN}').reason == "empty_response"


def test_white_space_in_texts_stays(read: Read) -> None:
    assert read({**ROW, "output": "  La pomme.\r\n"}).response == "  La pomme.\r\n"


def test_a_line_of_ten_megabytes_is_a_pair(read: Read) -> None:
    assert len(read({**ROW, "output": "é" * 5_000_000}).response) == 5_000_000


# Ids


@pytest.mark.parametrize(
    ("value", "expected"),
    [("007", "007"), ("", ""), (7, "7"), (None, None), (1.5, "1.5"), (True, "true"), ({"a": ["é"]}, '{"a":["é"]}')],
)
def test_ids_are_strings_as_they_are_or_json(read: Read, value: Any, expected: str | None) -> None:
    pair = read({"id": value, "source_id": value, **ROW})
    assert (pair.id, pair.source_id) == (expected, expected)


def test_a_second_id_stays_in_the_rest(read: Read) -> None:
    pair = read({"uid": 2, "id": 1, **ROW})
    assert (pair.id, pair.extra) == ("1", '{"uid":2}')


# Languages


@pytest.mark.parametrize(
    ("stated", "tag"),
    [("fr", "fr"), ("Deutsch", "de"), ("fr-CA", "fr-CA"), ("pt_BR", "pt"), ("jpn", "ja"), ("TÜRKÇE", "tr")],
)
@pytest.mark.parametrize("key", ["language", "Language", "lang", "locale", "language_code"])
def test_the_row_itself_states_the_language_in_any_form(read: Read, key: str, stated: str, tag: str) -> None:
    pair = read({**ROW, key: stated}, file="Italian.json", language="Greek")
    assert (pair.language, pair.extra) == (tag, None)


def test_the_given_language_wins_over_the_name_of_the_file(read: Read) -> None:
    assert read(ROW, file="Italian.json", language="Greek").language == "el"


def test_the_name_of_the_file_wins_over_the_text(read: Read) -> None:
    assert read(ROW, file="Italian.json", identify=lambda _: "fr").language == "it"


def test_the_text_decides_last(read: Read) -> None:
    seen: list[str] = []

    def identify(text: str) -> str:
        seen.append(text)
        return "fra"

    assert read({**ROW, "language": " "}, file="corpus.jsonl", identify=identify).language == "fr"
    assert seen == ["Nommez un fruit.\n\nLa pomme."]


@pytest.mark.parametrize("stated", ["Klingon", "zh", "../../etc", "\ud800", "x" * 1000, 7, ["fr"]])
def test_an_unknown_language_is_a_dead_letter_even_where_another_is_given(refused: Read, stated: Any) -> None:
    letter = refused({**ROW, "language": stated}, language="fr")
    assert letter.reason == "unknown_language"
    assert "'language' is" in letter.detail


def test_two_keys_may_state_one_language(read: Read, refused: Read) -> None:
    pair = read({**ROW, "language": "Standard Malay", "language_code": "zsm"})
    assert (pair.language, pair.extra) == ("ms", '{"language_code":"zsm"}')
    assert read({**ROW, "language": "French", "locale": "fr-CA"}).language == "fr-CA"
    assert refused({**ROW, "language": "French", "lang": "de"}).reason == "unknown_language"


@pytest.mark.parametrize("code", [None, "zh"])
def test_a_language_that_nothing_tells_is_a_dead_letter(refused: Read, code: str | None) -> None:
    letter = refused(ROW, file="corpus.jsonl", identify=lambda _: code)
    assert letter.reason == "unknown_language"
    assert ("'zh'" in letter.detail) == (code == "zh")


def test_an_unknown_given_language_is_refused_at_once() -> None:
    with pytest.raises(UserError, match="Frensh"):
        Reader(FORMATS["alpaca"], load_locales(), "Frensh")


# Whatever a row holds


def outcomes(raw: bytes | dict[str, Any], format: str) -> list[Pair | DeadLetter]:
    """What a reader makes of `raw`, as a pair and, where there are revisions, as a revision's pair."""
    reader = Reader(FORMATS[format], load_locales(), "fr")
    record = Record("x:1", "x", 1, 0, raw)
    pairs = reader.pairs(record)
    found: list[Pair | DeadLetter] = [pairs] if isinstance(pairs, DeadLetter) else [*pairs]
    if FORMATS[format].revised:
        outcome = reader.revision(record)
        found.append(outcome.pair if isinstance(outcome, Revision) else outcome)
    return found


def check(outcome: Pair | DeadLetter, raw: bytes | dict[str, Any]) -> None:
    """Whatever came out can be written, and nothing is lost."""
    if isinstance(outcome, Pair):
        assert pairs_to_table([outcome]).num_rows == 1
        assert outcome.extra is None or isinstance(json.loads(outcome.extra), dict)
        assert not (outcome.instruction + outcome.response).isspace()
    else:
        assert outcome.reason in REASONS
        outcome.detail.encode("utf-8")
        assert outcome.raw == raw if isinstance(raw, bytes) else json.loads(outcome.raw) is not None


@pytest.mark.parametrize("format", sorted(FORMATS))
@given(
    raw=st.binary()
    | st.builds(lambda start, rest: start + rest, st.sampled_from([b'{"', b"[{", b"\xef\xbb\xbf{"]), st.binary())
)
def test_arbitrary_bytes_never_crash_a_reader(format: str, raw: bytes) -> None:
    for outcome in outcomes(raw, format):
        check(outcome, raw)


@pytest.mark.parametrize("format", sorted(FORMATS))
@given(row=st.dictionaries(st.sampled_from(KEYS) | TEXT, TEXT | ANYTHING, max_size=8), parsed=st.booleans())
@example(row={"instruction": "a", "response": "c", "repairs": ["\ud800"]}, parsed=False)
def test_arbitrary_rows_never_crash_a_reader(format: str, row: dict[str, Any], parsed: bool) -> None:
    raw = row if parsed else json.dumps(row).encode()
    for outcome in outcomes(raw, format):
        check(outcome, raw)


@pytest.mark.parametrize("depth", [300, 600, 900, 990, 5000])
def test_nesting_of_any_depth_ends_as_a_pair_or_a_dead_letter(depth: int) -> None:
    raw = b'{"instruction": "a", "output": "c", "x": ' + b"[" * depth + b"]" * depth + b"}"
    (outcome,) = outcomes(raw, "alpaca")
    assert isinstance(outcome, Pair) or outcome.reason == "unreadable_json"
