"""Where revisions and start models come from and where the booster goes: what cannot be used is one sentence, and nothing
half-written stays behind."""

from __future__ import annotations

import resource
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from midb_ray import cli
from midb_ray.errors import UserError
from midb_ray.training import export, model, pipeline
from midb_ray.training.settings import FreshModelSettings, TrainSettings

from .test_job import SMALL, write_revisions

Capture = pytest.CaptureFixture[str]


@pytest.fixture
def full_disk() -> Iterator[None]:
    """No file of more than 20,000 bytes can be written, as on a disk that is nearly full."""
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, limits[1]))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, limits)


def refused(capsys: Capture, revisions: Path, output: str | Path, *more: str) -> str:
    """The one sentence of a train job that ends with exit code 2."""
    assert cli.train(["--revisions", str(revisions), "--output", str(output), *SMALL, *more]) == 2
    (line,) = capsys.readouterr().err.splitlines()[-1:]
    return line


def made_of(*revisions: str, **changes: object) -> dict[str, object]:
    """What a job's booster is made of."""
    settings = TrainSettings.model_validate({"revisions": revisions, "output": "o", **changes})
    return pipeline._fingerprint(settings)


@pytest.mark.parametrize("output", ["s3://bucket/booster", "gs://bucket/booster", "hf://user/booster", "ftp://host/b"])
def test_an_output_by_uri_is_refused_and_makes_no_folder(
    tmp_path: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch, output: str
) -> None:
    revisions = write_revisions(tmp_path / "revisions.jsonl")
    monkeypatch.chdir(tmp_path)
    assert f"The output {output} is no path" in refused(capsys, revisions, output)
    assert [path.name for path in tmp_path.iterdir()] == ["revisions.jsonl"]


def test_a_relative_output_lies_in_the_working_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert pipeline._place("boosters/one") == tmp_path / "boosters" / "one"
    assert pipeline._place(f"file://{tmp_path}/one") == tmp_path / "one"


def test_an_output_below_a_file_is_refused(tmp_path: Path, capsys: Capture) -> None:
    revisions = write_revisions(tmp_path / "revisions.jsonl")
    told = refused(capsys, revisions, revisions / "booster")
    assert told.startswith(f"Error: Cannot write the booster {revisions / 'booster'}: ")


def test_a_full_disk_is_one_sentence_and_leaves_nothing_behind(
    tmp_path: Path, capsys: Capture, full_disk: None
) -> None:
    revisions = write_revisions(tmp_path / "revisions.jsonl")
    told = refused(capsys, revisions, tmp_path / "booster")
    assert told.startswith(f"Error: Cannot write the booster {tmp_path / 'booster'}: ")
    assert "File too large" in told
    assert [path.name for path in tmp_path.iterdir()] == ["revisions.jsonl"]


def test_a_disk_that_fills_while_the_worker_writes_is_one_sentence(
    tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    sizes = FreshModelSettings(vocabulary=300, hidden_size=32, layers=1, heads=2, positions=128)
    tokenizer = model.fresh_tokenizer(["abc def ghi"], sizes)
    start = model.fresh_model(tokenizer, sizes, seed=1)
    tokenizer.save_pretrained(tmp_path / "start")
    start.save_pretrained(tmp_path / "start")
    request.getfixturevalue("full_disk")
    with (
        pytest.raises(UserError, match=r"^Cannot write the booster /there: .*File too large"),
        export.writing("/there"),
    ):
        export.write_model(str(tmp_path / "booster"), str(tmp_path / "start"), None, start.state_dict())


@pytest.mark.usefixtures("ray_cluster")
def test_what_a_worker_cannot_write_is_one_sentence_too(
    tmp_path: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    prepare = pipeline._prepare

    def prepared(*arguments: Any) -> Any:
        task, facts = prepare(*arguments)
        return {**task, "target": "/dev/null/booster"}, facts

    monkeypatch.setattr(pipeline, "_prepare", prepared)
    revisions = write_revisions(tmp_path / "revisions.jsonl")
    told = refused(capsys, revisions, tmp_path / "booster", "--epochs", "1")
    assert told.startswith(f"Error: Cannot write the booster {tmp_path / 'booster'}: ")
    assert [path.name for path in tmp_path.iterdir()] == ["revisions.jsonl"]


def test_other_failures_while_writing_stay_what_they_are() -> None:
    with pytest.raises(AssertionError, match="a mistake of ours"), export.writing("/there"):
        raise AssertionError("a mistake of ours")


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
    languages = tmp_path / "languages.yaml"
    languages.write_text("# none\n{}")
    before = made_of(str(revisions), locales=str(languages))
    languages.write_text("# many\n{}")
    assert made_of(str(revisions), locales=str(languages)) != before


def test_a_relative_start_model_is_pinned_to_its_absolute_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sizes = FreshModelSettings(vocabulary=300, hidden_size=32, layers=1, heads=2, positions=128)
    tokenizer = model.fresh_tokenizer(["abc def ghi"], sizes)
    tokenizer.save_pretrained(tmp_path / "start")
    model.fresh_model(tokenizer, sizes, seed=1).save_pretrained(tmp_path / "start")
    monkeypatch.chdir(tmp_path)
    settings = TrainSettings.model_validate({"revisions": ["r"], "output": "o", "model": "start"})
    assert pipeline._pinned(settings).model == str(tmp_path / "start")
    shutil.rmtree(tmp_path / "start")
    with pytest.raises(UserError, match="start"):
        pipeline._pinned(settings.model_copy(update={"model": "./start"}))
