"""The boost job from end to end on real input, with the echo engine."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zstandard

from midb_ray import cli
from midb_ray.corpora import summary
from midb_ray.pairs import BOOSTED_SCHEMA, DEAD_LETTER_SCHEMA

pytestmark = pytest.mark.usefixtures("ray_cluster")

GOOD = '{"instruction": "Nenne drei Farben.", "output": "Rot, Blau und Gelb sind drei Farben.", "language": "de"}'


def boost(output: Path, *arguments: object, engine: str = "echo") -> int:
    return cli.boost(["--output", str(output), "--engine.kind", engine, *map(str, arguments)])


def test_every_row_comes_out_once_with_its_own_id_and_the_rest_untouched(tmp_path, make_corpus, books) -> None:
    corpus = make_corpus(100)
    assert boost(tmp_path / "run", "--input", corpus, "--shard-rows", 7) == 0
    run = books(tmp_path / "run")
    assert run.rows == sorted(f"{corpus}:{line}" for line in range(1, 101))
    assert run.pairs.schema.equals(BOOSTED_SCHEMA)
    assert run.dead_letters.schema.equals(DEAD_LETTER_SCHEMA)
    row = run.by_id()["id-42"]
    assert row["row"] == f"{corpus}:43"
    assert json.loads(row["extra"]) == {"topic": "Regeln"}
    assert row["raw_response"].startswith("Die Regel 42 besagt,  dass")
    assert row["decision"] in ("boosted", "unchanged")
    assert run.summary["complete"]
    assert run.summary["rows_in"] == 100 == sum(run.summary["decisions"]["de"].values())


def test_running_again_does_nothing(tmp_path, make_corpus, capsys) -> None:
    corpus = make_corpus(20)
    assert boost(tmp_path / "run", "--input", corpus, "--shard-rows", 5) == 0
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "run" / "pairs").iterdir()}
    assert boost(tmp_path / "run", "--input", corpus, "--shard-rows", 5) == 0
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "run" / "pairs").iterdir()} == before


def test_other_settings_are_refused_with_the_difference_and_accepted_knowingly(tmp_path, make_corpus, capsys) -> None:
    corpus = make_corpus(20)
    assert boost(tmp_path / "run", "--input", corpus) == 0
    assert boost(tmp_path / "run", "--input", corpus, "--template", "plain") == 2
    told = capsys.readouterr().err
    assert 'template was "locale", is now "plain"' in told
    assert "--accept template" in told
    assert boost(tmp_path / "run", "--input", corpus, "--template", "plain", "--accept", "template") == 0
    assert boost(tmp_path / "run", "--input", corpus, "--template", "plain", "--fresh") == 0


def test_appended_files_extend_a_run_and_changed_files_are_refused(tmp_path, make_corpus, books, capsys) -> None:
    folder = tmp_path / "input"
    folder.mkdir()
    make_corpus(10).rename(folder / "a.jsonl")
    assert boost(tmp_path / "run", "--input", folder) == 0
    make_corpus(15, first=100).rename(folder / "b.jsonl")
    assert boost(tmp_path / "run", "--input", folder) == 0
    assert len(set(books(tmp_path / "run").rows)) == 25
    with (folder / "a.jsonl").open("a") as file:
        file.write(GOOD + "\n")
    assert boost(tmp_path / "run", "--input", folder) == 2
    assert "a.jsonl' has changed" in capsys.readouterr().err


def test_dirty_rows_become_dead_letters_with_place_and_reason(tmp_path, books) -> None:
    corpus = tmp_path / "dirty.jsonl"
    lines = [
        b"\xef\xbb\xbf" + GOOD.encode(),
        b"",
        b'{"instruction": "x", "output": ',
        GOOD.encode() + b"\r",
        b'{"instruction": "gr\xfc\xdfe", "output": "y", "language": "de"}',
        b"[1, 2]",
        b'{"instruction": "Wie?", "language": "de"}',
        b'{"instruction": "Wer?", "output": "Niemand.", "language": "Klingon"}',
        b'{"instruction": "Text \\u0000 \\ud800", "output": "Das ist ein ganzer deutscher Satz.", "language": "de"}',
    ]
    corpus.write_bytes(b"\n".join(lines) + b"\n" + GOOD.encode()[:-5])
    assert boost(tmp_path / "run", "--input", corpus) == 1  # more dead letters than the error budget allows
    run = books(tmp_path / "run")
    assert run.pairs.num_rows == 3
    dead = {row["line"]: row for row in run.dead_letters.to_pylist()}
    assert sorted(dead) == [3, 5, 6, 7, 8, 10]
    assert dead[3]["raw"] == lines[2]
    assert dead[5]["reason"] == "invalid_encoding"
    assert dead[5]["offset"] == sum(len(line) + 1 for line in lines[:4])
    assert all(row["file"] == str(corpus) and row["detail"] for row in dead.values())
    (repaired,) = [row for row in run.pairs.to_pylist() if row["repairs"]]
    assert "\x00" not in repaired["raw_instruction"]
    assert run.summary["complete"]
    assert not run.summary["within_error_budget"]
    assert boost(tmp_path / "run", "--input", corpus, "--max-dead-letters", "0.9") == 0


def test_arrays_compressed_files_and_parquet_are_read_alike(tmp_path, books) -> None:
    rows = [
        {"instruction": f"Zähle bis {n}.", "output": f"Ich zähle jetzt bis {n}.", "language": "de"}
        for n in range(10, 40)
    ]
    text = "\n".join(json.dumps(row) for row in rows).encode()
    folder = tmp_path / "input"
    folder.mkdir()
    (folder / "array.json").write_text(json.dumps(rows, indent=1))
    (folder / "lines.jsonl.gz").write_bytes(gzip.compress(text))
    (folder / "lines.jsonl.zst").write_bytes(zstandard.compress(text))
    (folder / "cut.jsonl.gz").write_bytes(gzip.compress(text)[:-40])
    pq.write_table(pa.Table.from_pylist(rows), folder / "table.parquet")
    assert boost(tmp_path / "run", "--input", folder, "--shard-rows", 8, "--max-dead-letters", 1) == 0
    run = books(tmp_path / "run")
    counts: dict[str, int] = {}
    for row in run.pairs.to_pylist():
        counts[row["row"].split("/")[-1].split(":")[0]] = counts.get(row["row"].split("/")[-1].split(":")[0], 0) + 1
    assert {name: counts[name] for name in ("array.json", "lines.jsonl.gz", "lines.jsonl.zst", "table.parquet")} == {
        "array.json": 30,
        "lines.jsonl.gz": 30,
        "lines.jsonl.zst": 30,
        "table.parquet": 30,
    }
    assert "truncated_file" in run.dead_letters.column("reason").to_pylist()
    assert run.summary["complete"]


def test_an_empty_input_gives_an_empty_output_with_schema(tmp_path, capsys, caplog) -> None:
    (tmp_path / "empty.jsonl").write_bytes(b"\n\n")
    assert boost(tmp_path / "run", "--input", tmp_path / "empty.jsonl") == 0
    assert json.loads((tmp_path / "run" / "summary.json").read_text())["rows"] == 0
    (part,) = (tmp_path / "run" / "pairs").iterdir()
    assert pq.read_table(part).schema.equals(BOOSTED_SCHEMA)


def test_limit_takes_the_first_pairs_of_each_language_and_sample_an_even_share(tmp_path, make_corpus, books) -> None:
    folder = tmp_path / "input"
    folder.mkdir()
    make_corpus(300).rename(folder / "de.jsonl")
    (folder / "fr.jsonl").write_text(
        "".join(
            json.dumps({"instruction": f"Question {n} ?", "output": f"Voici la réponse numéro {n}."}) + "\n"
            for n in range(9)
        )
    )
    assert boost(tmp_path / "pilot", "--input", folder, "--limit", 20) == 0
    languages = books(tmp_path / "pilot").pairs.column("language").to_pylist()
    assert (languages.count("de"), languages.count("fr")) == (20, 9)
    assert boost(tmp_path / "sample", "--input", folder / "de.jsonl", "--sample", 0.2) == 0
    assert 30 <= books(tmp_path / "sample").pairs.num_rows <= 95


def test_a_row_that_the_engine_refuses_keeps_the_original(tmp_path, make_corpus, books) -> None:
    corpus = make_corpus(40)
    assert boost(tmp_path / "run", "--input", corpus, "--engine.echo-fail-on", "Nummer 13 ") == 0
    run = books(tmp_path / "run")
    row = run.by_id()["id-13"]
    assert (row["decision"], row["reasons"]) == ("kept_original", ["engine_error"])
    assert row["response"] == row["raw_response"]
    assert run.summary["reasons"]["de"]["engine_error"] == 1


def test_a_row_that_kills_the_engine_is_found_and_its_neighbours_are_boosted(tmp_path, make_corpus, books) -> None:
    corpus = make_corpus(40)
    assert boost(tmp_path / "run", "--input", corpus, "--shard-rows", 20, "--engine.echo-crash-on", "Nummer 13 ") == 0
    run = books(tmp_path / "run")
    crashed = [row["id"] for row in run.pairs.to_pylist() if row["reasons"] == ["engine_crash"]]
    assert crashed == ["id-13"]
    assert len(set(run.rows)) == 40
    assert run.left_over == []


def test_a_dry_run_prints_the_plan_and_writes_nothing(tmp_path, make_corpus, listen) -> None:
    heard = listen(summary)
    assert boost(tmp_path / "run", "--input", make_corpus(50), "--shard-rows", 8, "--dry-run") == 0
    assert "1 file(s), 7 shards, 50 rows" in heard[0]
    assert not (tmp_path / "run").exists()
