"""Staging: what is compressed or too coarse becomes splittable, and what is broken keeps all that can be read."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zstandard

from midb_ray.errors import UserError
from midb_ray.runs import planning, shards, staging, storage
from midb_ray.runs.inputs import InputFile
from midb_ray.runs.staging import Staged

ROWS = [{"number": number, "text": "grüße " * (number % 50)} for number in range(3000)]
LINES = b"".join(json.dumps(row, ensure_ascii=False).encode() + b"\n" for row in ROWS)


@pytest.fixture
def stage(tmp_path: Path) -> Callable[[bytes], Staged]:
    """Stage a file with this content."""

    def staged(content: bytes, shard_rows: int = 256) -> Staged:
        (tmp_path / "corpus").write_bytes(content)
        source = InputFile("corpus", f"{tmp_path}/corpus", len(content), "")
        return staging.stage(f"{tmp_path}/staging", shard_rows, source)

    return staged


def read(staged: Staged) -> tuple[list[dict], list[bytes], list[str]]:
    """Rows, lines that are no rows, and errors of a staged file, planned and read shard by shard."""
    tasks = planning.scans(staged.file, staged.uri, staged.layout, "alpaca", 256, 1.0, staged.error)
    good, bad, errors = [], [], []
    for shard in planning.assemble(tasks, map(planning.scan, tasks)):
        errors += [shard.error] if shard.error else []
        for *_, raw in shards.read(shard):
            try:
                good.append(raw if isinstance(raw, dict) else json.loads(raw))
            except ValueError:
                bad.append(raw)
    return good, bad, errors


def zstd(*parts: bytes) -> bytes:
    return b"".join(map(zstandard.ZstdCompressor(write_checksum=True).compress, parts))


def members(*parts: bytes) -> bytes:
    return b"".join(map(gzip.compress, parts))


def test_a_plain_file_stays_where_it_is(stage: Callable[[bytes], Staged], tmp_path: Path) -> None:
    assert stage(LINES) == Staged(
        InputFile("corpus", f"{tmp_path}/corpus", len(LINES), ""), f"{tmp_path}/corpus", "lines", None
    )
    assert not (tmp_path / "staging").exists()


@pytest.mark.parametrize("compress", [members, zstd])
def test_all_members_and_frames_are_unpacked(stage: Callable[[bytes], Staged], compress: Callable[..., bytes]) -> None:
    half = len(LINES) // 2
    staged = stage(compress(LINES[:half], b"", LINES[half:]))
    assert storage.read_bytes(staged.uri) == LINES
    assert read(staged) == (ROWS, [], [])


@pytest.mark.parametrize("compress", [members, zstd])
def test_a_compressed_array_is_an_array(stage: Callable[[bytes], Staged], compress: Callable[..., bytes]) -> None:
    staged = stage(compress(json.dumps(ROWS).encode()))
    assert (staged.layout, read(staged)) == ("array", (ROWS, [], []))


@pytest.mark.parametrize("compress", [members, zstd])
def test_a_compressed_parquet_file_is_a_parquet_file(
    stage: Callable[[bytes], Staged], tmp_path: Path, compress: Callable[..., bytes]
) -> None:
    pq.write_table(pa.Table.from_pylist(ROWS), tmp_path / "file")
    staged = stage(compress((tmp_path / "file").read_bytes()), 10)
    assert (staged.layout, read(staged)) == ("parquet", (ROWS, [], []))
    assert pq.ParquetFile(staged.uri).metadata.num_row_groups == 19  # 3,000 rows were one group


@pytest.mark.parametrize("compress", [members, zstd])
def test_nothing_compressed_is_an_input_without_rows(
    stage: Callable[[bytes], Staged], compress: Callable[..., bytes]
) -> None:
    assert read(stage(compress(b""))) == ([], [], [])


@pytest.mark.parametrize("compress", [members, zstd])
@pytest.mark.parametrize("kept", [0.02, 0.4, 0.99])
def test_a_file_that_breaks_off_keeps_what_can_be_read(
    stage: Callable[[bytes], Staged], compress: Callable[..., bytes], kept: float
) -> None:
    third = len(LINES) // 3
    whole = compress(LINES[:third], LINES[third : 2 * third], LINES[2 * third :])
    good, bad, (error,) = read(stage(whole[: int(len(whole) * kept)]))
    assert good == ROWS[: len(good)]
    assert len(good) >= len(ROWS) * (int(kept * 3) / 3)  # all members that are whole
    assert len(bad) <= 1
    assert "breaks off" in error


@pytest.mark.parametrize(("compress", "kind"), [(members, "gz"), (zstd, "zst")])
def test_garbage_in_or_behind_a_stream_is_named(
    stage: Callable[[bytes], Staged], compress: Callable[..., bytes], kind: str
) -> None:
    good, _, (error,) = read(stage(compress(LINES) + b"no stream at all"))
    assert good == ROWS
    assert error.startswith(f"the {kind} stream breaks off: ")
    whole = bytearray(compress(LINES))
    whole[len(whole) // 2] ^= 0xFF
    _, _, (error,) = read(stage(bytes(whole)))  # a checksum tells at the end, when the rows are written
    assert error.startswith(f"the {kind} stream breaks off: ")


@pytest.mark.parametrize(
    "content",
    [b"\x1f\x8b", b"\x1f\x8b\x08\x00", b"\x1f\x8bnot really", b"\x28\xb5\x2f\xfd", b"\x28\xb5\x2f\xfd\xff\xff\xff"],
)
def test_a_header_that_is_broken_leaves_one_row_that_says_so(stage: Callable[[bytes], Staged], content: bytes) -> None:
    good, bad, errors = read(stage(content))
    assert (good, bad, len(errors)) == ([], [], 1)


def test_a_parquet_file_that_breaks_off_is_one_row_that_says_so(
    stage: Callable[[bytes], Staged], tmp_path: Path
) -> None:
    pq.write_table(pa.Table.from_pylist(ROWS), tmp_path / "file")
    whole = (tmp_path / "file").read_bytes()
    assert read(stage(whole[:-100])) == ([], [], ["no whole Parquet file: the end of the file is missing"])
    good, bad, (error,) = read(stage(gzip.compress(whole)[:-2000]))
    assert (good, bad) == ([], [])
    assert error.startswith("the gz stream breaks off")


@pytest.mark.parametrize(
    ("outer", "inner", "shown"),
    [(members, members, "gz inside gz"), (zstd, members, "gz inside zst"), (members, zstd, "zst inside gz")],
)
def test_what_is_compressed_twice_is_refused(
    stage: Callable[[bytes], Staged], outer: Callable[..., bytes], inner: Callable[..., bytes], shown: str
) -> None:
    with pytest.raises(UserError, match=f"^corpus is compressed twice, {shown}; unpack it once\\.$"):
        stage(outer(inner(LINES)))


def test_compressed_data_of_no_known_kind_is_refused(stage: Callable[[bytes], Staged]) -> None:
    with pytest.raises(UserError, match=r"^corpus is neither JSON nor Parquet"):
        stage(gzip.compress(b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR"))


def test_a_zstandard_bomb_is_unpacked_in_small_pieces() -> None:
    bomb = zstandard.compress(bytes(1 << 28))  # 8 kB become 256 MB
    pieces = staging._zstd_blocks(pa.PythonFile(pa.BufferReader(bomb)))
    total, largest = 0, 0
    for piece in pieces:
        total, largest = total + len(piece), max(largest, len(piece))
    assert total == 1 << 28
    assert largest <= 1 << 25


def test_large_row_groups_are_staged(stage: Callable[[bytes], Staged], tmp_path: Path) -> None:
    pq.write_table(pa.Table.from_pylist(ROWS), tmp_path / "file")
    content = (tmp_path / "file").read_bytes()
    assert stage(content).uri == f"{tmp_path}/corpus"
    staged = stage(content, 50)
    assert staged.uri.startswith(f"{tmp_path}/staging/")
    assert read(staged) == (ROWS, [], [])


@pytest.mark.parametrize("shard_rows", [50, 256])  # 256: the file stays where it is
def test_a_damaged_page_costs_the_rows_of_its_group_and_moves_none(
    stage: Callable[..., Staged], tmp_path: Path, shard_rows: int
) -> None:
    pq.write_table(pa.Table.from_pylist(ROWS), tmp_path / "file", row_group_size=1500, use_dictionary=False)
    group = pq.ParquetFile(tmp_path / "file").metadata.row_group(1)
    content = bytearray((tmp_path / "file").read_bytes())
    content[group.column(1).data_page_offset : group.column(1).data_page_offset + 10] = b"\xff" * 10
    staged = stage(bytes(content), shard_rows)
    assert staged.error is None
    assert staged.uri.startswith(f"{tmp_path}/staging/") == (shard_rows == 50)
    tasks = planning.scans(staged.file, staged.uri, staged.layout, "alpaca", shard_rows, 1.0, staged.error)
    plan = list(planning.assemble(tasks, map(planning.scan, tasks)))
    found = [row for shard in plan for row in shards.read(shard)]
    assert [position for position, *_ in found] == [str(number) for number in range(1, 3001)]
    assert [raw for *_, raw in found[:1500]] == ROWS[:1500]
    assert all(isinstance(raw, Exception) and "page header" in str(raw) for *_, raw in found[1500:])


def test_storage_that_fails_is_no_broken_file(tmp_path: Path) -> None:
    (tmp_path / "staging").write_bytes(b"a file in place of the folder")
    (tmp_path / "corpus").write_bytes(gzip.compress(LINES))
    for name in ("corpus", "gone"):
        with pytest.raises(UserError, match=rf"^Cannot (unpack|read) {tmp_path}/{name}"):
            staging.stage(f"{tmp_path}/staging", 256, InputFile(name, f"{tmp_path}/{name}", 1, ""))


def test_staging_from_and_to_an_object_store(s3: str) -> None:
    storage.write_bytes(f"{s3}/corpus", gzip.compress(LINES))
    staged = staging.stage(f"{s3}/run/staging", 256, InputFile("corpus", f"{s3}/corpus", 1, ""))
    assert staged.uri.startswith(f"{s3}/run/staging/")
    assert read(staged) == (ROWS, [], [])
