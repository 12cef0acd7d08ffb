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
