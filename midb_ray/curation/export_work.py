"""The two stages of an export, as tasks: the parts of a run become pieces, and the pieces of a language become files.

A piece holds what one group of parts has in one language. It lies in storage until all groups are done; then as many pieces as
make a file of the right size are put together, in the order of the run. Everything has the same name and content in every try.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa

from midb_ray.corpora.corpus import locales_of
from midb_ray.curation import export_files
from midb_ray.curation.export_books import Books, Piece
from midb_ray.curation.export_files import LineSink, Sink, TableSink
from midb_ray.curation.export_folder import PIECES
from midb_ray.curation.export_rows import Example, Outcome, columns_of, conversations_in, form_schema, outcomes
from midb_ray.curation.export_settings import ExportSettings
from midb_ray.errors import UserError
from midb_ray.runs import claim, commit, earlier, folder, memory, storage

_ROWS, _GROUPS = 20_000, 512  # pairs of a group of parts at least, groups at most


@dataclass(frozen=True)
class Export:
    """An export on its way, as its tasks know it. `run` is the folder that is read, its parts have these `columns` and are known by
    `digests`; `place` is the folder of the export, `nonce` proves that it is shared, `token` is the driver's claim on it. `locales`
    are the languages' entries as JSON."""

    settings: ExportSettings
    run: str
    columns: pa.Schema
    digests: frozenset[str]
    place: str
    nonce: str
    token: str
    locales: str


class Group(NamedTuple):
    """Some parts of a run, `first` to `stop`."""

    number: int
    first: int
    stop: int


class File(NamedTuple):
    """A file to be made: its place below the folder of the export, and the pieces in it."""

    name: str
    pieces: tuple[Piece, ...]


def groups(parts: int, rows: int) -> list[Group]:
    """The parts of a run in groups of about equal numbers, the same every time."""
    count = max(min(rows // _ROWS, _GROUPS, parts), 1)
    bounds = [parts * number // count for number in range(count + 1)]
    return [Group(number, *bounds[number : number + 2]) for number in range(count)]


def columns(run: str) -> pa.Schema:
    """The columns of a run's parts, of those that an export reads. Raises `UserError`."""
    return columns_of(earlier.columns(run))


def make_pieces(export: Export, group: Group) -> Books:
    """Write the pieces of a group and what was counted, unless that has been done. Raises `UserError`."""
    try:
        folder.prove_shared(export.place, export.nonce)
    except OSError as error:
        raise storage.explain(error, export.place, "read the output folder") from None
    claim.refuse_other(export.place, export.token)
    mark = storage.join(export.place, PIECES, f"group-{group.number:05d}.json")
    if (done := _counted(mark)) is not None:
        return done
    with tempfile.TemporaryDirectory(prefix="midb-export-") as scratch:
        books = _Pieces(export, group, Path(scratch)).write()
    try:
        storage.write_bytes(mark, json.dumps(books.to_dict()).encode())
    except OSError as error:
        raise storage.explain(error, mark, "write") from None
    memory.give_back()
    return books


def files(pieces: Iterable[Piece], settings: ExportSettings) -> list[File]:
    """The files that pieces make: those of one language together, in order, as long as they stay within the limits."""
    by_language: dict[str, list[list[Piece]]] = {}
    for piece in pieces:
        there = by_language.setdefault(piece.language, [[]])
        size = sum(one.size for one in there[-1]) + piece.size
        rows = sum(one.rows for one in there[-1]) + piece.rows
        if there[-1] and (rows > settings.file_rows or size > settings.file_bytes):
            there.append([])
        there[-1].append(piece)
    return [
        File(f"{language}/train-{number:05d}-of-{len(found):05d}.{settings.files}", tuple(one))
        for language, found in sorted(by_language.items())
        for number, one in enumerate(found)
    ]


def put_together(export: Export, file: File) -> Piece:
    """Write a file of some pieces; returns what it holds, counted in the file. Raises `UserError`."""
    claim.refuse_other(export.place, export.token)
    target = storage.join(export.place, file.name)
    uris = [storage.join(export.place, piece.name) for piece in file.pieces]
    try:
        with tempfile.TemporaryDirectory(prefix="midb-export-") as scratch:
            path = Path(scratch) / "file"
            if export.settings.files == "jsonl":
                rows = export_files.join_lines(uris, path)
            else:
                rows = export_files.join_tables(uris, path, form_schema(export.settings))
            size = export_files.put(path, target)
    except OSError as error:
        raise storage.explain(error, target, "write") from None
    memory.give_back()
    return Piece(file.pieces[0].language, file.name, rows, size)


class _Pieces:
    """The pieces of a group on their way: one file open per language."""

    def __init__(self, export: Export, group: Group, scratch: Path) -> None:
        self._export, self._group, self._scratch = export, group, scratch
        self._schema = form_schema(export.settings)
        self._open: dict[str, tuple[str, Sink]] = {}
        self._begun: dict[str, int] = {}
        self._tags: dict[str, str] = {}
        self._books = Books()

    def write(self) -> Books:
        for part in range(self._group.first, self._group.stop):
            for examples in conversations_in(_part(self._export, part)):
                self._know({example.pair.language for example in examples})
                for outcome, row in _encoded(examples, self._export.settings):
                    self._books.count(outcome, self._tags)
                    if outcome.row is not None:
                        self._add(self._tags[outcome.examples[0].pair.language], row)
        for language in list(self._open):
            self._close(language)
        self._books.pieces.sort(key=lambda piece: piece.name)
        return self._books

    def _know(self, languages: set[str]) -> None:
        """The tags of languages become names of folders: they come from the locales, never from the data."""
        for language in languages - self._tags.keys():
            locale = locales_of(self._export.locales).find(language)
            if locale is None:
                raise UserError(
                    f"{self._export.run} holds a pair in {language[:40]!r}, a language that its run.json lacks."
                )
            self._tags[language] = locale.tag

    def _add(self, language: str, row: Any) -> None:
        settings = self._export.settings
        if language not in self._open:
            self._open[language] = self._begin(language)
        _, sink = self._open[language]
        if sink.rows < settings.file_rows and sink.add(row, settings.file_bytes):
            return
        self._close(language)
        self._open[language] = self._begin(language)
        self._open[language][1].add(row, settings.file_bytes)

    def _begin(self, language: str) -> tuple[str, Sink]:
        number = self._begun[language] = self._begun.get(language, -1) + 1
        kind = self._export.settings.files
        name = f"{self._group.number:05d}-{number:05d}.{kind}"
        path = self._scratch / f"{language}-{name}"
        sink: Sink = LineSink(path) if kind == "jsonl" else TableSink(path, self._schema)
        return name, sink

    def _close(self, language: str) -> None:
        """Move a language's file to storage."""
        name, sink = self._open.pop(language)
        sink.close()
        path, place = self._scratch / f"{language}-{name}", f"{PIECES}/{language}/{name}"
        target = storage.join(self._export.place, place)
        try:
            size = export_files.put(path, target)
        except OSError as error:
            raise storage.explain(error, target, "write") from None
        path.unlink()
        self._books.pieces.append(Piece(language, place, sink.rows, size))


def _encoded(examples: Sequence[Example], settings: ExportSettings) -> Iterator[tuple[Outcome, Any]]:
    """What becomes of the pairs of a conversation, and the row as a file takes it."""
    try:
        yield from list(_encode(examples, settings))
    except RecursionError:  # the rest of a row is nested as deeply as could just be read: the texts do without
        plain = [example._replace(pair=example.pair._replace(extra=None)) for example in examples]
        yield from _encode(plain, settings)


def _encode(examples: Sequence[Example], settings: ExportSettings) -> Iterator[tuple[Outcome, Any]]:
    for outcome in outcomes(examples, settings):
        is_line = outcome.row is not None and settings.files == "jsonl"
        yield outcome, export_files.line(outcome.row) if is_line and outcome.row is not None else outcome.row


def _part(export: Export, number: int) -> pa.Table:
    """The pairs of a part, all that it says it has. Raises `UserError`."""
    place = commit.part_uri(export.run, commit.PAIRS, number)
    try:
        part = earlier.part(export.run, number, export.digests)
        table = earlier.table(export.run, commit.PAIRS, export.columns, number)
    except OSError as error:
        raise storage.explain(error, place, "read") from None
    if part.figures.rows_out != table.num_rows:
        raise UserError(f"{place} is damaged; run its run again with the command that began it.")
    return table


def _counted(mark: str) -> Books | None:
    """What a group has counted, if it is done."""
    try:
        return Books.from_dict(json.loads(storage.read_bytes(mark)))
    except (FileNotFoundError, AttributeError, LookupError, TypeError, ValueError):
        return None
    except OSError as error:
        raise storage.explain(error, mark, "read") from None
