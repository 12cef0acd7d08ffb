"""The train job from end to end: DeepSpeed on two Ray Train workers, and a booster that the boost job can use."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow.dataset as ds
import pytest
import yaml

from midb_ray import cli, config
from midb_ray.training.settings import TrainSettings

ROOT = Path(__file__).resolve().parents[2]
SMALL = [
    *("--fresh.vocabulary", "600", "--fresh.hidden-size", "32", "--fresh.layers", "1", "--fresh.heads", "2"),
    *("--epochs", "30", "--batch-size", "4", "--learning-rate", "0.02", "--dtype", "float32", "--workers", "2"),
    *("--gpus-per-worker", "0", "--zero-stage", "3", "--max-tokens", "1024"),
]


def write_revisions(path: Path) -> Path:
    rows = [
        {
            "source_id": f"s{number}",
            "language": "de",
            "raw_instruction": f"Frage {number}?",
            "raw_input": "",
            "raw_response": "Die Antwort ist das gut.",
            "instruction": f"Frage {number}?",
            "input": "",
            "response": "Die Antwort ist gut, denn sie stimmt.",
            "kinds": ["translation"],
        }
        for number in range(8)
    ]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


@pytest.mark.usefixtures("ray_cluster")
def test_a_booster_is_trained_with_zero_3_and_boosts(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    revisions, booster = write_revisions(tmp_path / "revisions.jsonl"), tmp_path / "booster"
    job = ["--revisions", str(revisions), "--output", str(booster), *SMALL]
    assert cli.train(job) == 0
    record = json.loads((booster / "train.json").read_text())
    assert record["loss"] < 1.0
    assert (record["examples"], record["steps"]) == (8, 60)
    assert "8 expert revisions" in (booster / "README.md").read_text()
    assert not [path for path in tmp_path.iterdir() if path.name.startswith(".booster")]

    corpus = tmp_path / "corpus.jsonl"
    corpus.write_text(
        json.dumps({"instruction": "Frage 3?", "output": "Die Antwort ist das gut.", "language": "de"}) + "\n"
    )
    engine = ["--engine.kind", "transformers", "--engine.model", str(booster), "--engine.dtype", "float32"]
    assert cli.boost(["--input", str(corpus), "--output", str(tmp_path / "run"), *engine]) == 0
    (row,) = ds.dataset(tmp_path / "run" / "pairs").to_table().to_pylist()
    assert row["prompt_tokens"] > 10
    assert row["answer_tokens"] > 1
    assert row["decision"] in ("boosted", "kept_original", "unchanged")

    before = (booster / "model.safetensors").stat().st_mtime_ns
    assert cli.train(job) == 0
    assert (booster / "model.safetensors").stat().st_mtime_ns == before
    assert cli.train([*job, "--epochs", "2"]) == 2
    assert "epochs was 30.0, is now 2.0" in capfd.readouterr().err


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ("", "No revisions"),
        ('{"instruction": "a", "output": "b", "language": "de"}\n', "without a revised side"),
        ('{"colour": "red"}\n', "colour"),
    ],
)
def test_files_without_revisions_are_refused_in_one_sentence(tmp_path: Path, capsys, content: str, told: str) -> None:
    (tmp_path / "rows.jsonl").write_text(content)
    assert cli.train(["--revisions", str(tmp_path / "rows.jsonl"), "--output", str(tmp_path / "booster"), *SMALL]) == 2
    error = capsys.readouterr().err
    assert told in error
    assert not (tmp_path / "booster").exists()


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--batch-size", "5"], "batch_size 5 is no multiple of the 2 workers"),
        (["--zero-stage", "4"], "zero_stage"),
        (["--model", "/absent/model"], "/absent/model"),
        (["--max-tokens", "20"], "longer than max_tokens"),
        (["--fresh.heads", "5"], "no multiple"),
    ],
)
def test_impossible_settings_are_refused_before_ray_starts(
    tmp_path: Path, capsys, arguments: list[str], told: str
) -> None:
    revisions = write_revisions(tmp_path / "revisions.jsonl")
    assert cli.train(["--revisions", str(revisions), "--output", str(tmp_path / "booster"), *SMALL, *arguments]) == 2
    assert told in capsys.readouterr().err
    assert not (tmp_path / "booster").exists()


@pytest.mark.parametrize("path", sorted((ROOT / "configs" / "train").glob("*.yaml")), ids=lambda path: path.name)
def test_shipped_settings_are_valid(path: Path) -> None:
    values = {**yaml.safe_load(path.read_text()), "revisions": ["a"], "output": "b"}
    config.validate(TrainSettings, values, str(path))
    assert [key for key, field in config.options(TrainSettings) if not field.description] == []
