"""Which files an input means, and what each of them is made of."""

from __future__ import annotations

import fnmatch
import itertools
import json
import posixpath
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Literal, NamedTuple

import pyarrow as pa

from midb_ray.errors import UserError
from midb_ray.runs import folder, foreign, parquet, records, storage

Layout = Literal["lines", "array", "parquet"]
Compression = Literal["none", "gz", "zst"]

_HEAD = 1 << 16
_HIDDEN = (".", "_")
_BOM = b"\xef\xbb\xbf"
_GZIP, _ZSTD, _PARQUET = b"\x1f\x8b", b"\x28\xb5\x2f\xfd", b"PAR1"
_SKIPPED = b"\x2a\x4d\x18"  # bytes 2 to 4 of a frame without data, with which parallel Zstandard writers begin
_RUN = "/run.json"  # by which a run folder is known
_LARGEST_RUN = 1 << 24  # bytes; what is larger is no run's


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
    input; a file that is named stays. Raises `UserError` for an input that is empty, absent or cannot be read, for links that
    lead nowhere, and for folders that are the output of another run.
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
            _refuse_strays(file, named is None)
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
    if problem := foreign.problem(head, text, len(head) == _HEAD):
        raise UserError(f"{file.name} {problem}")
    if text.startswith(b"[") and not _is_array_line(text):
        return "array", "none"
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
    """Whether `[` begins a complete JSON array on a line of its own with other lines after it: a (bad) row, not a layout.

    Arrays of objects, one after the other, are arrays that were put together: `records.elements` reads on.
    """
    line, newline, rest = text.partition(b"\n")
    if not newline or not rest.lstrip().startswith((b"{", b"[")):
        return False
    try:
        found = json.loads(line)
    except (ValueError, RecursionError):
        return False
    if not isinstance(found, list):
        return False
    return rest.lstrip().startswith(b"{") or not all(isinstance(element, dict) for element in found)


def _named(given: str) -> InputFile | None:
    """The file of exactly this name, if there is one."""
    found = storage.info(given)
    return None if found is None else InputFile(_name(given), found.uri, found.size, found.version)


def _refuse_strays(file: InputFile, below_folder: bool) -> None:
    """Raises `UserError` for a link that leads nowhere, and for the run.json of a folder that a run has written."""
    if file.version == storage.BROKEN_LINK:
        try:
            Path(storage.absolute(file.uri)).stat()
        except OSError as error:
            raise storage.explain(error, file.name, "follow the link") from None
    if below_folder and f"/{file.name}".endswith(_RUN) and (job := _job(file)):
        place = file.name.rpartition("/")[0] or "."
        instead = ", give its pairs/ folder, or try some of its pairs again with --only" if job == "boost" else ""
        raise UserError(f"{place} is the output of an earlier run ({job}); leave it out of the input{instead}.")


def _job(file: InputFile) -> str | None:
    """The job of the run that a run.json belongs to; None for another file of this name."""
    if file.size > _LARGEST_RUN:
        return None
    try:
        found = json.loads(storage.read_bytes(file.uri))
    except (ValueError, RecursionError):
        return None
    except OSError as error:
        raise storage.explain(error, file.name, "read") from None
    return found["job"] if folder.is_run(found) else None


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
        for file in storage.list_files(given, recursive=True, broken_links=True)
        if not any(part.startswith(_HIDDEN) for part in file.uri[prefix:].split("/"))
    ]


def _matching(pattern: str) -> list[InputFile]:
    """The files that match a pattern: `*` and `?` within a path component, `**` across them."""
    fixed = pattern[: min(pattern.index(character) for character in "*?[" if character in pattern)]
    folder = fixed.rpartition("/")[0] or ("/" if fixed.startswith("/") else ".")
    relative = pattern if folder == "." else pattern[len(folder.rstrip("/")) + 1 :]
    prefix = len(folder.rstrip("/")) + 1
    found = []
    for file in storage.list_files(folder, "/" in relative or "**" in relative, broken_links=True):
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
