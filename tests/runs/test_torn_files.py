"""A file that breaks off, or is not there: what is whole is planned, and one row or one sentence says the rest."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from midb_ray.errors import UserError
from midb_ray.runs import planning, shards
from midb_ray.runs.inputs import InputFile, Layout
from tests.runs.plans import SIZES, Sizes, planned, rows_of


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A place for the file of an example."""
    return tmp_path_factory.mktemp("planning") / "corpus"


@pytest.mark.parametrize(
    ("layout", "content"), [("lines", b'{"a": 1}\n{"b'), ("array", b'[{"a": 1}, {"b'), ("lines", b"")]
)
def test_a_file_that_ended_early_has_one_more_row(tmp_path: Path, layout: Layout, content: bytes) -> None:
    (tmp_path / "staged").write_bytes(content)
    source = InputFile("corpus.gz", "elsewhere", 1, "")
    tasks = planning.scans(source, f"{tmp_path}/staged", layout, "alpaca", 256, 0.5, "the gz stream breaks off")
    *whole, last = planning.assemble(tasks, map(planning.scan, tasks))
    assert (last.file, last.rows, last.error) == ("corpus.gz", 1, "the gz stream breaks off")
    assert list(shards.read(last)) == []
    assert all(shard.error is None for shard in whole)


def test_a_torn_parquet_file_is_one_row_that_says_so(tmp_path: Path) -> None:
    (tmp_path / "torn").write_bytes(b"PAR1 and then nothing")
    source = InputFile("torn", f"{tmp_path}/torn", 21, "")
    tasks = planning.scans(source, source.uri, "parquet", "alpaca", 256, 1.0, "no whole Parquet file")
    (shard,) = planning.assemble(tasks, map(planning.scan, tasks))
    assert (shard.rows, shard.error) == (1, "no whole Parquet file")


@pytest.mark.parametrize("layout", ["lines", "array", "parquet"])
def test_a_file_that_is_not_seen_is_one_sentence_and_no_empty_file(tmp_path: Path, layout: Layout) -> None:
    path = tmp_path / "here"
    path.write_bytes(b"")
    source = InputFile("corpus.gz", "elsewhere", 1, "")
    (task,) = planning.scans(source, str(path), layout, "alpaca", 256, 1.0, "so that no footer is missed")
    assert planning.scan(task).rows == 0
    path.unlink()
    told = "does not see what was unpacked from corpus.gz; give an --output on storage that all nodes share"
    with pytest.raises(UserError, match=rf"^Cannot read {path}: the node that plans it {told}\.$"):
        planning.scan(task)
    with pytest.raises(UserError, match=rf"^Cannot read {path}: the driver {told}\.$"):
        planning.scans(source, str(path), layout, "alpaca", 256, 1.0, None)
    source = InputFile("here", str(path), 1, "")
    with pytest.raises(UserError, match=rf"^Cannot read {path}: the driver does not see the input; it was removed"):
        planning.scans(source, str(path), layout, "alpaca", 256, 1.0, None)


@pytest.mark.parametrize(
    ("content", "rows", "truncated"),
    [
        (b'[{"a": 1}, {"b": 2}]', 2, False),
        (b'[{"a": 1}, {"b": 2}] \n', 2, False),
        (b'[{"a": 1},\n {"b": 2}', 2, True),
        (b'[{"a": 1},\n {"b": 2},\n', 2, True),
        (b'[{"a": 1},\n {"b": "\xff\t"}', 2, True),  # whole, though no UTF-8
        (b"[", 0, True),
        (b"[]", 0, False),
        (b'[{"a": 1}, {"b": ', 2, False),  # the broken element is the dead letter
        (b'[{"a": 1}, {"b": 2', 2, False),
        (b'[{"a": 1}, {"b": "]', 2, False),
        (b'[{"a": 1}] {"b": 2}', 2, False),
        (b'[{"a": 1}]\n[{"b": 2}', 2, True),
        (b'[{"a": 1}]\n\xef\xbb\xbf[{"b": 2}]', 2, False),
    ],
)
@pytest.mark.parametrize("shard_rows", [1, 256])
def test_an_array_that_breaks_off_between_elements_has_one_more_row(
    file: Path, content: bytes, rows: int, truncated: bool, shard_rows: int
) -> None:
    file.write_bytes(content)
    plan = planned(file, "array", Sizes(1, shard_rows, 1 << 20))
    if truncated:
        last = plan.pop()
        assert (last.rows, last.error) == (1, "the closing bracket of the JSON array is missing")
        assert last.line == content.count(b"\n")  # its dead letter stands on the line behind
    assert len(rows_of(plan)) == rows
    assert all(shard.error is None for shard in plan)


def test_a_file_that_breaks_off_twice_over_has_one_more_row(file: Path) -> None:
    file.write_bytes(b'[{"a": 1}')
    source = InputFile("corpus.gz", "elsewhere", 1, "")
    tasks = planning.scans(source, str(file), "array", "alpaca", 256, 1.0, "the gz stream breaks off")
    assert [shard.error for shard in planning.assemble(tasks, map(planning.scan, tasks))] == [
        None,
        "the gz stream breaks off",
    ]


@given(
    rows=st.lists(st.dictionaries(st.text(max_size=3), st.text(max_size=5), max_size=2), min_size=1),
    tail=st.sampled_from([b"", b'{"b": 2}, {"c": 3}', b"junk, [1, 2], 3", b"[1, 2]", b", [3], 4]", b"] 5, 6"]),
    damage=st.lists(st.tuples(st.integers(1, 200), st.sampled_from([b"", b'"', b"{", b"}", b"[", b"]", b",", b"\n"]))),
    sizes=SIZES,
)
def test_a_broken_array_is_read_shard_by_shard_as_it_was_planned(
    file: Path, rows: list[dict[str, str]], tail: bytes, damage: list[tuple[int, bytes]], sizes: Sizes
) -> None:
    content = json.dumps(rows, ensure_ascii=False).encode()
    for place, replacement in damage:
        content = content[:place] + replacement + content[place + 1 :]
    file.write_bytes(content + tail)
    plan = [shard for shard in planned(file, "array", sizes) if shard.error is None]
    whole = planned(file, "array", Sizes(1, 1 << 20, 1 << 30))
    assert rows_of(plan) == rows_of([shard for shard in whole if shard.error is None])
