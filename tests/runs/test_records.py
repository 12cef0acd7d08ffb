"""Cutting files into rows: every byte that is no separator belongs to exactly one row, wherever a scan begins."""

from __future__ import annotations

import io
import json

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from midb_ray.runs import records

ROWS = st.lists(
    st.dictionaries(st.text(max_size=5), st.text(max_size=20) | st.integers() | st.lists(st.text(max_size=5)))
)


def stream(content: bytes) -> pa.NativeFile:
    return pa.PythonFile(io.BytesIO(content), mode="r")


def array(content: bytes) -> list[bytes]:
    return [row.raw for row in records.elements(stream(content))]


@given(ROWS, st.sampled_from([None, 0, 1, 4]), st.sampled_from([(",", ":"), (" , ", " : ")]))
def test_array_elements_are_those_json_sees(rows: list[dict], indent: int | None, separators: tuple[str, str]) -> None:
    content = json.dumps(rows, indent=indent, separators=separators, ensure_ascii=False).encode()
    assert [json.loads(raw) for raw in array(content)] == rows


@given(ROWS.filter(lambda rows: len(rows) > 1), st.data())
def test_an_array_read_from_any_element_on_gives_the_same_rows(rows: list[dict], data: st.DataObject) -> None:
    content = json.dumps(rows, indent=1).encode()
    whole = list(records.elements(stream(content)))
    first = data.draw(st.integers(0, len(whole) - 1))
    last = data.draw(st.integers(first, len(whole) - 1))
    length = whole[last].offset + len(whole[last].raw) - whole[first].offset
    part = list(records.elements(stream(content), whole[first].offset, length))
    assert [(row.offset, row.raw) for row in part] == [(row.offset, row.raw) for row in whole[first : last + 1]]


def test_offsets_and_lines_point_at_the_element() -> None:
    content = b'\xef\xbb\xbf[\n  {"a": 1},\n\n  {"b":\n 2}]\n'
    rows = list(records.elements(stream(content)))
    assert [(row.line, content[row.offset : row.offset + len(row.raw)]) for row in rows] == [
        (2, b'{"a": 1}'),
        (4, b'{"b":\n 2}'),
    ]


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b'[{"a": "x}\n, {"b": 2}]', [b'{"a": "x}\n', b'{"b": 2}']),  # a lost quotation mark
        (b'[{"a": 1, {"b": 2}, {"c": 3}]', [b'{"a": 1', b'{"b": 2}', b'{"c": 3}']),  # a lost brace
        (b'[{"a": 1}, {"b": "cut he', [b'{"a": 1}', b'{"b": "cut he']),  # a truncated file
        (b'[{"a": 1}] trailing', [b'{"a": 1}', b"trailing"]),
        (b'[{"a": 1}, 7, "text", null, [1, 2]]', [b'{"a": 1}', b"7", b'"text"', b"null", b"[1, 2]"]),
        (b'[{"a": 1},,{"b": 2},]', [b'{"a": 1}', b'{"b": 2}']),
        (b"[]", []),
        (b"", []),
        (b'[{"a": "\\"}, {"}]', [b'{"a": "\\"}, {"}']),
        (b'{"a": 1}', [b'{"a": 1}']),
    ],
)
def test_broken_arrays_cost_only_the_broken_rows(content: bytes, expected: list[bytes]) -> None:
    assert [raw.strip() for raw in array(content)] == [raw.strip() for raw in expected]


def test_elements_larger_than_the_read_block() -> None:
    rows = [{"text": 'é"\\' * 700_000}, {"text": "b"}, {"text": "[{," * 500_000}]
    assert [json.loads(raw) for raw in array(json.dumps(rows).encode())] == rows


@given(
    ROWS,
    st.lists(st.tuples(st.integers(0, 400), st.sampled_from([b"", b'"', b"{", b"}", b"]", b",", b"\\", b"\n", b"\0"]))),
)
def test_the_decoder_and_the_tokens_agree_whatever_is_broken(rows: list[dict], damage: list[tuple[int, bytes]]) -> None:
    content = json.dumps(rows, indent=1, ensure_ascii=False).encode()
    for place, replacement in damage:
        content = content[:place] + replacement + content[place + 1 :]
    fast = list(records.elements(stream(content)))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(records, "_sound", lambda *_: 0)
        assert list(records.elements(stream(content))) == fast


@pytest.mark.parametrize("block", [1, 2, 3, 7, 64])
def test_elements_do_not_depend_on_how_the_file_is_read(block: int, monkeypatch: pytest.MonkeyPatch) -> None:
    content = json.dumps(
        [{"a": 'x"y', "b": [{}, [1.5e3]]}, {"é": "\\"}, 7, None], ensure_ascii=False, indent=2
    ).encode()
    whole = list(records.elements(stream(content)))
    monkeypatch.setattr(records, "_BLOCK", block)
    assert list(records.elements(stream(content))) == whole


LINES = st.lists(st.binary(max_size=30).filter(lambda line: b"\n" not in line and b"\r" not in line))


@given(LINES, st.booleans(), st.sampled_from([1, 5, 1 << 20]))
def test_lines_are_all_lines_but_the_blank_ones(rows: list[bytes], crlf: bool, block: int) -> None:
    content = (b"\r\n" if crlf else b"\n").join(rows)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(records, "_BLOCK", block)
        found = list(records.lines(stream(content)))
    expected = [row.removeprefix(b"\xef\xbb\xbf") for row in rows]
    assert [row.raw for row in found] == [row for row in expected if row.strip()]
    assert all(content[row.offset :].startswith(row.raw) for row in found)


def test_a_byte_order_mark_inside_a_file_belongs_to_no_row() -> None:
    content = b'\xef\xbb\xbf{"a": 1}\n\xef\xbb\xbf{"b": 2}\n\xef\xbb\xbf\n'  # three files put together
    assert [(row.offset, row.line, row.raw) for row in records.lines(stream(content))] == [
        (3, 1, b'{"a": 1}'),
        (15, 2, b'{"b": 2}'),
    ]


def test_a_line_of_ten_megabytes() -> None:
    long = b"x" * 10_000_000
    found = list(records.lines(stream(b"a\n" + long + b"\n\nb")))
    assert [(row.offset, row.line, len(row.raw)) for row in found] == [
        (0, 1, 1),
        (2, 2, len(long)),
        (len(long) + 4, 4, 1),
    ]
