"""Files of rows: strict lines, sizes that are kept to, several put together into one."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow as pa
import pyarrow.json as paj
import pyarrow.parquet as pq
import pytest

from midb_ray.curation import export_files
from midb_ray.curation.export_files import LineSink, TableSink, line

SCHEMA = pa.schema(
    [
        pa.field("instruction", pa.large_string()),
        pa.field("turns", pa.list_(pa.field("item", pa.struct([pa.field("role", pa.large_string())])))),
    ]
)


@pytest.mark.parametrize(
    ("value", "told"),
    [
        ("Grüße \U0001f600", "Grüße \U0001f600"),
        ("half \ud83d and whole \U0001f600", "half \ufffd and whole \U0001f600"),
        ("a\u2028b\u2029c\x85d\r\ne", "a\u2028b\u2029c\x85d\r\ne"),
        ("\\ud83d is what stands there", "\\ud83d is what stands there"),
        (float("inf"), None),
        ({"deep": ["\udc00"]}, {"deep": ["\ufffd"]}),
    ],
)
def test_a_line_is_one_line_of_strict_json_to_every_reader(value: object, told: object) -> None:
    content = line({"instruction": value})
    assert len(content.decode().splitlines()) == 1
    assert json.loads(content, parse_constant=pytest.fail) == {"instruction": told}
    assert paj.read_json(pa.BufferReader(content)).num_rows == 1


def test_a_file_of_lines_takes_no_row_that_would_make_it_too_large(tmp_path: Path) -> None:
    sink = LineSink(tmp_path / "a")
    assert sink.add(b"x" * 99 + b"\n", 50)  # alone it may be too large
    assert not sink.add(b"y\n", 101)
    assert sink.add(b"y\n", 102)
    sink.close()
    assert (sink.rows, sink.size, (tmp_path / "a").stat().st_size) == (2, 102, 102)


def test_a_parquet_file_is_full_when_its_row_groups_are(tmp_path: Path) -> None:
    sink = TableSink(tmp_path / "a", SCHEMA)
    taken = [sink.add({"instruction": f"{number}" * 400}, 1000) for number in range(4)]
    sink.close()
    rows = pq.read_table(tmp_path / "a").column("instruction").to_pylist()
    assert len(rows) == sink.rows == sum(taken)
    assert 1 <= len(rows) <= 4


def test_lines_of_several_files_are_put_together_and_counted(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name).write_bytes(line({"instruction": name}) * 3)
    uris = [str(tmp_path / name) for name in ("a", "b")]
    assert export_files.join_lines(uris, tmp_path / "whole") == 6
    rows = [json.loads(one)["instruction"] for one in (tmp_path / "whole").read_text().splitlines()]
    assert rows == ["a"] * 3 + ["b"] * 3


def test_tables_of_several_files_are_put_together_as_plain_strings(tmp_path: Path) -> None:
    for name in ("a", "b"):
        sink = TableSink(tmp_path / name, SCHEMA)
        for _ in range(3):
            sink.add({"instruction": name, "turns": [{"role": "user"}]}, 1 << 20)
        sink.close()
    uris = [str(tmp_path / name) for name in ("a", "b")]
    assert export_files.join_tables(uris, tmp_path / "whole", SCHEMA) == 6
    table = pq.read_table(tmp_path / "whole")
    assert table.schema.field("instruction").type == pa.string()
    assert table.column("instruction").to_pylist() == ["a"] * 3 + ["b"] * 3
    assert table.column("turns").to_pylist() == [[{"role": "user"}]] * 6
    assert pq.ParquetFile(tmp_path / "whole").num_row_groups == 1


def test_a_file_stands_in_storage_whole(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"x" * 1000)
    assert export_files.put(tmp_path / "a", str(tmp_path / "folder" / "b")) == 1000
    assert (tmp_path / "folder" / "b").read_bytes() == b"x" * 1000
