"""Files that are no input though somebody gave them as one: what they are, and what to do with them.

Each of these would otherwise end as rows that no format knows, or as nothing but dead letters, and the advice would be wrong.
All is told from the first bytes of a file.
"""

from __future__ import annotations

import csv
import io
import itertools
import json
from typing import NamedTuple

_MAGIC = {
    b"BZh": "bzip2 data",
    b"\xfd7zXZ\x00": "xz data",
    b"PK\x03\x04": "a zip archive",
    b"7z\xbc\xaf": "a 7z archive",
    b"\x04\x22\x4d\x18": "lz4 data",
    b"\xff\xfe": "text in UTF-16",
    b"\xfe\xff": "text in UTF-16",
}
_SEPARATORS = {",": "commas", "\t": "tabs", ";": "semicolons"}
_ROWS = 20  # of a table, to be sure that it is one


def problem(head: bytes, text: bytes, cut: bool) -> str | None:
    """Why a file is no input, as a sentence without its subject, or None.

    `head` are its first bytes, `text` the same without byte order mark and leading white space; `cut` says that it goes on.
    """
    kind = next((name for magic, name in _MAGIC.items() if head.startswith(magic)), None)
    if kind is None and _is_utf16(head):
        kind = "text in UTF-16"
    if kind is not None or (b"\x00" in head[:64] and not text.startswith((b"{", b"["))):
        return (
            f"is {kind or 'neither JSON nor Parquet'} (it begins with {head[:8]!r}); expected JSON lines, a JSON array or "
            "Parquet, the first two as UTF-8 and plain, .gz or .zst. Convert it, or leave it out of the input."
        )
    if _has_lines_of_old_macs(text):
        return (
            "ends its lines with CR alone; expected JSON lines that end with LF or CR LF. "
            "Convert the line ends (`tr '\\r' '\\n'` does), or leave it out of the input."
        )
    if _is_spread_object(text, cut):
        return (
            "holds a JSON object that is spread over several lines; expected JSON lines, one whole object on each "
            "line, or a JSON array. Write each object on one line (`jq -c .` does), or put all of them into one array."
        )
    if table := _table(text, cut):
        return (
            f"is a table of {table.columns} columns with {_SEPARATORS[table.separator]} between them (CSV, TSV), which is not "
            "read; expected JSON lines, a JSON array or Parquet. Convert it (pandas does: read_csv(…).to_json(…, "
            "orient='records', lines=True)), or leave it out of the input."
        )
    return None


class _Table(NamedTuple):
    separator: str
    columns: int


def _is_utf16(head: bytes) -> bool:
    """Whether every other byte is mostly NUL and those between never are: text of which much is ASCII, as JSON's is."""
    even, odd = head[0:1024:2], head[1:1024:2]
    fewer, more = sorted((even.count(0), odd.count(0)))
    return more >= 4 and more * 3 >= len(odd) and fewer * 20 <= more


def _has_lines_of_old_macs(text: bytes) -> bool:
    if b"\n" in text or not text.startswith(b"{"):
        return False
    first, cr, rest = text.partition(b"\r")
    return bool(cr) and rest.lstrip().startswith(b"{") and _is_object(first)


def _table(text: bytes, cut: bool) -> _Table | None:
    """The table that lines are, if the first rows have equally many columns and no line is a JSON object."""
    if text.startswith((b"{", b"[")) or any(line.startswith(b"{") and _is_object(line) for line in text.splitlines()):
        return None
    content = text.decode("utf-8", "replace")
    for separator in (one for one in _SEPARATORS if one in content.partition("\n")[0]):
        try:
            rows = list(itertools.islice(csv.reader(io.StringIO(content, newline=""), delimiter=separator), _ROWS))
        except csv.Error:
            continue
        if cut and len(rows) < _ROWS:
            rows.pop()  # it goes on behind what was read
        columns = {len(row) for row in rows if row}
        if len(rows) > 1 and len(columns) == 1 and columns != {1}:
            return _Table(separator, columns.pop())
    return None


def _is_spread_object(text: bytes, cut: bool) -> bool:
    """Whether lines begin with one object spread over some of them, and not with a line that is merely broken: then the next
    one is whole. `cut` says that the file goes on after `text`."""
    first, *others = text.splitlines() or [b""]
    if not first.startswith(b"{") or not others or _is_object(first):
        return False
    content = text.decode("utf-8", "replace")
    try:
        stop = json.JSONDecoder().raw_decode(content)[1]
    except (ValueError, RecursionError):
        return cut and first.strip() == b"{" and not any(map(_is_object, others))
    behind = content[stop:].split("\n")
    return not behind[0].strip(" \t\r,") and not any(map(_is_object, (line.encode() for line in behind)))


def _is_object(line: bytes) -> bool:
    try:
        return isinstance(json.loads(line), dict)
    except (ValueError, RecursionError):
        return False
