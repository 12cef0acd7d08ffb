"""Reading revisions: any format, any packing, numbers in the first pass and texts in the second, and nothing lost uncounted."""

from __future__ import annotations

import gzip
import json
import tempfile
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zstandard

from midb_ray.errors import UserError
from midb_ray.locales import load_locales
from midb_ray.pairs import REVISION_SCHEMA, Text
from midb_ray.runs import inputs
from midb_ray.runs.shards import Shard
from midb_ray.signals.distance import distance
from midb_ray.training import revisions
from midb_ray.training.revisions import Found, Wanted

READING = revisions.reading(load_locales())
ROWS = [
    {
        "source_id": f"s{number}",
        "raw_instruction": f"Nenne {number} Tiere.",
        "raw_input": "",
        "raw_response": "Hund",
        "instruction": f"Nennen Sie {number} Tiere.",
        "input": "",
        "response": "Hund, Katze" + "!" * number,
        "kinds": ["content", "localization"],
    }
    for number in range(30)
]
PUBLISHED = {
    "Raw Instruction": "raw_instruction",
    "Raw Input": "raw_input",
    "Raw Response": "raw_response",
    "Revised Instruction": "instruction",
    "Revised Input": "input",
    "Revised Response": "response",
    "source_index": "source_id",
}


def lines(rows: list[dict]) -> bytes:
    return b"".join(json.dumps(row, ensure_ascii=False).encode() + b"\n" for row in rows)


def parquet_file(rows: list[dict]) -> bytes:
    sink = pa.BufferOutputStream()
    pq.write_table(pa.Table.from_pylist(rows), sink)
    return bytes(sink.getvalue())


def published(rows: list[dict]) -> list[dict]:
    return [{**{key: row[own] for key, own in PUBLISHED.items()}, "Distance": 999} for row in rows]


@pytest.fixture
def plan(tmp_path: Path) -> Callable[..., list[Shard]]:
    """The shards of files with these names and contents, in a folder of their own."""

    def planned(**files: bytes) -> list[Shard]:
        folder = Path(tempfile.mkdtemp(dir=tmp_path))
        for name, content in files.items():
            (folder / name.replace("_", ".")).write_bytes(content)
        return revisions.plan(inputs.find((str(folder),)), str(tmp_path / "out"), map)

    return planned


def read(shards: list[Shard]) -> list[dict]:
    """All candidates of a plan as rows."""
    return [row for shard in shards for row in READING.candidates(shard).candidates.to_pylist()]


def wanted(shard: Shard, found: Found, *indices: int) -> Wanted:
    rows = found.candidates.take(list(indices))
    return Wanted(shard, rows.column("index").to_pylist(), rows.column("content").to_pylist())


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("de_jsonl", lines(ROWS)),
        ("de_json", json.dumps(ROWS).encode()),
        ("de_jsonl_gz", gzip.compress(lines(ROWS))),
        ("de_json_gz", gzip.compress(json.dumps(published(ROWS)).encode())),
        ("de_jsonl_zst", zstandard.compress(lines(published(ROWS)))),
        ("de_parquet", parquet_file(ROWS)),
        ("German_json", json.dumps(published(ROWS)).encode()),
    ],
)
def test_the_same_revisions_in_any_form_are_the_same_candidates(plan, name: str, content: bytes) -> None:
    found = read(plan(**{name: content}))
    expected = [
        distance(
            Text(row["raw_instruction"], row["raw_input"], row["raw_response"]),
            Text(row["instruction"], row["input"], row["response"]),
        )
        for row in ROWS
    ]
    assert [row["distance"] for row in found] == expected  # whatever a Distance column says
    assert {row["language"] for row in found} == {"de"}
    assert [(row["index"], row["has_source"]) for row in found] == [(index, True) for index in range(len(ROWS))]
    same = read(plan(de_jsonl=lines(ROWS)))
    assert [(row["content"], row["source"]) for row in found] == [(row["content"], row["source"]) for row in same]


def test_what_the_first_pass_gives_holds_no_text(plan) -> None:
    (shard,) = plan(de_jsonl=lines(ROWS))
    for field in READING.candidates(shard).candidates.schema:
        assert pa.types.is_primitive(field.type) or field.name == "language"


def test_the_second_pass_gives_the_chosen_rows_whole_and_no_others(plan) -> None:
    (shard,) = plan(de_jsonl=lines(ROWS))
    found = READING.texts(wanted(shard, READING.candidates(shard), 3, 17))
    assert found.schema == REVISION_SCHEMA
    assert [row["row"].rpartition(":")[2] for row in found.to_pylist()] == ["4", "18"]
    (_, row) = found.to_pylist()
    assert {key: row[key] for key in ROWS[17] if key != "kinds"} == {
        key: one for key, one in ROWS[17].items() if key != "kinds"
    }
    assert (row["kinds"], row["language"], row["id"]) == (["content", "localisation"], "de", None)


def test_a_file_that_changes_between_the_passes_is_refused(plan) -> None:
    (shard,) = plan(de_jsonl=lines(ROWS))
    chosen = wanted(shard, READING.candidates(shard), 3)
    Path(shard.uri).write_bytes(lines([ROWS[9], *ROWS[1:3], ROWS[7], *ROWS[4:]]))
    with pytest.raises(UserError, match=r"de\.jsonl has changed while it was being read"):
        READING.texts(chosen)


def test_unusable_rows_are_counted_by_reason_and_the_language_of_the_file(plan) -> None:
    bad = [{**ROWS[0], "raw_response": " "}, {**ROWS[1], "response": None}, {**ROWS[2], "language": "Klingon"}]
    (shard,) = plan(de_jsonl=lines([*bad, *ROWS[3:], {**ROWS[4], "raw_instruction": ""}, bad[0]]) + b"{not json\n")
    found = READING.candidates(shard)
    assert found.candidates.num_rows == 27
    counts = {(one.language, one.reason): (one.rows, one.example.rpartition(":")[2]) for one in found.unusable}
    assert counts == {
        ("de", "empty_response"): (2, "1"),
        ("de", "missing_revision"): (1, "2"),
        ("de", "unknown_language"): (1, "3"),
        ("de", "empty_instruction"): (1, "31"),
        ("de", "invalid_json"): (1, "33"),
    }


def test_the_language_is_told_from_the_text_where_nothing_states_it(plan) -> None:
    row = {**ROWS[0], "raw_response": "Der Hund und die Katze sind die liebsten Haustiere der Menschen in diesem Land."}
    assert [found["language"] for found in read(plan(revisions_jsonl=lines([row])))] == ["de"]


def test_rows_without_a_source_are_of_one_source_if_they_revise_the_same_pair(plan) -> None:
    alone = [{key: one for key, one in row.items() if key != "source_id"} for row in ROWS[:2]]
    again = {**alone[0], "response": "anders"}
    first, second, third = read(plan(de_jsonl=lines([*alone, again])))
    assert not first["has_source"]
    assert first["source"] == third["source"] != second["source"]
    assert first["content"] != third["content"]


def test_a_file_that_breaks_off_gives_what_it_holds_and_one_unusable_row(plan) -> None:
    found = [READING.candidates(shard) for shard in plan(de_jsonl_gz=gzip.compress(lines(ROWS))[:-12])]
    assert [one.reason for shard in found for one in shard.unusable if one.reason == "truncated_file"]
    assert sum(shard.candidates.num_rows for shard in found) >= len(ROWS) - 1


def test_pairs_without_a_revised_side_are_refused_with_the_file(plan) -> None:
    with pytest.raises(
        UserError, match=r"de\.jsonl holds alpaca rows without a revised side; expected expert revisions"
    ):
        plan(de_jsonl=lines([{"instruction": "a", "output": "b"}]))


def test_rows_of_no_known_form_are_refused_with_the_file_and_the_keys(plan) -> None:
    with pytest.raises(UserError, match=r"de\.jsonl: Cannot tell the format .*colour"):
        plan(de_jsonl=lines([{"colour": "red"}]))


def test_a_file_in_which_no_row_can_be_read_is_all_unusable(plan) -> None:
    (shard,) = plan(de_jsonl=b"{not json\n{nor this\n")
    assert [(one.reason, one.rows) for one in READING.candidates(shard).unusable] == [("invalid_json", 2)]


def test_an_empty_file_has_no_shard(plan) -> None:
    assert plan(de_jsonl=b"") == []
