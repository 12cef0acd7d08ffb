"""Training sets: the same rows from the same revisions, whole or not there, readable as revisions, and used as they stand."""

from __future__ import annotations

import gzip
import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from midb_ray.errors import UserError
from midb_ray.formats.reading import Reader
from midb_ray.formats.records import Record
from midb_ray.formats.registry import detect
from midb_ray.locales import load_locales
from midb_ray.pairs import REVISION_SCHEMA, Revision
from midb_ray.runs import storage
from midb_ray.signals.distance import LONGEST
from midb_ray.training import revisions, selection_table, training_set
from midb_ray.training.selection_settings import SelectionSettings

LOCALES = load_locales()
SIDES = ("instruction", "input", "response")


def row(language: str, number: int, **changes: Any) -> dict[str, Any]:
    raw = {"raw_instruction": f"{language} {number}", "raw_input": "", "raw_response": "a"}
    return {
        "source_id": str(number),
        "language": language,
        **raw,
        "instruction": f"{language} {number}",
        "input": f"given {number}",
        "response": "a" * (number % 7 + 2),
        "kinds": ["content"],
        **changes,
    }


def write(folder: Path, languages: tuple[str, ...] = ("de", "fr", "ja"), rows: int = 40) -> Path:
    folder.mkdir()
    for language in languages:
        lines = [json.dumps(row(language, number)) for number in range(rows)]
        (folder / f"{language}.jsonl").write_text("\n".join(lines))
    return folder


def make(source: Path | tuple[str, ...], place: Path | str, seed: int = 0, **changes: Any) -> dict[str, Any]:
    paths = source if isinstance(source, tuple) else (str(source),)
    selection = SelectionSettings.model_validate({"share": 0.5, "validation": 0.2, **changes})
    return training_set.make(paths, selection, seed, LOCALES, str(place), map)


def read(place: Path | str, name: str = training_set.TRAIN) -> pa.Table:
    return pq.read_table(io.BytesIO(storage.read_bytes(storage.join(str(place), name))))


@pytest.fixture
def source(tmp_path: Path) -> Path:
    return write(tmp_path / "revisions")


def test_a_set_holds_the_rows_that_its_record_counts(source: Path, tmp_path: Path) -> None:
    record = make(source, tmp_path / "set")
    train, validation = read(tmp_path / "set"), read(tmp_path / "set", training_set.VALIDATION)
    assert train.schema.equals(REVISION_SCHEMA)
    assert record["rows"] == {"train.parquet": train.num_rows, "validation.parquet": validation.num_rows}
    assert train.num_rows + validation.num_rows == 3 * 20
    assert not {*train["source_id"].to_pylist()} & {*validation["source_id"].to_pylist()}
    assert record["sources"]["validation.parquet"] == len({*validation["source_id"].to_pylist()})
    assert training_set.load(str(tmp_path / "set")) == json.loads(json.dumps(record))
    assert sorted(path.name for path in (tmp_path / "set").iterdir()) == [
        "selection.json",
        "train.parquet",
        "validation.parquet",
    ]


def test_the_order_and_packing_of_files_and_the_size_of_shards_change_nothing(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    changes = {"temperature": 3, "unchanged_share": 0.3}
    make(source, tmp_path / "one", **changes)
    expected = [read(tmp_path / "one", name) for name in (training_set.TRAIN, training_set.VALIDATION)]

    monkeypatch.setattr(revisions, "SHARD_ROWS", 7)
    make(tuple(str(source / f"{language}.jsonl") for language in ("ja", "fr", "de")), tmp_path / "two", **changes)
    assert [read(tmp_path / "two", name) for name in (training_set.TRAIN, training_set.VALIDATION)] == expected

    path = source / "fr.jsonl"
    (source / "fr.jsonl.gz").write_bytes(gzip.compress(path.read_bytes()))
    path.unlink()
    make(source, tmp_path / "three", **changes)
    texts = [name for name in REVISION_SCHEMA.names if name != "row"]  # which says in which file it stood
    assert read(tmp_path / "three").select(texts) == expected[0].select(texts)
    assert not (tmp_path / "three" / "staging").exists()


def test_another_seed_splits_otherwise(source: Path, tmp_path: Path) -> None:
    sets = []
    for seed in (1, 2):
        make(source, tmp_path / f"{seed}", seed)
        sets.append({*read(tmp_path / f"{seed}", training_set.VALIDATION)["source_id"].to_pylist()})
    assert sets[0] != sets[1]


def test_a_set_can_be_read_again_as_revisions(source: Path, tmp_path: Path) -> None:
    make(source, tmp_path / "set")
    rows = read(tmp_path / "set").to_pylist()
    form = detect(rows)
    assert form.name == "revisions"
    reader = Reader(form, LOCALES)
    for number, one in enumerate(rows):
        found = reader.revision(Record(f"set:{number}", "set", None, None, one))
        assert isinstance(found, Revision)
        assert {f"raw_{side}": getattr(found.pair, side) for side in SIDES} == {
            f"raw_{side}": one[f"raw_{side}"] for side in SIDES
        }
        assert {side: getattr(found, side) for side in SIDES} == {side: one[side] for side in SIDES}
        assert (found.pair.source_id, found.pair.language) == (one["source_id"], one["language"])
        assert list(found.kinds) == one["kinds"] == ["content"]
    again = make((str(tmp_path / "set" / "train.parquet"),), tmp_path / "again", share=1, validation=0)
    assert again["rows"]["train.parquet"] == len(rows)


def test_copies_and_unchanged_examples_have_names_of_their_own(tmp_path: Path) -> None:
    source = write(tmp_path / "revisions", ("de",), 60)
    (source / "fr.jsonl").write_text("\n".join(json.dumps(row("fr", number)) for number in range(6)))
    make(source, tmp_path / "set", share=1, temperature=50, unchanged_share=0.5)
    rows = {one["row"]: one for one in read(tmp_path / "set").to_pylist()}
    assert len(rows) == read(tmp_path / "set").num_rows
    assert any("#2" in name for name in rows)
    unchanged = [name for name in rows if name.endswith("#unchanged")]
    assert unchanged
    for name in unchanged:
        plain = rows[name.removesuffix("#unchanged")]
        for side in SIDES:
            assert rows[name][f"raw_{side}"] == rows[name][side] == plain[side]
        assert (rows[name]["distance"], rows[name]["kinds"]) == (0, [])
        assert plain["distance"] > 0
    for name in rows:
        first = rows[name.partition("#")[0]]
        assert rows[name]["response"] == first["response"]


def test_what_is_left_out_is_in_the_table(tmp_path: Path, listen: Callable[[object], list[str]]) -> None:
    heard = listen(training_set)
    folder = write(tmp_path / "revisions", ("de", "fr"), 10)
    same = row("fr", 50, instruction="fr 50", input="", response="a")
    bad = {**row("fr", 51), "raw_response": ""}
    alone = {key: one for key, one in row("fr", 52).items() if key != "source_id"}
    lines = [json.dumps(one) for one in (same, bad, bad, row("fr", 3), alone)]
    (folder / "fr.2.jsonl").write_text("\n".join(lines))
    record = make(folder, tmp_path / "set", share=1)
    (german, french, total) = record["languages"]
    assert (german["language"], german["rows"], german["identical"], german["unusable"]) == ("de", 10, 0, {})
    assert (french["rows"], french["identical"], french["repeated"], french["selected"]) == (15, 1, 1, 11)
    assert french["unusable"] == total["unusable"] == {"empty_response": 2}
    for entry in record["languages"]:
        assert entry["train"] + entry["validation"] == entry["selected"]
        assert (
            sum((*entry["unusable"].values(), entry["identical"], entry["repeated"], entry["selected"]))
            == entry["rows"]
        )
    assert heard[0].startswith("2 rows are no usable revisions: 2 empty_response (first ")
    assert heard[0].endswith("fr.2.jsonl:2).")
    assert heard[1].startswith("1 of 23 revisions have no source_id")


def test_the_table_is_aligned_and_has_a_line_for_all(source: Path, tmp_path: Path) -> None:
    lines = selection_table.table(make(source, tmp_path / "set")).splitlines()
    assert [line.split()[0] for line in lines] == ["language", "de", "fr", "ja", "all"]
    assert len({len(line) for line in lines}) == 1
    assert lines[-1].split()[1:5] == ["120", "0", "0", "0"]


def test_a_set_that_was_not_finished_is_none(source: Path, tmp_path: Path) -> None:
    make(source, tmp_path / "set")
    assert training_set.is_set(str(tmp_path / "set"))
    (tmp_path / "set" / "selection.json").unlink()
    assert not training_set.is_set(str(tmp_path / "set"))
    with pytest.raises(UserError, match="is no training set; expected a folder that `midb-ray revisions` has written"):
        training_set.load(str(tmp_path / "set"))
    for other in (source, source / "de.jsonl", tmp_path / "nowhere", ""):
        assert not training_set.is_set(str(other))


def test_a_set_whose_files_are_others_is_refused(source: Path, tmp_path: Path) -> None:
    place = tmp_path / "set"
    make(source, place)
    (place / "train.parquet").write_bytes((place / "validation.parquet").read_bytes())
    with pytest.raises(UserError, match=r"train\.parquet is not the file that selection\.json beside it speaks of"):
        training_set.load(str(place))
    (place / "train.parquet").write_bytes(b"PAR1 and no more")
    with pytest.raises(UserError, match=r"Cannot read the training set's .*train\.parquet"):
        training_set.load(str(place))
    (place / "train.parquet").unlink()
    with pytest.raises(UserError, match=r"Cannot read the training set's .*train\.parquet"):
        training_set.load(str(place))


def test_a_failed_set_leaves_the_earlier_one_whole(source: Path, tmp_path: Path) -> None:
    make(source, tmp_path / "set")
    before = read(tmp_path / "set")
    with pytest.raises(UserError, match="Language 'de' has"):
        make(source, tmp_path / "set", minimum=1000)
    assert training_set.is_set(str(tmp_path / "set"))
    assert read(tmp_path / "set") == before


def test_a_place_that_cannot_be_written_is_one_sentence(source: Path) -> None:
    place = source / "de.jsonl" / "set"
    with pytest.raises(UserError, match=f"^Cannot write the training set {place}: "):
        make(source, place)


def test_a_finished_set_is_adopted_as_it_stands(source: Path, tmp_path: Path) -> None:
    record = make(source, tmp_path / "set")
    usual, same = SelectionSettings(), SelectionSettings(share=0.5)
    for number, selection in enumerate((usual, same)):
        found = training_set.adopt(str(tmp_path / "set"), selection, str(tmp_path / f"run{number}"))
        assert found == json.loads(json.dumps(record))
        assert read(tmp_path / f"run{number}") == read(tmp_path / "set")
        assert training_set.load(str(tmp_path / f"run{number}")) == found
    with pytest.raises(UserError, match=r"^selection\.share is 0\.7, but .*set is a finished .* made with 0\.5; leave"):
        training_set.adopt(str(tmp_path / "set"), SelectionSettings(share=0.7), str(tmp_path / "run"))
    assert not (tmp_path / "run").exists()


def test_a_set_among_the_revisions_is_refused(source: Path, tmp_path: Path) -> None:
    make(source, source / "earlier")
    with pytest.raises(UserError, match=r"earlier is a training set already; train with it alone"):
        make(source, tmp_path / "set")
    assert make(source, source / "earlier")["rows"]  # its own folder is no input


def test_a_set_can_lie_on_an_object_store(s3: str, source: Path) -> None:
    storage.write_bytes(f"{s3}/in/de.jsonl.gz", gzip.compress((source / "de.jsonl").read_bytes()))
    record = make((f"{s3}/in",), f"{s3}/set")
    assert read(f"{s3}/set").num_rows == record["rows"]["train.parquet"] == 16
    assert training_set.is_set(f"{s3}/set")
    assert [file.uri for file in storage.list_files(f"{s3}/set", recursive=True)] == [
        f"{s3}/set/{name}" for name in ("selection.json", "train.parquet", "validation.parquet")
    ]


def test_a_very_long_text_is_selected_and_counted_as_far(tmp_path: Path) -> None:
    folder = write(tmp_path / "revisions", ("de",), 3)
    (folder / "de.2.jsonl").write_text(json.dumps(row("de", 9, response="b" * LONGEST)))
    make(folder, tmp_path / "set", share=0.25, validation=0)
    assert read(tmp_path / "set")["distance"].to_pylist() == [10_000]
