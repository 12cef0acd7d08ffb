"""Sisters that stand anywhere in a corpus, brought together over storage without a cluster."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from midb_ray.corpora import plan as plans
from midb_ray.corpora.corpus import Corpus
from midb_ray.corpora.plan import Plan
from midb_ray.errors import UserError
from midb_ray.locales import load_locales
from midb_ray.pairs import Text
from midb_ray.quality import sister_join, sister_tasks
from midb_ray.quality.settings import ScoreSettings, SourceSettings
from midb_ray.quality.sister_join import Counts
from midb_ray.quality.sisters import Told
from midb_ray.runs import folder, inputs, shards, storage, stream
from midb_ray.runs.figures import Figures
from tests.quality.test_sisters import TOWER

ENGLISH = "The tower is 48 metres high. See https://turm.example/plan and write to {name}."
LOCALES = json.dumps(load_locales().fingerprint())
NOTHING = Told(0, None, [])


def row(source: str | None, language: str, response: str, **more: Any) -> dict[str, Any]:
    return {"source_id": source, "language": language, "instruction": "?", "output": response, **more}


class Corpora:
    """A corpus of files by language in shards of three rows, and its run."""

    def __init__(self, place: Path, files: dict[str, list[dict[str, Any]]]) -> None:
        for name, rows in files.items():
            text = "".join(json.dumps(one, ensure_ascii=False) + "\n" for one in rows)
            (place / f"{name}.jsonl").write_text(text, encoding="utf-8")
        settings = ScoreSettings(input=(str(place),), output=str(place / "run"), shard_rows=3)
        self.corpus = Corpus(settings, LOCALES)
        found = inputs.find(settings.input, leave_out=settings.output)
        self.run = folder.open_run(settings.output, "score", {}, {})
        self.plan = Plan([plans.planned(self.corpus, self.run.uri, found, 0, map)], found, True)
        shards.write_plan(storage.join(self.run.uri, folder.PLAN), self.plan.tables, found)

    def join(self, done: tuple[int, ...] = ()) -> Counts:
        is_done = np.isin(np.arange(len(self.plan.rows)), done)
        return sister_join.join(self.run, self.plan, is_done, self.corpus, SourceSettings(), 0.0, map)

    def told(self) -> dict[tuple[str, str | None], Told]:
        """What each pair is told, by its language and source."""
        found = {}
        for shard in shards.from_table(self.plan.tables[0]):
            pairs, _ = self.corpus.read(shard)
            parts = sister_tasks.parts_of(self.run.uri)
            for pair, told in zip(pairs, sister_tasks.read(parts, shard.shard, len(pairs)), strict=True):
                found[pair.language, pair.source_id] = told
        return found


def towers(numbers: int, **instead: str) -> dict[str, list[dict[str, Any]]]:
    """A file for each language with the same sources, of which number 2 is another in some of them."""
    return {
        language: [row(f"s{n}", language, instead.get(language, text) if n == 2 else text) for n in range(numbers)]
        for language, text in TOWER.items()
    }


def test_sisters_of_other_files_and_shards_find_each_other(tmp_path: Path) -> None:
    corpora = Corpora(tmp_path, towers(7, fr=TOWER["fr"].replace("48", "84")))
    assert len(corpora.plan.rows) == 15
    assert corpora.join() == Counts(35, 0, 35, 0)
    found = corpora.told()
    lost = found.pop(("fr", "s2"))
    assert [(one.kind, one.section, one.text) for one in lost.findings] == [("lost_number", "response", "48")]
    assert set(map(str, found.values())) == {str(Told(4, None, []))}


def test_the_source_comes_to_its_translations_and_to_nobody_else(tmp_path: Path) -> None:
    files = {**towers(4), "en": [row("s1", "en", ENGLISH), row("s2", "en", "One."), row("s2", "en", "Another.")]}
    files["it"].append(row(None, "it", "Niente."))
    corpora = Corpora(tmp_path, files)
    assert corpora.join() == Counts(23, 5, 15, 0)
    found = corpora.told()
    assert found["fr", "s1"] == Told(5, Text("?", "", ENGLISH), [])
    assert found["fr", "s2"] == found["fr", "s3"] == Told(4, None, [])
    assert found["en", "s1"] == found["en", "s2"] == found["it", None] == NOTHING


def test_a_source_in_a_column_of_one_row_is_that_of_its_sisters_too(tmp_path: Path) -> None:
    source = {"source_instruction": "?", "source_response": ENGLISH}
    files = {"de": [row("s1", "de", TOWER["de"], **source)] * 3, "fr": [row("s1", "fr", TOWER["fr"])]}
    corpora = Corpora(tmp_path, files)
    assert corpora.join() == Counts(1, 1, 0, 0)
    assert corpora.told() == {("de", "s1"): NOTHING, ("fr", "s1"): Told(1, Text("?", "", ENGLISH), [])}


def test_turns_of_a_conversation_are_the_sisters_of_the_same_turn(tmp_path: Path) -> None:
    def chat(language: str, first: str, second: str) -> dict[str, Any]:
        said = [("user", "?"), ("assistant", first), ("user", "?"), ("assistant", second)]
        return {
            "source_id": "s",
            "language": language,
            "messages": [{"role": role, "content": content} for role, content in said],
        }

    files = {
        language: [chat(language, text.replace("48", "77"), text if language != "fr" else text.replace("48", "77"))]
        for language, text in TOWER.items()
    }
    corpora = Corpora(tmp_path, files)
    assert corpora.join() == Counts(10, 0, 10, 0)
    assert [(one.kind, one.text) for one in corpora.told()["fr", "s"].findings] == [("lost_number", "48")]


def test_an_id_that_thousands_share_and_texts_that_are_too_long_are_left_out_and_counted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sister_tasks, "MEMBERS", 6)
    monkeypatch.setattr(sister_tasks, "LONGEST", 500)
    monkeypatch.setattr(sister_join, "_FEW_ROWS", 9)  # several gathering tasks, each with its own share of them
    files = towers(3)
    files["pt"] = [row("all", "pt", f"Número {n}.") for n in range(40)] + [row("s1", "pt", TOWER["es"] * 9)]
    corpora = Corpora(tmp_path, files)
    counts = corpora.join()
    assert (counts.with_id, counts.with_source, counts.with_translations) == (56, 0, 15)
    assert counts.left_out == 40 - 6 + 1
    assert corpora.told()["pt", "s1"] == NOTHING


def test_a_second_try_uses_what_the_first_has_done_and_goes_on_where_it_stopped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sister_join, "_FEW_ROWS", 9)
    corpora = Corpora(tmp_path, towers(7, ja=TOWER["ja"].replace("48", "84")))
    gathered: list[int] = []

    def gather(work: sister_tasks.Join, task: int) -> None:
        sister_tasks.gather(work, task)
        gathered.append(task)

    def fail(*_: object) -> None:
        raise UserError("The machine is gone.")

    with monkeypatch.context() as broken:
        broken.setattr(sister_join, "compare", fail)
        broken.setattr(sister_join, "gather", gather)
        with pytest.raises(UserError, match="is gone"):
            corpora.join()
        assert gathered == [0, 1, 2, 3, 4]
    monkeypatch.setattr(sister_join, "gather", fail)  # all that was gathered is there
    counts = corpora.join()
    expected = corpora.told()
    monkeypatch.setattr(sister_join, "compare", fail)
    assert corpora.join() == counts == sister_join.counted(corpora.run.uri) == Counts(35, 0, 35, 0)
    assert [one.kind for one in expected["ja", "s2"].findings] == ["lost_number"]


def test_only_shards_that_are_not_done_get_a_file_and_all_are_gone_at_the_end(tmp_path: Path) -> None:
    corpora = Corpora(tmp_path, towers(7))
    corpora.join(done=(0, 1, 2))
    parts = tmp_path / "run" / "sisters" / "parts"
    assert sorted(path.name for path in parts.iterdir()) == [f"part-{n:08d}.arrow" for n in range(3, 15)]
    assert {path.name for path in parts.parent.iterdir()} == {"parts", "ready.json"}
    with pytest.raises(UserError, match=r"part-00000000\.arrow is missing or damaged; delete .*sisters and run"):
        sister_tasks.read(str(parts), 0, 3)
    sister_join.tidy(corpora.run.uri)
    assert [path.name for path in parts.parent.iterdir()] == ["ready.json"]
    assert sister_join.counted(corpora.run.uri) == Counts(35, 0, 35, 0)
    corpora.join()  # somebody has deleted finished parts: what was tidied is made again
    assert len(corpora.told()) == 35


def test_a_corpus_without_source_ids_is_told_nothing(tmp_path: Path) -> None:
    corpora = Corpora(tmp_path, {"de": [row(None, "de", "Ja."), row("", "de", "Nein.")], "fr": []})
    assert corpora.join() == Counts()
    assert set(map(str, corpora.told().values())) == {str(NOTHING)}


def test_sisters_that_lack_each_others_sentences_are_called_strange() -> None:
    figures = Figures()
    for number in range(1000):
        figures.count("de", "flawed", ("omitted",) if number < 120 else ("lost_number",))
    assert sister_join.look_strange(Counts(1000, 600, 400, 0), figures)
    assert not sister_join.look_strange(Counts(1000, 800, 800, 0), figures)
    few = Figures()
    few.count("de", "flawed", ("omitted",))
    assert not sister_join.look_strange(Counts(2, 2, 0, 0), few)


def test_how_far_a_long_join_is_stands_in_the_log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, listen: Any) -> None:
    monkeypatch.setattr(sister_join, "_FEW_ROWS", 9)
    corpora = Corpora(tmp_path, towers(7))
    settings = corpora.corpus.settings.model_copy(update={"progress_seconds": 1e-9})
    corpora.corpus = Corpus(settings, LOCALES)
    heard, watched = listen(sister_join), listen(stream)
    corpora.join()
    assert "Looking for sisters: 5 of 5 parts are gathered." in watched
    assert heard[-1] == (
        "Of 35 pairs with a source_id, 0 have their source among their sisters and 35 other translations to compare with."
    )
