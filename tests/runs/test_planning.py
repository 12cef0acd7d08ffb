"""Planning: whatever the bytes, every row is in exactly one shard, and the same one every time."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from midb_ray.runs import planning, shards
from midb_ray.runs.inputs import InputFile
from midb_ray.runs.shards import Shard
from tests.runs.plans import BOM, SIZES, Sizes, planned, rows_of

ONE_LINE = (
    st.binary(max_size=20)
    | st.text(" \t\r\x0b", max_size=4).map(str.encode)
    | st.integers(60, 70).map(lambda width: b" " * width)  # around the longest blank line
    | st.integers(40, 300).map(lambda width: b"x" * width)
)
CONTENT = st.lists(st.tuples(st.sampled_from([b"", BOM]), ONE_LINE, st.sampled_from([b"\n", b"\r\n", b"\n\n"]))).map(
    lambda lines: b"".join(b"".join(line) for line in lines)
)


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A place for the file of an example."""
    return tmp_path_factory.mktemp("planning") / "corpus"


def lines_of(content: bytes) -> Iterator[tuple[str, int, int, bytes]]:
    """What `shards.read` must give for a file of lines, in the plainest way."""
    offset = 0
    for number, whole in enumerate(content.split(b"\n"), 1):
        line = whole.removeprefix(BOM)
        start = offset + len(whole) - len(line)
        line = line.removesuffix(b"\r")
        if line.strip() or len(line) > 64:
            yield str(number), number, start, line
        offset += len(whole) + 1


@given(content=CONTENT, tail=ONE_LINE, sizes=SIZES)
def test_every_line_is_in_one_shard_in_order_with_its_number_and_offset(
    file: Path, content: bytes, tail: bytes, sizes: Sizes
) -> None:
    file.write_bytes(content + tail)
    plan = planned(file, "lines", sizes)
    assert rows_of(plan) == list(lines_of(content + tail))
    assert [shard.shard for shard in plan] == list(range(len(plan)))
    assert all(shard.rows <= sizes.rows for shard in plan)
    assert all(shard.length <= sizes.bytes for shard in plan if shard.rows > 1)
    assert planned(file, "lines", sizes) == plan


@given(content=CONTENT, sizes=SIZES, other=SIZES, sample=st.sampled_from([0.1, 0.5, 0.9]))
def test_a_sample_is_the_same_rows_however_the_file_is_cut(
    file: Path, content: bytes, sizes: Sizes, other: Sizes, sample: float
) -> None:
    file.write_bytes(content)
    found = rows_of(planned(file, "lines", sizes, sample))
    assert found == rows_of(planned(file, "lines", other, sample))
    assert set(found) <= set(rows_of(planned(file, "lines", other, sample + 0.05)))
    assert set(found) <= set(lines_of(content))


@given(rows=st.lists(st.dictionaries(st.text(max_size=4), st.text(max_size=9), max_size=3)), sizes=SIZES)
@pytest.mark.parametrize("sample", [1.0, 0.5])
def test_every_array_element_is_in_one_shard_in_order(
    file: Path, rows: list[dict[str, str]], sizes: Sizes, sample: float
) -> None:
    content = json.dumps(rows, indent=1, ensure_ascii=False).encode()
    file.write_bytes(content)
    found = rows_of(planned(file, "array", sizes, sample))
    assert all(content.startswith(raw, offset) for _, _, offset, raw in found)
    assert all(line == 1 + content.count(b"\n", 0, offset) for _, line, offset, _ in found)
    assert [json.loads(raw) for *_, raw in found] == [rows[int(position) - 1] for position, *_ in found]
    assert len(found) == len(rows) or sample < 1


@given(count=st.integers(0, 60), group=st.integers(1, 30), sizes=SIZES)
@pytest.mark.parametrize("sample", [1.0, 0.5])
def test_every_parquet_row_is_in_one_shard_in_order(
    file: Path, count: int, group: int, sizes: Sizes, sample: float
) -> None:
    pq.write_table(pa.table({"number": pa.array(range(count), pa.int64())}), file, row_group_size=group)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(planning, "_PARQUET_ROWS", 17)
        found = rows_of(planned(file, "parquet", sizes._replace(bytes=1 << 20), sample))
    assert all(row == {"number": int(position) - 1} for position, _, _, row in found)
    assert [int(position) for position, *_ in found] == sorted({int(position) for position, *_ in found})
    assert len(found) == count or sample < 1


def test_shards_of_very_long_parquet_rows_are_cut_by_bytes(file: Path) -> None:
    texts = [str(number) * 50_000 for number in range(100, 140)]
    pq.write_table(pa.table({"text": texts}), file, row_group_size=10, use_dictionary=False)
    plan = planned(file, "parquet", Sizes(1, 256, 1_000_000))
    assert [shard.rows for shard in plan] == [6] * 6 + [4]  # 150,000 bytes each
    assert [row["text"] for *_, row in rows_of(plan)] == texts


def test_a_sample_is_unbiased(file: Path) -> None:
    file.write_bytes(b"".join(b'{"row": %d}\n' % number for number in range(20_000)))
    everything = rows_of(planned(file, "lines", Sizes(1 << 20, 256, 1 << 20)))
    for name in ("corpus", "another", "data/fr.jsonl"):
        for sample in (0.02, 0.5):
            picked = {row[0] for row in rows_of(planned(file, "lines", Sizes(1 << 20, 256, 1 << 20), sample, name))}
            hits = np.array([row[0] in picked for row in everything])
            for part in (hits, *np.split(hits, 10), hits[::2], hits[1::2], hits[hits.argmax() + 1 :]):
                bound = 5 * np.sqrt(len(part) * sample * (1 - sample))  # one in 1.7 million goes beyond five sigmas
                assert abs(part.sum() - len(part) * sample) < bound
            after = hits[1:][hits[:-1]]  # a row behind a picked one is picked no more often than others
            assert abs(after.mean() - sample) < 5 * np.sqrt(sample * (1 - sample) / len(after))


def test_files_do_not_share_their_samples() -> None:
    places = np.arange(20_000)
    one, two = (planning.picked(name, places, 0.5) for name in ("a", "b"))
    assert abs((one == two).mean() - 0.5) < 5 * 0.5 / np.sqrt(len(places))


def test_a_sample_never_changes() -> None:
    picks = planning.picked("corpus.jsonl", np.arange(0, 400, 10), 0.2)
    assert np.flatnonzero(picks).tolist() == [4, 17, 18, 21, 22, 23, 24, 25, 32, 37, 38]


def test_files_appended_to_a_run_extend_its_numbers(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name).write_text('{"x": 1}\n' * 5)
    first = planned(tmp_path / "a", "lines", Sizes(16, 2, 100), name="a")
    second = planned(tmp_path / "b", "lines", Sizes(16, 2, 100), name="b", first=len(first))
    assert [shard.shard for shard in first + second] == list(range(len(first) + len(second)))
    assert [(shard.file, shard.line) for shard in second] == [("b", shard.line) for shard in first]


def test_several_files_count_their_own_lines(tmp_path: Path) -> None:
    tasks = []
    for name in ("a", "b"):
        (tmp_path / name).write_text('\n{"x": 1}\n\n{"x": 2}\n')
        source = InputFile(name, f"{tmp_path}/{name}", 20, "")
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(planning, "STRETCH", 5)
            tasks += planning.scans(source, source.uri, "lines", "alpaca", 1, 1.0, None)
    plan = list(planning.assemble(tasks, map(planning.scan, tasks)))
    assert [(shard.file, shard.line, shard.position) for shard in plan] == [
        ("a", 2, 1),
        ("a", 4, 2),
        ("b", 2, 1),
        ("b", 4, 2),
    ]


def test_the_first_rows_of_each_language_are_selected(tmp_path: Path) -> None:
    tongues = ["fr", "de", "fr", None, "fr", "de", "it", "fr", "de", "de"]
    path = tmp_path / "corpus"
    path.write_text("".join(f'{{"language": "{tongue}"}}\n' for tongue in tongues))
    plan = planned(path, "lines", Sizes(1 << 20, 3, 1 << 20))

    def languages(shard: Shard) -> list[str | None]:
        named = [json.loads(raw)["language"] for *_, raw in shards.read(shard)]
        return [None if name == "None" else name for name in named]

    chosen = list(planning.select(plan, languages, 2))
    assert [row[1] for row in rows_of(chosen)] == [1, 2, 3, 6, 7]
    assert [shard.shard for shard in chosen] == [0, 1, 2]
    assert list(planning.select(plan, languages, 100))[-1].rows == 1


def test_a_selection_takes_from_the_sample_only(tmp_path: Path) -> None:
    path = tmp_path / "corpus"
    path.write_text("".join(f'{{"number": {number}}}\n' for number in range(100)))
    plan = planned(path, "lines", Sizes(1 << 20, 8, 1 << 20), sample=0.3)
    chosen = planning.select(plan, lambda shard: ["fr"] * shard.rows, 10)
    assert rows_of(list(chosen)) == rows_of(plan)[:10]
