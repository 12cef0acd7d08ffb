"""Reading a shard: every planned row is a pair or a dead letter, whatever happened to the file."""

from __future__ import annotations

import gzip
import json
from collections import Counter
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from midb_ray.corpora.corpus import Corpus
from midb_ray.corpora.settings import CorpusSettings
from midb_ray.locales import load_locales
from midb_ray.runs import planning
from tests.corpora.plans import plan

ROWS = [
    {"instruction": f"Zähle bis {n}.", "output": f"Ich zähle bis {n}.", "language": "de" if n % 2 else "fr"}
    for n in range(40)
]


@pytest.fixture
def corpus(tmp_path: Path) -> Corpus:
    settings = CorpusSettings(input=("corpus",), output=f"{tmp_path}/run", shard_rows=8)
    return Corpus(settings, json.dumps(load_locales().fingerprint(), ensure_ascii=False))


def damaged(folder: Path) -> bytes:
    """A Parquet file with four row groups, of which the second cannot be decoded."""
    pq.write_table(pa.Table.from_pylist(ROWS), folder / "whole", row_group_size=10, use_dictionary=False)
    place = pq.ParquetFile(folder / "whole").metadata.row_group(1).column(0).data_page_offset
    content = (folder / "whole").read_bytes()
    return content[:place] + b"\xff" * 10 + content[place + 10 :]


def test_a_damaged_page_becomes_one_dead_letter_per_row(tmp_path: Path, corpus: Corpus) -> None:
    pairs, dead = [], []
    for shard in plan(tmp_path, damaged(tmp_path)):
        some, others = corpus.read(shard)
        assert len(some) + len(others) == shard.rows
        pairs += some
        dead += others
    assert [pair.row for pair in pairs] == [f"corpus:{n}" for n in (*range(1, 11), *range(21, 41))]
    assert [letter.row for letter in dead] == [f"corpus:{n}" for n in range(11, 21)]
    assert {(letter.reason, letter.raw, letter.line, letter.offset) for letter in dead} == {
        ("damaged_file", b"", None, None)
    }
    assert all("page header" in letter.detail for letter in dead)


@pytest.mark.parametrize("kind", ["parquet", "gz", "array"])
def test_a_limit_counts_the_pairs_of_a_file_that_is_not_whole(tmp_path: Path, corpus: Corpus, kind: str) -> None:
    lines = "".join(json.dumps(row) + "\n" for row in ROWS).encode()
    content = {
        "parquet": damaged(tmp_path),
        "gz": gzip.compress(lines)[:-8],  # the check at the end is gone, the rows are not
        "array": json.dumps(ROWS).encode()[:-1],
    }[kind]
    shards = plan(tmp_path, content)
    named = [language for shard in shards for language in corpus.languages(shard)]
    sound = 30 if kind == "parquet" else 40
    assert Counter(named) == Counter({"de": sound // 2, "fr": sound // 2, None: 40 - sound})
    chosen = list(planning.select(shards, corpus.languages, 7))
    found = [pair.row for shard in chosen for pair in corpus.read(shard)[0]]
    assert found == ([f"corpus:{n}" for n in (*range(1, 11), *range(21, 25))] if kind == "parquet" else found)
    assert len(set(found)) == len(found) == 14


def test_an_array_without_its_end_has_a_dead_letter_that_says_so(tmp_path: Path, corpus: Corpus) -> None:
    *_, last = plan(tmp_path, json.dumps(ROWS, indent=1).encode()[:-1])
    pairs, (letter,) = corpus.read(last)
    assert pairs == []
    assert (letter.row, letter.reason) == ("corpus:end", "truncated_file")
    assert letter.line == json.dumps(ROWS, indent=1).count("\n") + 1
    assert letter.detail == "the closing bracket of the JSON array is missing"
