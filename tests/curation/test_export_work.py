"""The tasks of an export: groups of parts, pieces with limits, the same files in every try."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from midb_ray.curation import export_work
from midb_ray.curation.export_books import Books, Piece
from midb_ray.curation.export_settings import ExportSettings
from midb_ray.curation.export_work import Export, Group, files, groups, make_pieces, put_together
from midb_ray.errors import UserError
from midb_ray.locales import load_locales
from midb_ray.runs import earlier, storage
from tests.curation.export_runs import LANGUAGES, boosted_row, finished

ROWS = [boosted_row(number) for number in range(60)]


def settings(**more: Any) -> ExportSettings:
    return ExportSettings(**{"input": "run", "output": "out", "form": "alpaca", **more})


@pytest.fixture
def begun(tmp_path: Path) -> Callable[..., Export]:
    """An export of a run with `ROWS`, or with others."""

    def call(rows: list[dict[str, Any]] = ROWS, place: str = str(tmp_path / "out"), **given: Any) -> Export:
        run = str(finished(tmp_path / "run", rows))
        _, digests = earlier.facts(run)
        storage.write_bytes(f"{place}/nonce", b"proof")
        entries = json.dumps(load_locales().fingerprint())
        return Export(settings(**given), run, export_work.columns(run), digests, place, "proof", "mine", entries)

    return call


def lines(export: Export, piece: Piece) -> list[dict[str, Any]]:
    return [json.loads(one) for one in (Path(export.place) / piece.name).read_text().splitlines()]


@pytest.mark.parametrize(("parts", "rows"), [(1, 0), (1, 10**6), (9, 10), (1000, 10**6), (400_000, 10**8)])
def test_groups_have_every_part_once_and_are_not_too_many(parts: int, rows: int) -> None:
    found = groups(parts, rows)
    assert [part for group in found for part in range(group.first, group.stop)] == list(range(parts))
    assert len(found) == min(max(rows // 20_000, 1), 512, parts)
    assert [group.number for group in found] == list(range(len(found)))


def test_pieces_hold_the_pairs_of_their_language_in_order(begun: Callable[..., Export]) -> None:
    export = begun()
    books = make_pieces(export, Group(0, 0, 9))
    assert [piece.language for piece in books.pieces] == ["de", "fr", "ja"]
    for piece in books.pieces:
        wanted = [row["response"] for row in ROWS if row["language"] == piece.language]
        assert [row["output"] for row in lines(export, piece)] == wanted
        assert (piece.rows, piece.size) == (20, (Path(export.place) / piece.name).stat().st_size)
    assert (books.balanced, books.pairs, books.rows) == (True, Counter(dict.fromkeys(LANGUAGES, 20)), books.pairs)


@pytest.mark.parametrize("kind", ["jsonl", "parquet"])
def test_files_are_begun_anew_at_the_limit_of_rows(begun: Callable[..., Export], kind: str) -> None:
    export = begun(files=kind, file_rows=8)
    books = make_pieces(export, Group(3, 0, 9))
    assert [piece.rows for piece in books.pieces] == [8, 8, 4] * 3
    assert books.pieces[1].name == f"pieces/de/00003-00001.{kind}"
    made = [put_together(export, file) for file in files(books.pieces, export.settings)]
    assert [(file.name, file.rows) for file in made[:3]] == [
        (f"de/train-0000{number}-of-00003.{kind}", rows) for number, rows in enumerate([8, 8, 4])
    ]


def test_files_are_begun_anew_at_the_limit_of_bytes(begun: Callable[..., Export]) -> None:
    export = begun(file_megabytes=0.0005)
    books = make_pieces(export, Group(0, 0, 9))
    assert all(piece.size <= 500 for piece in books.pieces)
    assert books.rows == Counter(dict.fromkeys(LANGUAGES, 20))
    assert sum(piece.rows for piece in books.pieces) == 60


def test_another_try_writes_the_same_and_a_finished_group_is_not_done_again(begun: Callable[..., Export]) -> None:
    export = begun(file_rows=8)
    first = make_pieces(export, Group(0, 0, 9))
    mark = Path(export.place) / "pieces" / "group-00000.json"
    before = {piece.name: lines(export, piece) for piece in first.pieces}
    Path(export.place, first.pieces[0].name).unlink()
    assert make_pieces(export, Group(0, 0, 9)) == first
    assert not Path(export.place, first.pieces[0].name).exists()
    mark.write_text("{}")
    assert make_pieces(export, Group(0, 0, 9)) == first
    assert {piece.name: lines(export, piece) for piece in first.pieces} == before


def test_small_pieces_of_a_language_become_one_file() -> None:
    pieces = [Piece("fr", f"pieces/fr/{number:05d}", 40, 100) for number in range(5)]
    pieces.insert(2, Piece("de", "pieces/de/00002", 1, 1))
    found = files(pieces, settings(file_rows=100, file_megabytes=1))
    assert [(file.name, len(file.pieces)) for file in found] == [
        ("de/train-00000-of-00001.jsonl", 1),
        ("fr/train-00000-of-00003.jsonl", 2),
        ("fr/train-00001-of-00003.jsonl", 2),
        ("fr/train-00002-of-00003.jsonl", 1),
    ]
    small = files(pieces, settings(file_megabytes=0.00025))
    assert [len(file.pieces) for file in small] == [1, 2, 2, 1]


def test_books_outlive_the_way_through_json(begun: Callable[..., Export]) -> None:
    books = make_pieces(begun(form="preference"), Group(0, 0, 9))
    assert books.reasons == Counter(unchanged=15, kept_original=15, same_response=7)
    assert Books.from_dict(json.loads(json.dumps(books.to_dict()))) == books
    books.add(Books.from_dict(books.to_dict()))
    assert (sum(books.pairs.values()), books.balanced) == (120, True)


def test_the_folder_of_a_language_has_the_name_of_a_locale(begun: Callable[..., Export]) -> None:
    books = make_pieces(begun([boosted_row(0, language="FRENCH"), boosted_row(1, language="fr-ca")]), Group(0, 0, 1))
    assert {piece.language for piece in books.pieces} == {"fr", "fr-CA"}


def test_a_language_that_is_none_of_the_runs_ends_the_export(begun: Callable[..., Export]) -> None:
    export = begun([boosted_row(0, language="../../etc")])
    with pytest.raises(UserError, match="a language that its run"):
        make_pieces(export, Group(0, 0, 1))


def test_a_part_of_another_run_or_a_damaged_one_is_not_believed(begun: Callable[..., Export]) -> None:
    export = begun()
    part = Path(export.run) / "pairs" / "part-00000002.parquet"
    whole = part.read_bytes()
    part.write_bytes(whole[:-100])
    with pytest.raises(UserError, match=r"part-00000002.* is missing, damaged"):
        make_pieces(export, Group(0, 0, 9))
    part.unlink()
    with pytest.raises(UserError, match=r"part-00000002.* is missing, damaged"):
        make_pieces(export, Group(0, 0, 9))


def test_a_machine_that_does_not_see_the_output_writes_nothing(begun: Callable[..., Export]) -> None:
    export = begun()
    Path(export.place, "nonce").write_text("another")
    with pytest.raises(UserError, match="is not shared storage"):
        make_pieces(export, Group(0, 0, 9))


@pytest.mark.parametrize("kind", ["jsonl", "parquet"])
def test_pieces_and_files_may_lie_in_an_object_store(begun: Callable[..., Export], s3: str, kind: str) -> None:
    export = begun(place=f"{s3}/set", files=kind)
    pieces = [piece for first in (0, 4) for piece in make_pieces(export, Group(first, first, first + 4)).pieces]
    made = [put_together(export, file) for file in files(pieces, export.settings)]
    found = {file.uri: file.size for file in storage.list_files(f"{s3}/set/fr")}
    assert found == {f"{s3}/set/fr/train-00000-of-00001.{kind}": made[1].size}
    assert sum(file.rows for file in made) == 56
