"""JSON in and out of rows."""

from __future__ import annotations

import datetime
import decimal
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from midb_ray.formats.json_rows import parse, to_bytes, to_json
from midb_ray.formats.records import RowError


@pytest.mark.parametrize(
    "raw",
    [
        b'\xef\xbb\xbf{"a": "\xc3\xa9"}',
        b'{"a": "\xc3\xa9"}\r\n',
        b' \t{"a": "\\u00e9"} ',
        b'{"a": "\xc3\xa9", "a": "\xc3\xa9"}',
    ],
)
def test_what_a_person_would_read_is_read(raw: bytes) -> None:
    assert parse(raw) == {"a": "é"}


def test_control_characters_in_strings_stay() -> None:
    assert parse(b'{"a": "b\tc\0d\ne"}') == {"a": "b\tc\0d\ne"}


@pytest.mark.parametrize(
    ("raw", "reason", "detail"),
    [
        (b"caf\xe9", "invalid_encoding", "byte 0xe9 at position 3"),
        ('{"a": 1}'.encode("utf-16"), "invalid_encoding", "UTF-16"),
        (b'{"a": "\xed\xa0\x80"}', "invalid_encoding", "0xed at position 7"),
        (b'{"a": "b', "invalid_json", "Unterminated string starting at character 6 of 8"),
        (b'{"a": 1} {"a": 2}', "invalid_json", "Extra data at character 9 of 17"),
        (b"", "invalid_json", "the row is blank"),
        (b"[" * 100_000, "unreadable_json", "nested too deeply"),
        (b'{"a":' * 100_000, "unreadable_json", "nested too deeply"),
        (b'{"a": ' + b"9" * 5000 + b"}", "unreadable_json", "4300"),
        (b"[1, 2]", "not_an_object", "a list [1, 2]"),
        (b'"text"', "not_an_object", "a string 'text'"),
        (b"null", "not_an_object", "null"),
        (b"NaN", "not_an_object", "a number nan"),
        (b'{"a": 1, "b": {"c": 1, "c": 2}}', "duplicate_key", "'c'"),
        (b'{"a": 1, "a": true}', "duplicate_key", "'a'"),
    ],
)
def test_what_cannot_be_read_says_why(raw: bytes, reason: str, detail: str) -> None:
    with pytest.raises(RowError) as error:
        parse(raw)
    assert error.value.reason == reason
    assert detail in error.value.detail


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    )
)
def test_any_json_value_is_written_as_utf8_and_read_back(value: Any) -> None:
    text, exact = to_json({"a": value})
    assert exact
    assert parse(text.encode("utf-8")) == {"a": value}


def test_lone_surrogates_stay_as_escapes_beside_readable_text() -> None:
    assert to_json({"é": "\ud800ü"}) == ('{"é":"\\ud800ü"}', True)


def test_numbers_that_json_does_not_know_become_null_and_are_told() -> None:
    row = parse(b'{"a": [NaN, 1], "b": {"c": -Infinity}, "d": 1e999}')
    assert to_json(row) == ('{"a":[null,1],"b":{"c":null},"d":null}', False)


def test_types_that_only_parquet_knows_become_text() -> None:
    row = {
        "when": datetime.datetime(2024, 5, 1, 12, tzinfo=datetime.timezone.utc),
        "price": decimal.Decimal("1.10"),
        "utf8": "é".encode(),
        "binary": b"\xff\x00",
    }
    expected = {"when": "2024-05-01T12:00:00+00:00", "price": "1.10", "utf8": "é", "binary": "/wA="}
    assert json.loads(to_bytes(row)) == expected
