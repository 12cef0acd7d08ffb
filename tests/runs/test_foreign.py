"""Files that are no input get one sentence of their own, and what merely looks like them is read."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from midb_ray.errors import UserError
from midb_ray.runs import inputs
from midb_ray.runs.inputs import InputFile


def layout(tmp_path: Path, content: bytes) -> tuple[str, str]:
    (tmp_path / "file").write_bytes(content)
    return inputs.layout(InputFile("the file", f"{tmp_path}/file", 0, ""))


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR", "neither JSON nor Parquet"),
        (b"PK\x03\x04\x14\0", "a zip archive"),
        (b"BZh91AY&SY", "bzip2"),
        ('{"a": 1}'.encode("utf-16"), "text in UTF-16"),
        ('{"a": 1, "b": "é"}'.encode("utf-16-le"), "text in UTF-16"),
        ('[{"instruction": "東京は？", "output": "はい。"}]'.encode("utf-16-be"), "text in UTF-16"),
    ],
)
def test_a_file_of_no_known_kind_is_one_sentence(tmp_path: Path, content: bytes, expected: str) -> None:
    with pytest.raises(UserError, match=rf"^the file is {expected} .*; expected JSON lines.*\.$"):
        layout(tmp_path, content)


TABLE = "instruction,input,output\n" + '"Wie, bitte?",,"So\nund, ja, so."\n' * 2


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (TABLE, "a table of 3 columns with commas"),
        (TABLE * 3000, "a table of 3 columns with commas"),
        (TABLE.replace("ja", "\n{ja}" * 40), "a table of 3 columns with commas"),
        ("\ufeff" + TABLE.replace("\n", "\r\n"), "a table of 3 columns with commas"),
        ("instruction\toutput\nWie?\tSo, und so.\n", "a table of 2 columns with tabs"),
        ("instruction;output\nWie?;So, und so.\n", "a table of 2 columns with semicolons"),
    ],
)
def test_a_table_is_one_sentence(tmp_path: Path, content: str, expected: str) -> None:
    with pytest.raises(UserError, match=rf"^the file is {expected} between them .* Convert it .*\.$"):
        layout(tmp_path, content.encode())


def test_lines_that_end_with_cr_alone_are_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"^the file ends its lines with CR alone; .* Convert the line ends .*\.$"):
        layout(tmp_path, b'{"a": 1}\r{"a": 2}\r')


LONG = json.dumps({"data": [{"instruction": f"Wie {n}?", "output": "So."} for n in range(3000)]}, indent=1).encode()
ROW = b'{"instruction": "Wie?", "output": "So."}'
SPREAD = b'{\n "instruction": "Wie?",\n "output": "So."\n}'


@pytest.mark.parametrize(
    "content",
    [
        SPREAD,
        b"\xef\xbb\xbf\n" + SPREAD + b"\n",
        SPREAD.replace(b"\n", b"\r\n"),
        b'{"instruction": "Wie?",\n "output": "So."}\n',
        SPREAD + b"\n" + SPREAD,  # as jq writes
        SPREAD + b",\n" + SPREAD,
        LONG,
    ],
)
def test_an_object_spread_over_several_lines_is_one_sentence(tmp_path: Path, content: bytes) -> None:
    with pytest.raises(
        UserError, match=r"^the file holds a JSON object that is spread over several lines; .* array\.$"
    ):
        layout(tmp_path, content)


@pytest.mark.parametrize(
    "content",
    [
        ROW,
        ROW + b"\n" + ROW,
        b"{\n" + ROW + b"\n" + ROW,
        b"{\n" + (ROW + b"\n") * 3000,
        b'{"instruction": "Wie?", "output": \n' + ROW,
        b'{"instruction": "Wie?", "output": "So\n' + ROW,
        b'{"instruction": "Wie?",\n"output": "So."}\n' + ROW,  # one row of many is broken in two
        ROW + b" " + ROW + b"\n" + ROW,
        b'{"instruction": "' + b"x" * 100_000 + b'"}\n' + ROW,
        b"{",
        b'{"instruction": \n',
    ],
)
def test_lines_that_begin_with_a_broken_one_are_lines(tmp_path: Path, content: bytes) -> None:
    assert layout(tmp_path, content) == ("lines", "none")
