"""Parquet as input: any column, any row groups, and bytes that are no Parquet."""

from __future__ import annotations

import datetime
import decimal
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from midb_ray.runs import parquet, storage


def rows(path: Path, first: int = 0, count: int = 1 << 30) -> list[dict]:
    with storage.open_input(str(path)) as stream:
        return list(parquet.rows(stream, first, count))


def broken_strings(*values: bytes) -> pa.Array:
    """An Arrow string array as careless writers make them: with bytes that are no UTF-8."""
    return pa.array(values, pa.binary()).view(pa.string())


@pytest.mark.parametrize(("first", "count"), [(0, 25), (0, 1), (9, 2), (10, 10), (5, 18), (24, 9), (25, 1), (3, 0)])
def test_a_range_of_rows_over_several_row_groups(tmp_path: Path, first: int, count: int) -> None:
    pq.write_table(pa.table({"a": range(25)}), tmp_path / "file", row_group_size=10)
    assert [row["a"] for row in rows(tmp_path / "file", first, count)] == list(range(25))[first : first + count]


def test_nested_binary_and_temporal_columns_are_python_values(tmp_path: Path) -> None:
    moment = datetime.datetime(2024, 2, 29, 12, 30, 0, 7, tzinfo=datetime.timezone.utc)
    row = {
        "messages": [{"role": "user", "content": "é"}, {"role": "assistant", "content": None}],
        "image": b"\xff\xd8",
        "when": moment,
        "day": moment.date(),
        "price": decimal.Decimal("1.50"),
        "none": None,
        "number": 1 << 62,
        "text": "a\0b",
    }
    pq.write_table(pa.Table.from_pylist([row, dict.fromkeys(row)]), tmp_path / "file")
    assert rows(tmp_path / "file") == [row, dict.fromkeys(row)]


def test_strings_that_are_no_utf8_come_with_lone_surrogates(tmp_path: Path) -> None:
    bad = broken_strings(b"gr\xfc\xdf", "grüß".encode())
    table = pa.table(
        {
            "text": bad,
            "large": bad.cast(pa.binary()).cast(pa.large_binary()).view(pa.large_string()),
            "coded": bad.dictionary_encode(),
            "list": pa.ListArray.from_arrays(pa.array([0, 1, 2], pa.int32()), bad),
            "struct": pa.StructArray.from_arrays([bad], ["inner"]),
            "binary": pa.array([b"\xfc", None]),
        }
    )
    pq.write_table(table, tmp_path / "file")
    assert rows(tmp_path / "file") == [
        dict.fromkeys(("text", "large", "coded"), text) | {"list": [text], "struct": {"inner": text}, "binary": binary}
        for text, binary in (("gr\udcfc\udcdf", b"\xfc"), ("grüß", None))
    ]


def test_times_that_python_cannot_express_come_as_numbers(tmp_path: Path) -> None:
    table = pa.table(
        {
            "when": pa.array([1 << 62, None], pa.timestamp("us")),
            "day": pa.array([2**31 - 1, 0], pa.date32()),
            "map": pa.array([[("a", 1 << 62)], []], pa.map_(pa.string(), pa.timestamp("us"))),
            "text": ["a", "b"],
        }
    )
    pq.write_table(table, tmp_path / "file")
    assert rows(tmp_path / "file") == [
        {"when": 1 << 62, "day": 2**31 - 1, "map": [("a", 1 << 62)], "text": "a"},
        {"when": None, "day": 0, "map": [], "text": "b"},
    ]


def test_a_footer_longer_than_the_first_read(tmp_path: Path) -> None:
    pq.write_table(pa.table({f"column {number:04}": [number] for number in range(2000)}), tmp_path / "file")
    assert parquet.footer(f"{tmp_path}/file").num_columns == 2000


@pytest.mark.parametrize(
    "damage",
    [
        lambda _: b"",
        lambda _: b"PAR1",
        lambda whole: whole[: len(whole) // 2],
        lambda whole: whole[:-1],
        lambda whole: whole[-20:],
        lambda whole: whole[:-8] + b"\xff\xff\xff\x7fPAR1",
        lambda whole: whole[:-60] + bytes(52) + whole[-8:],
        lambda _: b"PAR1" + bytes(100) + b"\x20\0\0\0PAR1",
    ],
)
def test_what_is_no_whole_file_is_told_from_storage_that_fails(tmp_path: Path, damage: object) -> None:
    pq.write_table(pa.table({"a": range(1000)}), tmp_path / "file")
    (tmp_path / "torn").write_bytes(damage((tmp_path / "file").read_bytes()))  # type: ignore[operator]
    with pytest.raises(pa.ArrowInvalid):
        parquet.footer(f"{tmp_path}/torn")
    with pytest.raises(FileNotFoundError):
        parquet.footer(f"{tmp_path}/gone")


def test_large_row_groups_are_cut_into_some_shards_each(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source, target = tmp_path / "file", tmp_path / "staged"
    table = pa.table({"a": range(1000), "text": broken_strings(*(b"\xff" * 1000 for _ in range(1000)))})
    pq.write_table(table, source, use_dictionary=False)
    assert parquet.has_large_groups(parquet.footer(str(source)), 10)
    assert not parquet.has_large_groups(parquet.footer(str(source)), 100)
    parquet.regroup(str(source), str(target), 10)
    footer = parquet.footer(str(target))
    assert [footer.row_group(index).num_rows for index in range(footer.num_row_groups)] == [160] * 6 + [40]
    assert rows(target) == rows(source)
    monkeypatch.setattr(parquet, "_GROUP_BYTES", 100_000)
    assert parquet.has_large_groups(parquet.footer(str(source)), 100)
    parquet.regroup(str(source), str(target), 100)
    footer = parquet.footer(str(target))
    assert max(footer.row_group(index).total_byte_size for index in range(footer.num_row_groups)) < 110_000
    assert rows(target) == rows(source)
    assert not parquet.has_large_groups(footer, 100)


ROWS = [{"instruction": f"Zähle bis {number}.", "output": f"{number:x}" * 200} for number in range(100)]


def write(path: Path, **options: object) -> pq.FileMetaData:
    pq.write_table(pa.Table.from_pylist(ROWS), path, use_dictionary=False, **{"row_group_size": 25, **options})
    return parquet.footer(str(path))


def damage(path: Path, place: int, count: int = 10) -> None:
    """Other bytes instead of some in the file."""
    content = bytearray(path.read_bytes())
    content[place : place + count] = bytes(byte ^ 0xA5 for byte in content[place : place + count])
    path.write_bytes(content)


@pytest.mark.parametrize("compression", ["snappy", "zstd", "gzip", "none"])
@pytest.mark.parametrize("column", [0, 1])
def test_a_damaged_row_group_costs_its_own_rows_only(tmp_path: Path, compression: str, column: int) -> None:
    footer = write(tmp_path / "file", compression=compression)
    damage(tmp_path / "file", footer.row_group(1).column(column).data_page_offset)
    found = rows(tmp_path / "file")
    assert found[:25] + found[50:] == ROWS[:25] + ROWS[50:]
    assert all(isinstance(row, OSError | pa.ArrowException) for row in found[25:50])
    assert [str(row) for row in rows(tmp_path / "file", 20, 10)[5:]] == [str(row) for row in found[25:30]]


def test_rows_before_a_damaged_page_are_read(tmp_path: Path) -> None:
    pages = {"data_page_size": 1, "write_batch_size": 10, "write_page_checksum": True}
    footer = write(tmp_path / "file", row_group_size=100, compression="none", **pages)
    chunk = footer.row_group(0).column(1)
    damage(tmp_path / "file", chunk.data_page_offset + chunk.total_compressed_size * 7 // 10, 50)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(parquet, "_SALVAGED", 5)
        found = rows(tmp_path / "file")
        part = rows(tmp_path / "file", 30, 60)
    sound = [row for row in found if isinstance(row, dict)]
    assert 50 < len(sound) < 100
    assert len(found) == 100
    assert found[: len(sound)] == ROWS[: len(sound)]
    assert part[: len(sound) - 30] == sound[30:90]
    assert len(part) == 60


def test_pages_with_checksums_are_believed_only_if_they_agree(tmp_path: Path) -> None:
    footer = write(tmp_path / "file", compression="none", write_page_checksum=True)
    chunk = footer.row_group(1).column(1)
    damage(tmp_path / "file", chunk.data_page_offset + chunk.total_compressed_size - 5, 1)  # inside a text
    found = rows(tmp_path / "file")
    assert found[:25] + found[50:] == ROWS[:25] + ROWS[50:]
    assert all("checksum" in str(row) for row in found[25:50])


def test_a_row_group_with_fewer_rows_than_its_footer_says_loses_none(tmp_path: Path) -> None:
    write(tmp_path / "file")
    whole = pq.ParquetFile.read_row_group

    def short(self: pq.ParquetFile, index: int) -> pa.Table:
        return whole(self, index).slice(0, 20)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pq.ParquetFile, "read_row_group", short)
        assert rows(tmp_path / "file") == ROWS


class Failing:
    """A file whose storage fails after some reads, for some reads."""

    closed = False

    def __init__(self, path: Path, after: int, times: int) -> None:
        self._file = path.open("rb")
        self._after, self._times = after, times
        self.reads = 0

    def read(self, size: int = -1) -> bytes:
        self.reads += 1
        if self.reads > self._after and self._times:
            self._times -= 1
            raise OSError(5, "Input/output error")
        return self._file.read(size)

    def seek(self, offset: int, whence: int = 0) -> int:
        return self._file.seek(offset, whence)

    def tell(self) -> int:
        return self._file.tell()

    def close(self) -> None:
        self._file.close()


def test_storage_that_fails_is_no_damage(tmp_path: Path) -> None:
    write(tmp_path / "file", compression="none")
    sound = Failing(tmp_path / "file", 0, 0)
    assert list(parquet.rows(pa.PythonFile(sound, mode="r"), 0, 100)) == ROWS
    assert sound.reads > 4
    for after in range(sound.reads):
        failing = pa.PythonFile(Failing(tmp_path / "file", after, 1000), mode="r")
        with pytest.raises(OSError, match="Input/output error"):
            list(parquet.rows(failing, 0, 100))
    failing = pa.PythonFile(Failing(tmp_path / "file", sound.reads - 1, 1), mode="r")
    assert list(parquet.rows(failing, 0, 100)) == ROWS  # it failed for a moment


@pytest.mark.parametrize("column", [0, 1])
def test_regrouping_keeps_what_is_sound_and_the_places_of_all(tmp_path: Path, column: int) -> None:
    source, target = tmp_path / "file", tmp_path / "staged"
    footer = write(source, row_group_size=50)
    damage(source, footer.row_group(0).column(column).data_page_offset)
    expected = rows(source)
    parquet.regroup(str(source), str(target), 1)
    found = rows(target)
    assert found[50:] == ROWS[50:]
    assert list(map(str, found)) == list(map(str, expected))
    staged = parquet.footer(str(target))
    assert {staged.row_group(index).num_rows for index in range(staged.num_row_groups)} == {16, 2}
    assert list(map(str, rows(target, 15, 40))) == list(map(str, found[15:55]))


def test_regrouping_a_file_with_columns_that_are_never_null(tmp_path: Path) -> None:
    schema = pa.schema(
        [
            pa.field("text", pa.string(), nullable=False),
            pa.field("turns", pa.list_(pa.struct([pa.field("role", pa.string(), nullable=False)])), nullable=False),
            pa.field("kind", pa.dictionary(pa.int32(), pa.string())),
        ]
    )
    table = pa.Table.from_pylist(
        [{"text": f"{n}", "turns": [{"role": f"{n}"}], "kind": "a"} for n in range(90)], schema
    )
    pq.write_table(table, tmp_path / "file", row_group_size=45)
    footer = parquet.footer(f"{tmp_path}/file")
    damage(tmp_path / "file", footer.row_group(0).column(1).data_page_offset)
    parquet.regroup(f"{tmp_path}/file", f"{tmp_path}/staged", 1)
    found = rows(tmp_path / "staged")
    assert found[45:] == table.to_pylist()[45:]
    assert len(found) == 90
    assert all(isinstance(row, Exception) for row in found[:45])


def test_regrouping_does_not_take_failing_storage_for_damage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path / "file", row_group_size=50, compression="none")
    sound = Failing(tmp_path / "file", 0, 0)
    list(parquet.rows(pa.PythonFile(sound, mode="r"), 0, 100))
    for times in (1, 1000):
        failing = pa.PythonFile(Failing(tmp_path / "file", sound.reads - 1, times), mode="r")
        monkeypatch.setattr(storage, "open_input", lambda _, failing=failing: failing)
        with pytest.raises(OSError, match="Input/output error"):
            parquet.regroup(f"{tmp_path}/file", f"{tmp_path}/staged", 1)
