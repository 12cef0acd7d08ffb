"""The train job from end to end: DeepSpeed on Ray Train workers, a booster that the boost job can use, and its card."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pyarrow.dataset as ds
import pytest

from midb_ray import cli, config
from midb_ray.boosting import card_record
from midb_ray.locales import load_locales
from midb_ray.runs import folder
from midb_ray.training import identity, training_set
from midb_ray.training.selection_settings import SelectionSettings
from midb_ray.training.settings import TrainSettings

from .making import SMALL, write_revisions, write_start_model

Capture = pytest.CaptureFixture[str]


@pytest.mark.usefixtures("ray_cluster")
def test_a_booster_is_trained_with_zero_3_on_two_workers_and_boosts(tmp_path: Path, capfd: Capture, listen) -> None:
    revisions, output = write_revisions(tmp_path / "revisions.jsonl", 16), tmp_path / "run"
    job = ["--revisions", str(revisions), "--output", str(output), *SMALL, "--epochs", "15", "--batch-size", "4"]
    job += ["--workers", "2", "--zero.stage", "3", "--selection.validation", "0.2", "--tensorboard"]
    assert cli.train(job) == 0
    summary = json.loads((output / "summary.json").read_text())
    assert (summary["train_examples"], summary["validation_examples"], summary["steps"]) == (13, 3, 49)
    assert summary["loss"] < 1.0
    assert summary["validation"]["de"] < 4.0
    assert 0 <= summary["difference"] < 1e-3
    lines = [json.loads(line) for line in (output / "metrics.jsonl").read_text().splitlines()]
    losses = [line["loss"] for line in lines if "loss" in line]
    assert losses[-1] < losses[0] / 2
    assert [line["step"] for line in lines if "loss" in line] == [10, 20, 30, 40, 49]
    assert [line["validation"].keys() for line in lines if "validation" in line] == [{"de"}]
    assert list((output / "tensorboard").glob("events.*"))
    booster = output / "booster"
    text = (booster / "README.md").read_text()
    assert "13 training and 3 validation examples in 1 languages" in text
    assert f"| de | {summary['validation']['de']:.4f} |" in text
    card = card_record.read(str(booster))
    assert card is not None
    assert card.all.rows == 3

    corpus = tmp_path / "corpus.jsonl"
    row = {"instruction": "Frage 3?", "output": "Die Antwort ist das gut.", "language": "de"}
    corpus.write_text(json.dumps(row) + "\n")
    engine = ["--engine.kind", "transformers", "--engine.model", str(booster), "--engine.dtype", "float32"]
    told = listen(card_record)
    assert cli.boost(["--input", str(corpus), "--output", str(tmp_path / "boosted"), *engine]) == 0
    assert told[0].startswith("Booster card (3 validation rows")
    (row,) = ds.dataset(tmp_path / "boosted" / "pairs").to_table().to_pylist()
    assert row["prompt_tokens"] > 10
    assert row["decision"] in ("boosted", "kept_original", "unchanged")

    before = (booster / "model.safetensors").stat().st_mtime_ns
    assert cli.train([*job, "--zero.stage", "1", "--log-steps", "3", "--checkpoint.keep", "3"]) == 0
    assert (booster / "model.safetensors").stat().st_mtime_ns == before
    assert cli.train([*job, "--epochs", "2"]) == 2
    assert "epochs was 15.0, is now 2.0" in capfd.readouterr().err


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ("", "No revisions are left: of 0 rows read"),
        ('{"instruction": "a", "output": "b", "language": "de"}\n', "revised"),
        ('{"colour": "red"}\n', "colour"),
    ],
)
def test_files_without_revisions_are_refused_in_one_sentence(
    tmp_path: Path, capsys: Capture, content: str, told: str
) -> None:
    (tmp_path / "rows.jsonl").write_text(content)
    given = ["--revisions", str(tmp_path / "rows.jsonl"), "--output", str(tmp_path / "run"), *SMALL, "--dry-run"]
    assert cli.train(given) == 2
    (error,) = capsys.readouterr().err.splitlines()[-1:]
    assert told in error
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--zero.stage", "4"], "zero.stage"),
        (["--model", "/absent/model"], "/absent/model"),
        (["--max-tokens", "20"], "longer than max_tokens (20), the longest has"),
        (["--max-tokens", "4096"], "the model knows only 2048 positions"),
        (["--scratch.heads", "5"], "no multiple"),
        (["--selection.share", "0"], "selection.share"),
        (["--selection.share", "1.5"], "selection.share"),
        (["--selection.minimum", "9"], "selection.minimum"),
        (["--overlong", "refuse", "--max-tokens", "150"], "raise that, or set overlong to drop or cut"),
        (["--workers", "3", "2"], "the fewest and the most"),
        (["--dtype", "bfloat16", "--zero.stage", "0"], "use stage 1"),
        (["--micro-tokens", "100"], "cannot hold an example of max_tokens"),
        (["--zero.offload-parameters", "--zero.stage", "2"], "needs stage 3"),
        (["--accept", "max_tokens"], "--accept max_tokens: max_tokens made the examples of the run"),
        (["--accept", "selection.share"], "start over with --fresh"),
        (["--gpus-per-worker", "2"], "gpus_per_worker"),
    ],
)
def test_impossible_settings_are_refused_before_anything_starts(
    tmp_path: Path, capsys: Capture, arguments: list[str], told: str
) -> None:
    revisions = write_revisions(tmp_path / "revisions.jsonl")
    given = ["--revisions", str(revisions), "--output", str(tmp_path / "run"), *SMALL, *arguments, "--dry-run"]
    assert cli.train(given) == 2
    assert told in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


def test_an_output_may_lie_below_its_revisions(tmp_path: Path) -> None:
    write_revisions(tmp_path / "revisions.jsonl")
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "driver.json").write_text("{}")
    given = ["--revisions", str(tmp_path), "--output", str(tmp_path / "run"), *SMALL, "--dry-run"]
    assert cli.train(given) == 0


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ('{"zero_optimization": {"overlap_com": true}}', "zero_optimization.overlap_com: "),
        ('{"zero_optimization": {"stage": 2}}', "take it out there and set zero.stage"),
        ('{"train_batch_size": 4}', "sets train_batch_size"),
        ("{", "is no JSON"),
        ("[]", "holds list"),
    ],
)
def test_deepspeed_settings_that_cannot_be_used_are_refused(
    tmp_path: Path, capsys: Capture, content: str, told: str
) -> None:
    revisions = write_revisions(tmp_path / "revisions.jsonl")
    (tmp_path / "ds.json").write_text(content)
    given = ["--revisions", str(revisions), "--output", str(tmp_path / "run"), *SMALL, "--dry-run"]
    assert cli.train([*given, "--zero.config", str(tmp_path / "ds.json")]) == 2
    (line,) = capsys.readouterr().err.splitlines()[-1:]
    assert told in line
    assert str(tmp_path / "ds.json") in line


def test_a_dry_run_tells_all_and_writes_nothing(tmp_path: Path, capsys: Capture) -> None:
    revisions = write_revisions(tmp_path / "revisions.jsonl")
    given = ["--revisions", str(revisions), "--output", str(tmp_path / "run"), *SMALL, "--selection.validation", "0"]
    assert cli.train([*given, "--dry-run", "--epochs", "2", "--batch-size", "3"]) == 0
    told = capsys.readouterr().out
    assert not (tmp_path / "run").exists()
    assert "max_tokens" in told
    assert "command line" in told


@pytest.mark.usefixtures("ray_cluster")
def test_more_workers_than_the_cluster_can_ever_hold_are_refused(tmp_path: Path, capsys: Capture) -> None:
    revisions = write_revisions(tmp_path / "revisions.jsonl")
    given = ["--revisions", str(revisions), "--output", str(tmp_path / "run"), *SMALL, "--workers", "64"]
    assert cli.train(given) == 2
    assert "workers is 64, each with 1 CPU, but the cluster can hold 4 of them" in capsys.readouterr().err


@pytest.mark.slow
@pytest.mark.usefixtures("ray_cluster")
def test_a_loss_that_is_no_number_stops_at_once_and_keeps_the_checkpoints_before_it(
    tmp_path: Path, capsys: Capture
) -> None:
    revisions, output = write_revisions(tmp_path / "revisions.jsonl", 16), tmp_path / "run"
    revisions.write_text(revisions.read_text().replace("Antwort 7", "Ω"))
    start = write_start_model(tmp_path / "start", revisions.read_text(), without_numbers="Ω")
    given = ["--revisions", str(revisions), "--output", str(output), *SMALL, "--checkpoint.steps", "1"]
    given += ["--model", str(start), "--batch-size", "4", "--epochs", "2", "--selection.validation", "0"]
    assert cli.train(given) == 2
    (line,) = capsys.readouterr().err.splitlines()[-1:]
    assert line.startswith("Error: The loss is nan at step ")
    assert "the checkpoints before it are whole" in line
    assert list((output / "checkpoints").glob("checkpoint_*/state-*.safetensors"))
    assert not (output / "booster").exists()


def test_an_older_training_set_is_told_with_the_settings_that_made_it(tmp_path: Path, capsys: Capture) -> None:
    revisions = write_revisions(tmp_path / "revisions.jsonl")
    chosen = SelectionSettings(share=0.5, validation=0.25)
    training_set.make((str(revisions),), chosen, 4, load_locales(), str(tmp_path / "set"), map)
    given = ["--revisions", str(tmp_path / "set"), "--output", str(tmp_path / "run"), *SMALL[:-2], "--dry-run"]
    assert cli.train(given) == 0
    rows = [line.split() for line in capsys.readouterr().out.splitlines() if line.startswith("  selection.")]
    found = {key: (value, " ".join(origin)) for key, value, *origin in rows}
    assert found["selection.share"] == ("0.5", "the training set")
    assert found["selection.temperature"] == ("1", "default")


def test_a_training_set_that_was_only_prepared_binds_nobody(tmp_path: Path, capsys: Capture) -> None:
    """Its examples were refused: what the sentence advises can be done, without --accept and --fresh."""
    revisions, output = write_revisions(tmp_path / "revisions.jsonl"), tmp_path / "run"
    given = ["--revisions", str(revisions), "--output", str(output), *SMALL, "--max-tokens", "150"]
    settings, _ = config.load(TrainSettings, "midb-ray train", [*given, "--overlong", "refuse"])
    wanted = identity.fingerprint(settings, load_locales())
    folder.open_run(str(output), "train", wanted, {})
    training_set.make((str(revisions),), settings.selection, 0, load_locales(), str(output / "revisions"), map)
    assert cli.train([*given, "--max-tokens", "1024", "--overlong", "drop", "--dry-run"]) == 0
    for bound in ("examples/facts.json", "checkpoints/checkpoint_1/position.json", "booster/config.json"):
        (output / bound).parent.mkdir(parents=True)
        (output / bound).write_text("{}")
        assert cli.train([*given, "--overlong", "drop", "--dry-run"]) == 2
        shutil.rmtree(output / bound.partition("/")[0])
    (line,) = capsys.readouterr().err.splitlines()[-1:]
    assert 'overlong was "refuse", is now "drop"; start over with --fresh' in line
