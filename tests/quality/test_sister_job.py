"""The score job with sisters, from end to end with a real cluster."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import ray

from midb_ray import cli
from midb_ray.errors import ExitCode
from midb_ray.quality import pipeline
from tests.boosting.jobs import wait_until
from tests.quality.test_job import rows, summary

pytestmark = pytest.mark.usefixtures("ray_cluster")

TOWER = {
    "de": "Der Turm am Hafen ist 48 Meter hoch und wurde von der Stadt gebaut.",
    "es": "La torre del puerto mide 48 metros de altura y fue construida por la ciudad.",
    "fr": "La tour du port mesure 48 mètres de haut et a été construite par la ville.",
    "it": "La torre del porto è alta 48 metri ed è stata costruita dalla città.",
}
TASKS = {
    "de": "Wie hoch ist der alte Turm am Hafen der Stadt?",
    "es": "¿Qué altura tiene la vieja torre del puerto de la ciudad?",
    "fr": "Quelle est la hauteur de la vieille tour du port de la ville ?",
    "it": "Quanto è alta la vecchia torre del porto della città?",
    "en": "How high is the old tower by the harbour of the city?",
}
ENGLISH = "The tower by the harbour is 48 metres high and was built by the city."


def write(folder: Path, numbers: int) -> None:
    """A file for each language; in every fourth source the height is another in French, and every second has an English row."""
    for language in TASKS:
        with (folder / f"{language}.jsonl").open("w", encoding="utf-8") as file:
            for number in range(numbers):
                if language == "en" and number % 2:
                    continue
                response = {**TOWER, "en": ENGLISH}[language]
                if language == "fr" and number % 4 < 2:
                    response = response.replace("48", "84")
                row = {"id": f"{language}-{number}", "source_id": str(number), "language": language}
                text = json.dumps({**row, "instruction": TASKS[language], "output": response}, ensure_ascii=False)
                file.write(f"{text}\n")


def score(run: Path, corpus: Path, *more: str) -> int:
    return cli.score(["--input", str(corpus), "--output", str(run), "--shard-rows", "10", *more])


def check(run: Path, numbers: int) -> None:
    found = {row["id"]: row for row in rows(run)}
    assert len(found) == 4 * numbers + (numbers + 1) // 2
    for name, row in found.items():
        language, number = name.split("-")
        has_source = int(number) % 2 == 0
        assert row["has_source"] == (has_source and language != "en")
        assert row["sisters"] == (0 if language == "en" else 4 if has_source else 3)
        lost = [("lost_number", "48")] if language == "fr" and int(number) % 4 < 2 else []
        assert [(one["kind"], one["text"]) for one in row["findings"]] == lost
        assert (row["translation"] < 100) == bool(lost)


def test_translations_in_other_shards_show_what_one_of_them_has_lost(tmp_path: Path, listen, capsys) -> None:
    heard = listen(pipeline)
    (tmp_path / "corpus").mkdir()
    write(tmp_path / "corpus", 24)
    alone = tmp_path / "alone"
    assert score(alone, tmp_path / "corpus") == 0
    assert [(row["sisters"], row["has_source"], row["findings"]) for row in rows(alone)] == [(None, False, [])] * 108
    assert any("--sisters.on" in line for line in heard)
    heard.clear()
    run = tmp_path / "run"
    assert score(run, tmp_path / "corpus", "--sisters.on") == 0
    check(run, 24)
    books = summary(run)
    assert books["sisters"] == {"with_id": 108, "with_source": 48, "with_translations": 48, "left_out": 0}
    assert books["reasons"]["fr"] == {"lost_number": 12}
    assert [path.name for path in (run / "sisters").iterdir()] == ["ready.json"]
    assert score(run, tmp_path / "corpus", "--sisters.on") == 0
    assert summary(run)["sisters"] == books["sisters"]
    assert not heard
    assert score(run, tmp_path / "corpus") == ExitCode.USER_ERROR
    assert "sisters.on" in capsys.readouterr().err


def test_a_killed_job_goes_on_with_what_sisters_told_and_new_files_bring_new_ones(tmp_path: Path) -> None:
    (tmp_path / "corpus").mkdir()
    write(tmp_path / "corpus", 240)
    run = tmp_path / "run"
    command = [sys.executable, "-m", "midb_ray.cli", "score", "--input", str(tmp_path / "corpus")]
    command += ["--output", str(run), "--shard-rows", "10", "--sisters.on"]
    address = ray.get_runtime_context().gcs_address
    job = subprocess.Popen(command, env={**os.environ, "RAY_ADDRESS": address}, start_new_session=True)
    wait_until(lambda: len(list((run / "pairs").glob("part-*"))) >= 5, job)
    os.killpg(job.pid, signal.SIGKILL)
    job.wait()
    ready = (run / "sisters" / "ready.json").stat().st_mtime_ns
    told = (run / "sisters" / "parts" / "part-00000000.arrow").stat().st_mtime_ns
    assert told < ready
    assert score(run, tmp_path / "corpus", "--sisters.on") == 0
    check(run, 240)
    more = {
        "id": "pt-1",
        "source_id": "1",
        "language": "pt",
        "instruction": "Qual é a altura da velha torre do porto da cidade?",
    }
    more["output"] = "A torre do porto tem 84 metros de altura e foi construída pela cidade."
    (tmp_path / "corpus" / "pt.jsonl").write_text(json.dumps(more, ensure_ascii=False) + "\n", encoding="utf-8")
    assert score(run, tmp_path / "corpus", "--sisters.on") == 0
    (new,) = (row for row in rows(run) if row["language"] == "pt")
    assert (new["sisters"], [one["text"] for one in new["findings"]]) == (4, ["48"])
