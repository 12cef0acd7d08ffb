"""Which files an input means, and what each of them is made of."""

from __future__ import annotations

import fnmatch
import itertools
import json
import posixpath
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Literal, NamedTuple

import pyarrow as pa

from midb_ray.errors import UserError
from midb_ray.runs import parquet, records, storage

Layout = Literal["lines", "array", "parquet"]
Compression = Literal["none", "gz", "zst"]

_HEAD = 1 << 16
_HIDDEN = (".", "_")
_BOM = b"\xef\xbb\xbf"
_GZIP, _ZSTD, _PARQUET = b"\x1f\x8b", b"\x28\xb5\x2f\xfd", b"PAR1"
_SKIPPED = b"\x2a\x4d\x18"  # bytes 2 to 4 of a frame without data, with which parallel Zstandard writers begin
_FOREIGN = {
    b"BZh": "bzip2 data",
    b"\xfd7zXZ\x00": "xz data",
    b"PK\x03\x04": "a zip archive",
    b"7z\xbc\xaf": "a 7z archive",
    b"\x04\x22\x4d\x18": "lz4 data",
    b"\xff\xfe": "text in UTF-16",
    b"\xfe\xff": "text in UTF-16",
}


class InputFile(NamedTuple):
    """One input file. `name` is how the user called it (below a folder: the folder as given and the path in it) and ties rows,
    resume and dead letters to it; `uri` is where any process finds it; size and version tell whether it changed."""

    name: str
    uri: str
    size: int
    version: str


def find(inputs: tuple[str, ...], leave_out: str | None = None) -> list[InputFile]:
    """The files that paths, folders and patterns stand for, each once, in the order given and by name within.

    Files and folders whose names begin with `.` or `_` are left out of folders, as Spark and Hadoop do, and only match
    patterns that begin like them. What folders and patterns find below the folder `leave_out` (the run's own output) is no
    input; a file that is named stays. Raises `UserError` for an input that is empty, absent or cannot be read.
    """
    files: dict[str, InputFile] = {}
    for given in inputs:
        if not given.strip():
            raise UserError(f"An input is empty ({given!r}); expected a file, a folder or a pattern.")
        try:
            named = _named(given)
            found = _expanded(given) if named is None else [named]
        except OSError as error:
            raise storage.explain(error, given, "read the input") from None
        if not found:
            raise UserError(f"Input {given!r} does not exist or holds no file; expected a file, a folder or a pattern.")
        if named is None and leave_out is not None:
            inside = f"{storage.absolute(leave_out).rstrip('/')}/"
            found = [file for file in found if not storage.absolute(file.uri).startswith(inside)]
            if not found:
                raise UserError(
                    f"Input {given!r} holds no file but those in {leave_out}, where the run itself writes; expected other files."
                )
        for file in found:
            storage.resolve(file.uri)  # refuses names that are no text
            if any(character in file.name for character in "\n\r"):
                raise UserError(f"Input file {file.name!r} has a line break in its name; rename it.")
            files.setdefault(storage.absolute(file.uri), file._replace(uri=storage.absolute(file.uri)))
    return list(files.values())


def layout(file: InputFile, uri: str | None = None) -> tuple[Layout, Compression]:
    """How the rows of a file are laid out, from its first bytes. Raises `UserError` if it is of no known kind."""
    head = _head(uri or file.uri)
    if head.startswith(_PARQUET):
        return "parquet", "none"
    if head.startswith(_GZIP):
        return "lines", "gz"
    if head.startswith(_ZSTD) or (head[1:4] == _SKIPPED and head[0] & 0xF0 == 0x50):
        return "lines", "zst"
    text = head.removeprefix(_BOM).lstrip()
    if text.startswith(b"[") and not _is_array_line(text):
        return "array", "none"
    foreign = next((kind for magic, kind in _FOREIGN.items() if head.startswith(magic)), None)
    if foreign is not None or (b"\x00" in head[:64] and not text.startswith(b"{")):
        raise UserError(
            f"{file.name} is {foreign or 'neither JSON nor Parquet'} (it begins with {head[:8]!r}); expected JSON lines, a JSON "
            "array or Parquet, the first two as UTF-8 and plain, .gz or .zst. Convert it, or leave it out of the input."
        )
    if _is_spread_object(text, len(head) == _HEAD):
        raise UserError(
            f"{file.name} holds a JSON object that is spread over several lines; expected JSON lines, one whole object on each "
            "line, or a JSON array. Write each object on one line (`jq -c .` does), or put all of them into one array."
        )
    return "lines", "none"


def check(files: list[InputFile]) -> None:
    """Look at the first bytes of every file. Raises `UserError` for one that cannot be read or is of no known kind."""
    with ThreadPoolExecutor(max_workers=16) as threads:
        for _ in threads.map(layout, files):
            pass


def first_rows(uri: str, kind: Layout, count: int = 100) -> list[bytes | dict[str, Any]]:
    """Some rows from the beginning of a file, to detect its format by; of a Parquet file that is damaged there, its columns."""
    try:
        if kind == "parquet":
            return _first_parquet_rows(uri, count)
        with storage.open_input(uri) as stream:
            rows = records.elements(stream) if kind == "array" else records.lines(stream)
            return [row.raw for row in itertools.islice(rows, count)]
    except (OSError, pa.ArrowException) as error:
        raise storage.explain(error, uri, "read") from None


def _first_parquet_rows(uri: str, count: int) -> list[bytes | dict[str, Any]]:
    try:
        metadata = parquet.footer(uri)
    except pa.ArrowInvalid:
        return []  # no whole file: planning says so
    with storage.open_input(uri) as stream:
        found = list(parquet.rows(stream, 0, count))
    sound = [row for row in found if not isinstance(row, Exception)]
    return sound if sound or not found else [dict.fromkeys(metadata.schema.to_arrow_schema().names)]


def _head(uri: str) -> bytes:
    try:
        with storage.open_input(uri) as stream:
            return bytes(stream.read(_HEAD))
    except OSError as error:
        raise storage.explain(error, uri, "read") from None


def _is_array_line(text: bytes) -> bool:
    """Whether `[` begins a complete JSON array on a line of its own with other lines after it: a (bad) row, not a layout."""
    line, newline, rest = text.partition(b"\n")
    if not newline or not rest.lstrip().startswith((b"{", b"[")):
        return False
    try:
        return isinstance(json.loads(line), list)
    except ValueError:
        return False


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


def _named(given: str) -> InputFile | None:
    """The file of exactly this name, if there is one."""
    found = storage.info(given)
    return None if found is None else InputFile(_name(given), found.uri, found.size, found.version)


def _name(given: str) -> str:
    return given if "://" in given else posixpath.normpath(given)


def _expanded(given: str) -> list[InputFile]:
    """The files that a folder or a pattern stands for."""
    name = _name(given)
    if any(character in given for character in "*?[") and not storage.is_folder(given):
        return _matching(name)
    prefix = len(given.rstrip("/")) + 1
    return [
        InputFile(f"{name.rstrip('/')}/{file.uri[prefix:]}", file.uri, file.size, file.version)
        for file in storage.list_files(given, recursive=True)
        if not any(part.startswith(_HIDDEN) for part in file.uri[prefix:].split("/"))
    ]


def _matching(pattern: str) -> list[InputFile]:
    """The files that match a pattern: `*` and `?` within a path component, `**` across them."""
    fixed = pattern[: min(pattern.index(character) for character in "*?[" if character in pattern)]
    folder = fixed.rpartition("/")[0] or ("/" if fixed.startswith("/") else ".")
    relative = pattern if folder == "." else pattern[len(folder.rstrip("/")) + 1 :]
    prefix = len(folder.rstrip("/")) + 1
    found = []
    for file in storage.list_files(folder, recursive="/" in relative or "**" in relative):
        if _matches(file.uri[prefix:].split("/"), relative.split("/")):
            name = file.uri[prefix:] if folder == "." else file.uri
            found.append(InputFile(name, file.uri, file.size, file.version))
    return found


def _matches(parts: list[str], patterns: list[str]) -> bool:
    if not patterns:
        return not parts
    crossing = patterns[0] == "**"
    if crossing and _matches(parts, patterns[1:]):
        return True
    if not parts or (parts[0].startswith(_HIDDEN) and not patterns[0].startswith(parts[0][0])):
        return False
    return fnmatch.fnmatchcase(parts[0], patterns[0]) and _matches(parts[1:], patterns if crossing else patterns[1:])
