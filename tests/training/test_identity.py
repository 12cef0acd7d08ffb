"""Where revisions and start models come from and where the run goes: what cannot be used is one sentence, and nothing
half-written stays behind."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from midb_ray import cli
from midb_ray.errors import UserError
from midb_ray.locales import load_locales
from midb_ray.training import identity, model
from midb_ray.training.settings import ScratchSettings, TrainSettings

from .making import SMALL, write_revisions

Capture = pytest.CaptureFixture[str]
SIZES = ScratchSettings(vocabulary=300, hidden_size=32, layers=1, heads=2, positions=128)


def refused(capsys: Capture, revisions: Path, output: str | Path, *more: str) -> str:
    """The one sentence of a train job that ends with exit code 2."""
    assert cli.train(["--revisions", str(revisions), "--output", str(output), *SMALL, *more]) == 2
    (line,) = capsys.readouterr().err.splitlines()[-1:]
    return line


def made_of(*revisions: str, **changes: object) -> dict[str, object]:
    """What a job's booster is made of."""
    settings = TrainSettings.model_validate({"revisions": revisions, "output": "o", **changes})
    return identity.fingerprint(settings, load_locales(settings.locales))


@pytest.mark.parametrize("output", ["hf://user/run", "ftp://host/run"])
def test_an_output_that_cannot_be_written_to_is_refused_and_makes_no_folder(
    tmp_path: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch, output: str
) -> None:
    revisions = write_revisions(tmp_path / "revisions.jsonl")
    monkeypatch.chdir(tmp_path)
    assert output in refused(capsys, revisions, output)
    assert [path.name for path in tmp_path.iterdir()] == ["revisions.jsonl"]


def test_an_output_below_a_file_is_refused(tmp_path: Path, capsys: Capture) -> None:
    revisions = write_revisions(tmp_path / "revisions.jsonl")
    assert str(revisions / "run") in refused(capsys, revisions, revisions / "run")


def test_the_folder_of_something_else_is_refused(tmp_path: Path, capsys: Capture) -> None:
    revisions = write_revisions(tmp_path / "revisions.jsonl")
    assert "holds something that is of no run (revisions.jsonl)" in refused(capsys, revisions, tmp_path)


def test_a_start_model_without_a_tokenizer_is_refused(tmp_path: Path, capsys: Capture) -> None:
    tokenizer = model.fresh_tokenizer(["abc def ghi"], SIZES)
    model.fresh_model(tokenizer, SIZES, seed=1).save_pretrained(tmp_path / "start")
    revisions = write_revisions(tmp_path / "revisions.jsonl")
    told = refused(capsys, revisions, tmp_path / "run", "--model", str(tmp_path / "start"), "--max-tokens", "128")
    assert "tokenizer" in told
    assert not (tmp_path / "run").exists()


def test_changed_revisions_of_equal_size_make_another_booster(tmp_path: Path) -> None:
    revisions = write_revisions(tmp_path / "revisions.jsonl")
    before = made_of(str(revisions))
    assert made_of(str(revisions)) == before
    revisions.write_text(revisions.read_text().replace("gut,", "gut;"))
    assert made_of(str(revisions)) != before


def test_files_of_equal_name_in_two_folders_both_count(tmp_path: Path) -> None:
    paths = [tmp_path / folder / "de.jsonl" for folder in ("a", "b")]
    for path in paths:
        path.parent.mkdir()
        write_revisions(path)
    both = made_of(*map(str, paths))
    paths[0].write_text(paths[0].read_text().replace("gut,", "gut;"))
    changed = made_of(*map(str, paths))
    paths[0].write_text(paths[0].read_text().replace("gut;", "gut,"))
    paths[1].write_text(paths[1].read_text().replace("gut,", "gut;"))
    assert both != changed != made_of(*map(str, paths)) != both


def test_changed_languages_make_another_booster(tmp_path: Path) -> None:
    revisions = write_revisions(tmp_path / "revisions.jsonl")
    none, more = tmp_path / "none.yaml", tmp_path / "more.yaml"
    none.write_text("{}")
    more.write_text('sv: {codes: [swe], region: SE, scripts: [Latin], quotes: "””", units: metric}\n')
    assert made_of(str(revisions)) == made_of(str(revisions), locales=str(none))
    assert made_of(str(revisions)) != made_of(str(revisions), locales=str(more))


def test_what_only_places_the_work_makes_the_same_booster(tmp_path: Path) -> None:
    revisions = str(write_revisions(tmp_path / "revisions.jsonl"))
    moved = {"workers": [1, 4], "zero": {"stage": 1}, "micro_tokens": 9000, "checkpoint": {"steps": 7}, "log_steps": 3}
    assert made_of(revisions, **moved) == made_of(revisions)
    assert made_of(revisions, lora={"rank": 3}) == made_of(revisions)
    assert made_of(revisions, batch_size=3) != made_of(revisions)


def test_a_relative_start_model_is_pinned_to_its_absolute_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tokenizer = model.fresh_tokenizer(["abc def ghi"], SIZES)
    tokenizer.save_pretrained(tmp_path / "start")
    model.fresh_model(tokenizer, SIZES, seed=1).save_pretrained(tmp_path / "start")
    monkeypatch.chdir(tmp_path)
    given = {"revisions": ["r"], "output": "o", "model": "start", "max_tokens": 128}
    settings = TrainSettings.model_validate(given)
    assert identity.pinned(settings).model == str(tmp_path / "start")
    with pytest.raises(UserError, match="the model knows only 128 positions"):
        identity.pinned(settings.model_copy(update={"max_tokens": 129}))
    shutil.rmtree(tmp_path / "start")
    with pytest.raises(UserError, match="start"):
        identity.pinned(settings.model_copy(update={"model": "./start"}))
