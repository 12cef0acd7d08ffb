"""Dead letters: their place, their reason, and the exact bytes of the row."""

from __future__ import annotations

import ast
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import midb_ray.formats
from midb_ray.formats.reading import Reader
from midb_ray.formats.records import REASONS, Record
from midb_ray.formats.registry import FORMATS
from midb_ray.locales import load_locales
from midb_ray.pairs import DeadLetter

Read = Callable[..., Any]

ROW = {"instruction": "Nommez un fruit.", "input": "", "output": "La pomme."}


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        (b'{"instruction": "caf\xe9"}', "invalid_encoding"),
        (b'{"instruction": "a", "outp', "invalid_json"),
        (b"[" * 100_000, "unreadable_json"),
        (b'["a"]', "not_an_object"),
        (b'{"output": "a", "output": "b"}', "duplicate_key"),
        ({**ROW, "Output": "other"}, "ambiguous_field"),
        ({"output": "c"}, "missing_instruction"),
        ({"instruction": "a"}, "missing_response"),
        ({**ROW, "instruction": " \n"}, "empty_instruction"),
        ({**ROW, "instruction": None}, "empty_instruction"),
        ({**ROW, "output": ""}, "empty_response"),
        ({**ROW, "output": "\0"}, "empty_response"),
        (b'{"instruction": "a", "output": 1e400}', "number_out_of_range"),
        (b'{"instruction": -Infinity, "output": "c"}', "number_out_of_range"),
        ({**ROW, "output": float("nan")}, "empty_response"),
        ({**ROW, "output": ["c"]}, "wrong_type"),
        ({**ROW, "input": {"a": "b"}}, "wrong_type"),
        ({**ROW, "history": [["q", "a", "q"]]}, "wrong_type"),
        ({**ROW, "language": "Klingon"}, "unknown_language"),
    ],
)
def test_a_dead_letter_has_place_reason_and_the_exact_bytes(refused: Read, row: Any, reason: str) -> None:
    raw = row if isinstance(row, bytes) else json.dumps(row).encode()
    letter = refused(raw)
    assert letter[:5] == ("corpora/French.json:7", "corpora/French.json", 7, 4096, reason)
    assert letter.raw == raw
    assert letter.detail
    assert "\n" not in letter.detail


def test_an_error_in_place_of_a_row_is_a_dead_letter_of_its_place() -> None:
    for form in FORMATS.values():
        error = OSError("Corrupt snappy\ncompressed data.")
        letter = Reader(form, load_locales()).pairs(Record("a.parquet:7", "a.parquet", None, None, error))
        expected = ("a.parquet:7", "a.parquet", None, None, "damaged_file", "Corrupt snappy compressed data.", b"")
        assert letter == DeadLetter(*expected)


def test_the_details_of_a_dead_letter_are_short_and_writable(refused: Read) -> None:
    letter = refused(json.dumps({"k\ud800\n" * 500: 1, **{f"key {place}": 1 for place in range(1000)}}))
    assert letter.reason == "not_an_object"  # a JSON string that holds JSON is still a string
    letter = refused({"k\ud800\n" * 500: 1, **{f"key {place}": 1 for place in range(1000)}})
    assert letter.reason == "missing_instruction"
    assert len(letter.detail.encode("utf-8")) <= 400
    assert "and 993 more" in letter.detail


def test_every_reason_in_the_code_is_explained() -> None:
    used: set[str] = set()
    for path in Path(midb_ray.formats.__file__).parent.glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "RowError":
                reason = node.args[0]
                if isinstance(reason, ast.JoinedStr):  # a reason for either field
                    (prefix, _) = reason.values
                    assert isinstance(prefix, ast.Constant)
                    used |= {f"{prefix.value}instruction", f"{prefix.value}response"}
                else:
                    found = [reason.body, reason.orelse] if isinstance(reason, ast.IfExp) else [reason]
                    used |= {str(one.value) for one in found if isinstance(one, ast.Constant)}
    assert used == set(REASONS) - {"truncated_file"}  # of files, told by those who cut them into rows
