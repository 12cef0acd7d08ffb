"""Which files an input means, and what each of them is made of."""

from __future__ import annotations

import fnmatch
import json
import posixpath
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Literal, NamedTuple

import pyarrow.parquet as pq

from midb_ray.errors import UserError
from midb_ray.runs import storage

Layout = Literal["lines", "array", "parquet"]
Compression = Literal["none", "gz", "zst"]

_HEAD = 1 << 16
_BOM = b"\xef\xbb\xbf"
_GZIP, _ZSTD, _PARQUET = b"\x1f\x8b", b"\x28\xb5\x2f\xfd", b"PAR1"


class InputFile(NamedTuple):
    """One input file. `name` is how the user called it (below a folder: the folder as given and the path in it) and ties rows,
    resume and dead letters to it; size and version tell whether it changed."""

    name: str
    uri: str
    size: int
    version: str


def find(inputs: tuple[str, ...]) -> list[InputFile]:
    """The files that paths, folders and patterns stand for, each once, in the order given and by name within.

    Files whose names begin with `.` or `_` are left out of folders, as Spark and Hadoop do.
    Raises `UserError` for an input that is absent or cannot be read.
    """
    files: dict[str, InputFile] = {}
    for given in inputs:
        try:
            found = _expand(given)
        except OSError as error:
            raise storage.explain(error, given, "read the input") from None
        if not found:
            raise UserError(f"Input {given!r} does not exist or holds no file; expected a file, a folder or a pattern.")
        for file in found:
            if any(character in file.name for character in "\n\r"):
                raise UserError(f"Input file {file.name!r} has a line break in its name; rename it.")
            files.setdefault(file.uri, file)
    names = [file.name for file in files.values()]
    if len(set(names)) < len(names):
        raise UserError(f"Two inputs have the same name {max(names, key=names.count)!r}; give them by different paths.")
    return list(files.values())


def layout(file: InputFile, uri: str | None = None) -> tuple[Layout, Compression]:
    """How the rows of a file are laid out, from its first bytes. Raises `UserError` if it is of no known kind."""
    head = _head(uri or file.uri)
    if head.startswith(_PARQUET):
        return "parquet", "none"
    if head.startswith(_GZIP):
        return "lines", "gz"
    if head.startswith(_ZSTD):
        return "lines", "zst"
    text = head.removeprefix(_BOM).lstrip()
    if text.startswith(b"[") and not _is_array_line(text):
        return "array", "none"
    if b"\x00" in head[:64] and not text.startswith(b"{"):
        raise UserError(
            f"{file.name} is neither JSON nor Parquet (it begins with {head[:8]!r}); leave it out of the input."
        )
    return "lines", "none"


def check(files: list[InputFile]) -> None:
    """Look at the first bytes of every file. Raises `UserError` for one that cannot be read or is of no known kind."""
    with ThreadPoolExecutor(max_workers=16) as threads:
        for _ in threads.map(layout, files):
            pass


def first_rows(uri: str, kind: Layout, count: int = 100) -> list[bytes | dict[str, Any]]:
    """Some rows from the beginning of a file, to detect its format by."""
    if kind == "parquet":
        with storage.open_input(uri) as stream:
            batch = next(pq.ParquetFile(stream).iter_batches(batch_size=count), None)
            return [] if batch is None else list(batch.to_pylist())
    from midb_ray.runs import records

    with storage.open_input(uri) as stream:
        rows = records.elements(stream) if kind == "array" else records.lines(stream)
        return [row.raw for row, _ in zip(rows, range(count), strict=False)]


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


def _expand(given: str) -> list[InputFile]:
    if any(character in given for character in "*?["):
        exact = storage.info(given)
        if exact is None:
            return _matching(given)
    name = given if "://" in given else posixpath.normpath(given)
    found = storage.info(given)
    if found is not None:
        return [InputFile(name, found.uri, found.size, found.version)]
    prefix = len(given.rstrip("/")) + 1
    return [
        InputFile(f"{name.rstrip('/')}/{file.uri[prefix:]}", file.uri, file.size, file.version)
        for file in storage.list_files(given, recursive=True)
        if not any(part.startswith((".", "_")) for part in file.uri[prefix:].split("/"))
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
    if patterns[0] == "**":
        return any(_matches(parts[start:], patterns[1:]) for start in range(len(parts) + 1))
    return bool(parts) and fnmatch.fnmatchcase(parts[0], patterns[0]) and _matches(parts[1:], patterns[1:])
