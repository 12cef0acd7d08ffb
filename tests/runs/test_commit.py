"""Commit: a shard is done when its file exists, whole, with its figures and the run's fingerprint."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from midb_ray.pairs import BOOSTED_SCHEMA, DEAD_LETTER_SCHEMA, DeadLetter, rows_to_table
from midb_ray.runs import commit
from midb_ray.runs.commit import Part
from midb_ray.runs.figures import Figures

PAIR = ("corpus:1", "7", None, "de", "a", "", "b\U0001f600", "a", "", "B", "boosted", ["x"], 1, 10, 20, ["NUL"], "{}")
NO_TURN = (None, None, None)
DEAD = DeadLetter("corpus:2", "corpus", 2, 17, "invalid_json", "at 3", b'{"a\xff')


def shard(pairs: int = 1, dead: int = 1) -> tuple[pa.Table, pa.Table, Figures]:
    """What a work hands over: pairs, dead letters, figures."""
    figures = Figures(rows_in=pairs + dead, dead_letters=dead, answer_tokens=20 * pairs)
    for _ in range(pairs):
        figures.count("de", "boosted", ())
    return (
        rows_to_table([(*PAIR, *NO_TURN)] * pairs, BOOSTED_SCHEMA),
        rows_to_table([DEAD] * dead, DEAD_LETTER_SCHEMA),
        figures,
    )


@pytest.mark.parametrize(("pairs", "dead"), [(1, 1), (300, 0), (0, 3), (0, 0)])
@pytest.mark.parametrize("store", ["tmp_path", "s3"])
def test_rows_figures_and_fingerprint_survive(
    request: pytest.FixtureRequest, store: str, pairs: int, dead: int
) -> None:
    run = f"{request.getfixturevalue(store)}/run"
    content = shard(pairs, dead)
    assert commit.read_part(run, 5) is None
    commit.commit(run, 5, "digest", *content)
    assert commit.read_part(run, 5) == Part(content[2], "digest", pairs)
    for folder, table in zip((commit.PAIRS, commit.DEAD_LETTERS), content, strict=False):
        with commit.storage.open_input(commit.part_uri(run, folder, 5)) as stream:
            found = pq.read_table(stream)
        assert found.cast(table.schema).equals(table)
        assert found.schema.remove_metadata() == table.schema


def test_names_of_parts_are_those_of_their_shards() -> None:
    assert commit.part_uri("run", "pairs", 12) == "run/pairs/part-00000012.parquet"
    assert commit.shard_of("s3://b/run/pairs/part-00000012.parquet") == 12
    assert commit.shard_of(commit.part_uri("run", "pairs", 123_456_789)) == 123_456_789
    for other in (
        "part-12.parquet",
        "part-000000١٢.parquet",
        ".part-00000012.parquet.0f.tmp",
        "_SUCCESS",
        "part-.parquet",
    ):
        assert commit.shard_of(f"run/pairs/{other}") is None


@pytest.mark.parametrize(("rows_in", "dead", "pairs"), [(3, 1, 1), (1, 1, 1), (2, 0, 2), (2, 2, 0)])
def test_books_that_do_not_balance_are_never_written(tmp_path: Path, rows_in: int, dead: int, pairs: int) -> None:
    figures = Figures(rows_in=rows_in, rows_out=pairs, dead_letters=dead)
    good = shard()
    with pytest.raises(AssertionError, match="shard 0: "):
        commit.commit(str(tmp_path), 0, "digest", good[0], good[1], figures)
    assert list(tmp_path.iterdir()) == []


def test_without_its_dead_letters_a_shard_is_not_done(tmp_path: Path) -> None:
    (tmp_path / "dead_letters").write_bytes(b"in the way")
    with pytest.raises(OSError, match="dead_letters"):
        commit.commit(str(tmp_path), 0, "digest", *shard())
    assert commit.read_part(str(tmp_path), 0) is None
    assert not (tmp_path / "pairs").exists()


def test_a_write_that_fails_in_between_leaves_the_shard_undone(tmp_path: Path) -> None:
    (tmp_path / "pairs").write_bytes(b"in the way")
    with pytest.raises(OSError, match="pairs"):
        commit.commit(str(tmp_path), 0, "digest", *shard())
    (tmp_path / "pairs").unlink()
    assert commit.read_part(str(tmp_path), 0) is None
    commit.commit(str(tmp_path), 0, "digest", *shard(2, 0))  # another run of it overwrites its dead letters
    assert commit.read_part(str(tmp_path), 0) == Part(shard(2, 0)[2], "digest", 2)
    assert pq.read_table(tmp_path / "dead_letters").num_rows == 0


def test_a_commit_that_breaks_on_an_object_store_leaves_the_shard_undone(s3: str, wire: Any) -> None:
    pairs, dead, figures = shard(1, 0)
    text = random.Random(0).randbytes(1 << 20).hex()  # stays about a megabyte however it is compressed
    big = pairs.set_column(4, "instruction", pa.array([text], pa.large_string()))
    commit.commit(s3, 1, "digest", big, dead, figures)
    wire.up = 1 << 18  # the dead letters pass, the pairs do not
    with pytest.raises(OSError, match="NETWORK_CONNECTION"):
        commit.commit(s3, 0, "digest", big, dead, figures)
    wire.mend()
    assert commit.read_part(s3, 0) is None
    assert [part is not None for part in commit.read_parts(s3, [0, 1])] == [False, True]
    assert commit.storage.info(commit.part_uri(s3, commit.DEAD_LETTERS, 0)) is not None


def test_torn_and_foreign_files_are_no_parts(tmp_path: Path) -> None:
    run = str(tmp_path)
    commit.commit(run, 0, "digest", *shard())
    place = Path(commit.part_uri(run, commit.PAIRS, 0))
    whole = place.read_bytes()
    for torn in (b"", whole[:4], whole[: len(whole) // 2], whole[:-1], whole[:-8] + b"\0" * 8, bytes(len(whole))):
        place.write_bytes(torn)
        assert commit.read_part(run, 0) is None
    for metadata in (
        {},
        {b"midb_ray.figures": b"{}", b"midb_ray.fingerprint": b"digest"},
        {b"midb_ray.figures": b"[]", b"midb_ray.fingerprint": b"digest"},
        {b"midb_ray.figures": b"no JSON", b"midb_ray.fingerprint": b"digest"},
        {b"midb_ray.figures": b'{"decisions": 1}', b"midb_ray.fingerprint": b"digest"},
        {b"midb_ray.figures": b'{"decisions": [], "reasons": []}', b"midb_ray.fingerprint": b"digest"},
        {b"midb_ray.figures": Figures().to_json().encode()},
        {b"midb_ray.figures": Figures().to_json().encode(), b"midb_ray.fingerprint": b"\xff"},
    ):
        pq.write_table(pa.table({"a": [1]}).replace_schema_metadata(metadata), place)
        assert commit.read_part(run, 0) is None
    place.write_bytes(whole)
    assert commit.read_part(run, 0) is not None


def test_storage_that_fails_is_no_missing_part(s3: str, wire: Any) -> None:
    commit.commit(s3, 0, "digest", *shard())
    wire.cut()
    with pytest.raises(OSError, match="NETWORK_CONNECTION"):
        commit.read_part(s3, 0)


def test_footers_of_many_shards_come_in_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(commit, "_TOGETHER", 3)
    for number in (0, 2, 3, 7):
        commit.commit(str(tmp_path), number, str(number), *shard(number))
    found = list(commit.read_parts(str(tmp_path), list(range(8))))
    assert [part and (part.digest, part.figures.rows_out) for part in found] == [
        (str(number), number) if number in (0, 2, 3, 7) else None for number in range(8)
    ]
