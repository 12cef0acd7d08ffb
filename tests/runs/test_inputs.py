"""Which files an input means and what they are made of."""

from __future__ import annotations

import gzip
import json
import os
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zstandard

from midb_ray.errors import UserError
from midb_ray.runs import inputs, storage
from midb_ray.runs.inputs import InputFile


@pytest.fixture
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder `data` below the working folder."""
    monkeypatch.chdir(tmp_path)
    for name in (
        "b.jsonl",
        "a.jsonl",
        "a b.json",
        "deep/er/c.jsonl",
        "part[1].jsonl",
        ".hidden",
        "_SUCCESS",
        "_tmp/d.jsonl",
    ):
        path = tmp_path / "data" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(name)
    return tmp_path / "data"


def names(*given: str) -> list[str]:
    return [file.name for file in inputs.find(given)]


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (["data/b.jsonl"], ["data/b.jsonl"]),
        (["data"], ["data/a b.json", "data/a.jsonl", "data/b.jsonl", "data/deep/er/c.jsonl", "data/part[1].jsonl"]),
        (["data/deep/"], ["data/deep/er/c.jsonl"]),
        (["./data//deep"], ["data/deep/er/c.jsonl"]),
        (["data/*.jsonl"], ["data/a.jsonl", "data/b.jsonl", "data/part[1].jsonl"]),
        (["./data/?.jsonl"], ["data/a.jsonl", "data/b.jsonl"]),
        (["data/[b-z].jsonl"], ["data/b.jsonl"]),
        (["data/part[1].jsonl"], ["data/part[1].jsonl"]),
        (["data/**/*.jsonl"], ["data/a.jsonl", "data/b.jsonl", "data/deep/er/c.jsonl", "data/part[1].jsonl"]),
        (["**/c.jsonl"], ["data/deep/er/c.jsonl"]),
        (["d*/d*/*/*"], ["data/deep/er/c.jsonl"]),
        (["data/_*/*"], ["data/_tmp/d.jsonl"]),
        (["data/_SUCCESS"], ["data/_SUCCESS"]),
        (["data/b.jsonl", "data/../data/a.jsonl"], ["data/b.jsonl", "data/a.jsonl"]),
        (["data/b.jsonl", "data/*.jsonl", "./data/a.jsonl"], ["data/b.jsonl", "data/a.jsonl", "data/part[1].jsonl"]),
    ],
)
def test_files_folders_and_patterns(data: Path, given: list[str], expected: list[str]) -> None:
    assert names(*given) == expected
    assert all(file.uri == str(data.parent / file.name) for file in inputs.find(tuple(given)))


def test_absolute_names_stay_absolute(data: Path) -> None:
    assert names(f"{data}/*.json") == [f"{data}/a b.json"]
    assert names(f"{data}/deep") == [f"{data}/deep/er/c.jsonl"]


def test_a_file_given_twice_by_different_names_is_read_once(data: Path) -> None:
    assert names("data/b.jsonl", f"{data}/b.jsonl", f"file://{data}/b.jsonl") == ["data/b.jsonl"]


def test_a_folder_whose_name_looks_like_a_pattern(data: Path) -> None:
    data.rename(data.parent / "data [v1]")
    assert names("data [v1]/deep", "data [v1]")[0] == "data [v1]/deep/er/c.jsonl"


@pytest.mark.parametrize("given", ["nothing.jsonl", "nothing/*.jsonl", "data/*.txt", "empty", "data/_tmp/x"])
def test_an_input_that_is_not_there_is_one_sentence(data: Path, given: str) -> None:
    (data.parent / "empty").mkdir()
    with pytest.raises(UserError, match=r"does not exist or holds no file; expected a file, a folder or a pattern\.$"):
        inputs.find(("data", given))


@pytest.mark.parametrize("given", ["", " "])
def test_an_empty_input_is_not_the_working_folder(data: Path, given: str) -> None:
    with pytest.raises(
        UserError, match=rf"^An input is empty \('{given}'\); expected a file, a folder or a pattern\.$"
    ):
        inputs.find(("data", given))


@pytest.mark.parametrize("given", ["data", "data/", "./data/**/*.jsonl", "data/*/*/*", "**/*.jsonl"])
@pytest.mark.parametrize("leave_out", ["data/deep", "data/deep/", "data/../data/deep/er"])
def test_what_a_run_has_written_below_its_input_is_no_input(data: Path, given: str, leave_out: str) -> None:
    (data / "deeper").mkdir()
    (data / "deeper" / "x").mkdir()
    (data / "deeper" / "x" / "d.jsonl").touch()
    found = {file.name for file in inputs.find((given,))}
    assert "data/deep/er/c.jsonl" in found
    assert {file.name for file in inputs.find((given,), leave_out)} == found - {"data/deep/er/c.jsonl"}


def test_a_file_that_is_named_is_not_left_out(data: Path) -> None:
    found = inputs.find(("data/deep/er/c.jsonl", "data"), str(data / "deep"))
    assert [file.name for file in found][:2] == ["data/deep/er/c.jsonl", "data/a b.json"]


@pytest.mark.parametrize("given", ["data/deep", "data/deep/er", "data/deep/*/*"])
def test_an_input_that_is_all_left_out_is_one_sentence(data: Path, given: str) -> None:
    with pytest.raises(
        UserError, match=r"holds no file but those in data/deep, where the run itself writes; expected other"
    ):
        inputs.find((given,), "data/deep")


@pytest.mark.parametrize("given", ["data", "data/*", "**/*.jsonl"])
@pytest.mark.parametrize(
    ("target", "reason"), [("nothing", "No such file or directory"), ("x.jsonl", "Too many levels of symbolic links")]
)
def test_a_link_that_leads_nowhere_is_named(data: Path, given: str, target: str, reason: str) -> None:
    (data / "x.jsonl").symlink_to(target)
    with pytest.raises(UserError) as caught:
        inputs.find((given,))
    assert str(caught.value) == f"Cannot follow the link data/x.jsonl: {reason}."


def test_a_link_that_leads_nowhere_and_is_no_input_is_left_alone(data: Path) -> None:
    for name in (".#a.jsonl", "_tmp/x", "deep/x"):
        (data / name).symlink_to("nothing")
    assert names("data/*.json") == ["data/a b.json"]
    assert [file.name for file in inputs.find(("data",), "data/deep")] == names("data/*")


@pytest.mark.parametrize(
    ("given", "place"), [("data", "data/old"), ("data/old/", "data/old"), ("**/*.json", "data/old")]
)
def test_the_output_of_an_earlier_run_is_no_input(data: Path, given: str, place: str) -> None:
    storage.write_bytes(f"{data}/old/pairs/part-0.parquet", b"PAR1")
    storage.write_bytes(f"{data}/old/run.json", b'{"job": "boost", "fingerprint": {}, "digests": [], "nonce": ""}')
    with pytest.raises(UserError) as caught:
        inputs.find((given,))
    assert str(caught.value) == (
        f"{place} is the output of an earlier run (boost); leave it out of the input, give its pairs/ folder, "
        "or try some of its pairs again with --only."
    )
    assert names("data/old/pairs") == ["data/old/pairs/part-0.parquet"]
    assert names("data/old/run.json") == ["data/old/run.json"]
    assert "data/a.jsonl" in {file.name for file in inputs.find(("data",), "data/old")}


@pytest.mark.parametrize("content", ["", "[1]", '{"job": "boost"}', '{"job": 1, "fingerprint": {}}', "[" * 100_000])
def test_another_file_called_run_json_is_an_input(data: Path, content: str) -> None:
    (data / "run.json").write_text(content)
    assert "data/run.json" in names("data")


@pytest.mark.parametrize(("name", "expected"), [("a\nb.jsonl", "line break"), (b"\xff.jsonl", "not UTF-8")])
def test_names_that_cannot_be_written_down_are_refused(data: Path, name: str | bytes, expected: str) -> None:
    (data / os.fsdecode(name)).touch()
    with pytest.raises(UserError, match=expected) as caught:
        inputs.find(("data",))
    str(caught.value).encode()


def layout(tmp_path: Path, content: bytes) -> tuple[str, str]:
    (tmp_path / "file").write_bytes(content)
    return inputs.layout(InputFile("the file", f"{tmp_path}/file", 0, ""))


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"", ("lines", "none")),
        (b'{"a": 1}\n', ("lines", "none")),
        (b'\xef\xbb\xbf\n [{"a": 1}]', ("array", "none")),
        (b"[]", ("array", "none")),
        (b'[{"a": 1},\n{"b": 2}]', ("array", "none")),
        (b'[1, 2]\n{"a": 1}\n', ("lines", "none")),  # a bad row, not a layout
        (b'[{"a": 1}]\n{"a": 1}\n', ("lines", "none")),
        (b"[1, 2]\n[3]\n", ("lines", "none")),
        (b'[{"a": 1}, {"b": 2}]\n[{"c": 3}]\n', ("array", "none")),  # two files put together
        (b"a, b and c\n" + b'{"a": 1}\n', ("lines", "none")),
        (b"a, b and c\nd, e, f, g\n", ("lines", "none")),
        (b"DEBUG, started\n" * 30 + b'{"a": 1}\n', ("lines", "none")),  # a log in front of the rows
        (b"a, b and c\n", ("lines", "none")),
        (b'{"a": "b\rc"}', ("lines", "none")),
        (b'{"a": 1}\r', ("lines", "none")),
        (b'{"a": "\0"}\n', ("lines", "none")),
        (b"not JSON at all", ("lines", "none")),
        (gzip.compress(b"[]", mtime=0), ("lines", "gz")),
        (zstandard.compress(b"[]"), ("lines", "zst")),
        (b"\x50\x2a\x4d\x18\x04\0\0\0\0\0\0\0" + zstandard.compress(b"[]"), ("lines", "zst")),  # as pzstd writes
        (b"PAR1", ("parquet", "none")),
    ],
)
def test_layouts_are_told_from_the_content(tmp_path: Path, content: bytes, expected: tuple[str, str]) -> None:
    assert layout(tmp_path, content) == expected


def test_every_file_is_looked_at_before_a_run_begins(tmp_path: Path) -> None:
    files = []
    for number, content in enumerate((b"{}", b"\x89PNG\0")):
        (tmp_path / str(number)).write_bytes(content)
        files.append(InputFile(str(number), f"{tmp_path}/{number}", 0, ""))
    inputs.check(files[:1])
    with pytest.raises(UserError, match=r"^1 is neither"):
        inputs.check(files)
    with pytest.raises(UserError, match=r"^Cannot read .*/gone: "):
        inputs.check([InputFile("gone", f"{tmp_path}/gone", 0, "")])


def test_first_rows_of_every_layout(tmp_path: Path) -> None:
    rows = [{"a": number} for number in range(5)]
    lines = tmp_path / "lines"
    lines.write_text("\n".join(map(json.dumps, rows)))
    array = tmp_path / "array"
    array.write_text(json.dumps(rows))
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "parquet", row_group_size=1)
    assert [json.loads(row) for row in inputs.first_rows(str(lines), "lines", 3)] == rows[:3]
    assert [json.loads(row) for row in inputs.first_rows(str(array), "array", 3)] == rows[:3]
    assert inputs.first_rows(f"{tmp_path}/parquet", "parquet", 3) == rows[:3]
    (tmp_path / "torn").write_bytes((tmp_path / "parquet").read_bytes()[:-9])
    assert inputs.first_rows(f"{tmp_path}/torn", "parquet", 3) == []


def test_a_parquet_file_that_is_damaged_at_its_beginning_still_shows_its_columns(tmp_path: Path) -> None:
    table = pa.table({"instruction": ["Wie?"] * 20, "output": ["So."] * 20})
    pq.write_table(table, tmp_path / "file", row_group_size=10, use_dictionary=False)
    content = bytearray((tmp_path / "file").read_bytes())
    content[4:14] = b"\xff" * 10
    (tmp_path / "file").write_bytes(content)
    assert inputs.first_rows(f"{tmp_path}/file", "parquet", 10) == [{"instruction": None, "output": None}]
    assert inputs.first_rows(f"{tmp_path}/file", "parquet", 12) == table.to_pylist()[:2]


def test_inputs_on_an_object_store(s3: str) -> None:
    for name in ("corpus/fr/a.jsonl", "corpus/de/a.jsonl", "corpus/_SUCCESS", "other"):
        storage.write_bytes(f"{s3}/{name}", b"{}")
    assert names(f"{s3}/corpus") == [f"{s3}/corpus/de/a.jsonl", f"{s3}/corpus/fr/a.jsonl"]
    assert names(f"{s3}/corpus/*/a.jsonl") == names(f"{s3}/corpus/")
    assert names(f"{s3}/o*", f"{s3}/other") == [f"{s3}/other"]
    with pytest.raises(UserError, match="does not exist or holds no file"):
        names(f"{s3}/corpus/*.parquet")
    found = inputs.find((f"{s3}/corpus",), f"{s3}/corpus/de/")
    assert [file.name for file in found] == [f"{s3}/corpus/fr/a.jsonl"]
