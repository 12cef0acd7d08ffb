"""The export job from end to end on a real cluster: what is written is read again as the same pairs, and all are accounted for."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
import yaml

from midb_ray import cli
from midb_ray.curation import export_pipeline as pipeline
from midb_ray.errors import ExitCode
from midb_ray.formats.reading import Reader
from midb_ray.formats.records import Record
from midb_ray.formats.registry import detect
from midb_ray.locales import load_locales
from midb_ray.pairs import Pair
from tests.conftest import Told
from tests.curation.export_runs import boosted_row, finished, scored_row, turns_of

pytestmark = pytest.mark.usefixtures("ray_cluster")

ROWS = [boosted_row(number) for number in range(40)]


def export(run: Path, output: Path, *arguments: object) -> int:
    return cli.export(["--input", str(run), "--output", str(output), *map(str, arguments)])


def told(output: Path) -> dict[str, Any]:
    return dict(json.loads((output / "export.json").read_text()))


def read_back(output: Path) -> list[Pair]:
    """The pairs in the files that the card names, read as any input is: format by content, language by the row."""
    front = yaml.safe_load((output / "README.md").read_text().split("---\n")[1])
    (pattern,) = [one["data_files"][0]["path"] for one in front["configs"] if one["config_name"] == "default"]
    pairs: list[Pair] = []
    for path in sorted(output.glob(pattern)):
        rows: list[Any] = path.read_bytes().splitlines() if path.suffix == ".jsonl" else pq.read_table(path).to_pylist()
        reader = Reader(detect(rows[:5]), load_locales())
        for line, row in enumerate(rows, 1):
            found = reader.pairs(Record(f"{path}:{line}", str(path), line, 0, row))
            assert isinstance(found, list), found
            pairs += found
        assert {pair.language for pair in pairs} >= {path.parent.name}
    return pairs


@pytest.mark.parametrize("files", ["jsonl", "parquet"])
@pytest.mark.parametrize("form", ["alpaca", "messages", "sharegpt", "preference"])
def test_every_form_is_read_again_as_the_same_pairs(tmp_path: Path, form: str, files: str) -> None:
    run, output = finished(tmp_path / "run", ROWS), tmp_path / "out"
    assert export(run, output, "--form", form, "--files", files, "--file-rows", 6) == 0
    wanted = []
    for row in ROWS:
        if form == "preference" and (row["decision"] != "boosted" or row["response"] == row["raw_response"]):
            continue
        texts = [row["instruction"], row["input"], row["response"]]
        if form != "alpaca" and row["input"]:
            texts = [f"{row['instruction']}\n\n{row['input']}", "", row["response"]]
        elif form != "alpaca":
            texts[1] = ""
        wanted.append((row["id"], row["language"], *texts))
    found = [(pair.id, pair.language, pair.instruction, pair.input, pair.response) for pair in read_back(output)]
    assert Counter(found) == Counter(wanted)
    books = told(output)
    assert (books["complete"], books["pairs"], books["written"], books["rows"]) == (True, 40, len(wanted), len(wanted))
    assert sum(books["left_out"].values()) == 40 - len(wanted)
    assert sum(file["rows"] for file in books["files"]) == len(wanted)
    assert max(file["rows"] for file in books["files"]) <= 6
    assert sorted(path.name for path in output.iterdir()) == ["README.md", "de", "export.json", "fr", "ja"]


def test_a_selection_is_exported_with_its_scores_and_the_languages_of_its_run(tmp_path: Path) -> None:
    danish = {"da": {"region": "DK", "scripts": ["Latin"], "quotes": "»«", "units": "metric"}}
    rows = [scored_row(number, language="da") for number in range(10)]
    run = finished(tmp_path / "run", rows, "select", locales={**load_locales().fingerprint(), **danish})
    assert export(run, tmp_path / "out") == 0
    assert told(tmp_path / "out")["languages"]["da"]["means"]["overall"] == 54.5
    assert "| Danish | `da` | 10 | 0 | 54.5 | 54.5 | 54.5 | 54.5 |" in (tmp_path / "out" / "README.md").read_text()


def test_a_finished_export_is_left_alone_another_one_refused(tmp_path: Path, listen: Any, capsys: Any) -> None:
    run, output = finished(tmp_path / "run", ROWS), tmp_path / "out"
    assert export(run, output) == 0
    before = {path: path.stat().st_mtime_ns for path in output.rglob("*")}
    heard: Told = listen(pipeline)
    assert export(run, output) == 0
    assert heard == [f"{run} is exported to {output} already; --fresh does it again."]
    assert {path: path.stat().st_mtime_ns for path in output.rglob("*")} == before
    assert export(run, output, "--form", "alpaca") == ExitCode.USER_ERROR
    assert "start over with --fresh, or give another --output" in capsys.readouterr().err
    assert export(run, output, "--form", "alpaca", "--fresh") == 0
    assert {path.name for path in (output / "fr").iterdir()} == {"train-00000-of-00001.jsonl"}
    assert "output" in json.loads((output / "fr" / "train-00000-of-00001.jsonl").read_text().splitlines()[0])


def test_an_export_that_broke_off_goes_on_with_the_same_command(tmp_path: Path, monkeypatch: Any, capsys: Any) -> None:
    run, output = finished(tmp_path / "run", ROWS), tmp_path / "out"
    monkeypatch.setattr(pipeline, "files", lambda *_: 1 / 0)
    assert export(run, output) == ExitCode.FAILED
    monkeypatch.undo()
    assert (told(output)["complete"], (output / "nonce").exists()) == (False, True)
    marks = {path: path.stat().st_mtime_ns for path in (output / "pieces").rglob("*.json*")}
    assert marks
    assert export(run, output, "--dry-run") == 0
    assert {path: path.stat().st_mtime_ns for path in marks} == marks
    assert export(run, output) == 0
    assert (told(output)["complete"], len(read_back(output)), (output / "pieces").exists()) == (True, 40, False)


def test_books_that_do_not_balance_end_with_1(tmp_path: Path, listen: Any) -> None:
    run, output = finished(tmp_path / "run", ROWS), tmp_path / "out"
    summary = json.loads((run / "summary.json").read_text())
    (run / "summary.json").write_text(json.dumps({**summary, "rows_out": 41}))
    heard: Told = listen(pipeline)
    assert export(run, output) == ExitCode.ROWS_LOST
    assert heard[-1] == "The books do not balance: The run has 41 pairs by its summary, and 40 were read."
    assert told(output)["complete"] is False


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (["--files", "parquet", "--extra", "keys"], "extra: rows with keys of their own fit no Parquet file"),
        (["--same-prompt"], "same_prompt: only preferences have a raw answer"),
        (["--file-rows", "0"], "file_rows"),
    ],
)
def test_settings_that_cannot_be_meant_are_refused(tmp_path: Path, capsys: Any, given: list[str], said: str) -> None:
    assert export(tmp_path, tmp_path / "out", *given) == ExitCode.USER_ERROR
    assert said in capsys.readouterr().err


def test_what_is_no_finished_run_is_refused(tmp_path: Path, capsys: Any) -> None:
    run = finished(tmp_path / "run", ROWS)
    assert export(run, run / "out") == ExitCode.USER_ERROR
    assert "are not apart" in capsys.readouterr().err
    (run / "summary.json").unlink()
    assert export(run, tmp_path / "out") == ExitCode.USER_ERROR
    assert "is not complete; run it to its end" in capsys.readouterr().err
    assert export(tmp_path / "none", tmp_path / "out") == ExitCode.USER_ERROR
    assert "is no run folder of a boost or score or select job; export needs one" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_a_run_without_pairs_becomes_a_card_alone(tmp_path: Path, listen: Any) -> None:
    heard: Told = listen(pipeline)
    assert export(finished(tmp_path / "run", []), tmp_path / "out", "--files", "parquet") == 0
    assert heard[-1] == "No row was written: the run has no pairs."
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["README.md", "export.json"]


def test_conversations_are_read_again_turn_by_turn(tmp_path: Path) -> None:
    rows = [*ROWS[:3], *turns_of(1, ["un", "deux", "trois"]), *turns_of(2, ["quatre"])]
    run = finished(tmp_path / "run", rows)
    for form in ("messages", "sharegpt"):
        assert export(run, tmp_path / form, "--form", form) == 0
        assert (told(tmp_path / form)["pairs"], told(tmp_path / form)["rows"]) == (7, 5)
        found = {(pair.turn, pair.instruction, pair.response) for pair in read_back(tmp_path / form) if pair.turn}
        assert found == {(turn, f"Question {turn} ?", text) for turn, text in enumerate(["un", "deux", "trois"], 1)}
    assert export(run, tmp_path / "alpaca", "--form", "alpaca") == 0
    assert told(tmp_path / "alpaca")["left_out"] == {"later_turn": 2}
