"""Conversations in a corpus: every planned row is accounted for, whatever number of pairs it becomes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from midb_ray.corpora.corpus import Corpus
from midb_ray.corpora.settings import CorpusSettings
from midb_ray.locales import load_locales
from midb_ray.pairs import pairs_to_table, rows_in
from midb_ray.runs import planning
from midb_ray.runs.inputs import InputFile
from midb_ray.runs.shards import Shard


def conversation(number: int) -> str:
    """One of `number` % 4 exchanges in the end, in German or French; none is a dead letter."""
    speakers = (("user", "Frage"), ("assistant", "Antwort"))
    turns = [{"role": name, "content": f"{word} {turn}"} for turn in range(number % 4) for name, word in speakers]
    row = {"messages": [*turns, {"role": "user", "content": "Und?"}], "language": "de" if number % 2 else "fr"}
    return json.dumps(row) + "\n"


@pytest.fixture
def corpus(tmp_path: Path) -> Corpus:
    settings = CorpusSettings(input=("corpus",), output=f"{tmp_path}/run")
    return Corpus(settings, json.dumps(load_locales().fingerprint(), ensure_ascii=False))


def plan(path: Path, content: str, rows: int = 8) -> list[Shard]:
    path.write_text(content)
    file = InputFile("corpus", str(path), path.stat().st_size, "")
    tasks = planning.scans(file, str(path), "lines", "conversations", rows, 1.0, None)
    return list(planning.assemble(tasks, map(planning.scan, tasks)))


def test_the_rows_of_a_shard_are_those_that_its_pairs_and_dead_letters_come_from(
    tmp_path: Path, corpus: Corpus
) -> None:
    seen = 0
    for shard in plan(tmp_path / "corpus", "".join(map(conversation, range(40)))):
        pairs, dead = corpus.read(shard)
        assert rows_in(pairs_to_table(pairs)) + len(dead) == shard.rows
        assert [letter.reason for letter in dead] == ["missing_response"] * 2
        seen += len(pairs)
    assert seen == 10 * (1 + 2 + 3)


def test_a_limit_counts_conversations_and_takes_them_whole(tmp_path: Path, corpus: Corpus) -> None:
    shards = plan(tmp_path / "corpus", "".join(map(conversation, range(40))))
    chosen = list(planning.select(shards, corpus.languages, 3))
    found = [pair for shard in chosen for pair in corpus.read(shard)[0]]
    turns = {"de": [1, 1, 2, 3, 1], "fr": [1, 2, 1, 2, 1, 2]}
    for language, numbers in turns.items():
        assert [pair.turn for pair in found if pair.language == language] == numbers


def test_a_shard_of_conversations_is_no_larger_than_its_pairs_can_be(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(planning, "_TURN_BYTES", 1_000)
    content = "".join(map(conversation, range(40)))
    shards = plan(tmp_path / "corpus", content, 256)
    assert sum(shard.rows for shard in shards) == 40
    assert len(shards) >= len(content) / 1_000
    assert all(shard.length <= 1_000 for shard in shards)
