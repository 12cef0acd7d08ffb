"""The revisions job: refusals before Ray starts, the same set with Ray as without, and nothing done twice."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from midb_ray import cli
from midb_ray.locales import load_locales
from midb_ray.runs import cluster
from midb_ray.training import revisions_pipeline, training_set
from midb_ray.training.selection_settings import SelectionSettings

from .test_training_set import make, row, write

Capture = pytest.CaptureFixture[str]


@pytest.fixture
def source(tmp_path: Path) -> Path:
    return write(tmp_path / "revisions")


@pytest.fixture
def no_ray(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing may connect to Ray."""

    def connected(address: str | None) -> None:
        raise AssertionError("Ray was started")

    monkeypatch.setattr(cluster, "connected", connected)


def job(source: Path, output: Path | str, *more: str) -> int:
    return cli.main(["revisions", "--revisions", str(source), "--output", str(output), *more])


def refused(capsys: Capture, source: Path, output: Path | str, *more: str) -> str:
    """The one sentence of a job that ends with exit code 2."""
    assert job(source, output, *more) == 2
    (line,) = capsys.readouterr().err.splitlines()[-1:]
    return line


@pytest.mark.usefixtures("ray_cluster")
def test_the_job_makes_the_set_that_one_process_makes_and_prints_its_table(
    source: Path, tmp_path: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    options = ("--selection.share", "0.5", "--selection.unchanged-share", "0.2", "--seed", "3")
    assert job(source, tmp_path / "set", *options) == 0
    shown = capsys.readouterr().out
    assert [line.split()[0] for line in shown.splitlines()] == ["language", "de", "fr", "ja", "all"]
    paths, selection = (str(source),), SelectionSettings(share=0.5, unchanged_share=0.2)
    record = training_set.make(paths, selection, 3, load_locales(), str(tmp_path / "plain"), map)
    for name in (training_set.TRAIN, training_set.VALIDATION):
        assert pq.read_table(tmp_path / "set" / name) == pq.read_table(tmp_path / "plain" / name)
    assert training_set.load(str(tmp_path / "set"))["languages"] == record["languages"]
    assert sorted(path.name for path in (tmp_path / "set").iterdir()) == [
        "selection.json",
        "train.parquet",
        "validation.parquet",
    ]

    (source / "fr.jsonl").write_text(json.dumps({"instruction": "a", "output": "b"}))
    assert "fr.jsonl holds alpaca rows without a revised side" in refused(capsys, source, tmp_path / "other")


@pytest.mark.usefixtures("no_ray")
def test_the_same_job_again_does_nothing_and_shows_the_table(source: Path, tmp_path: Path, capsys: Capture) -> None:
    make(source, tmp_path / "set")
    before = (tmp_path / "set" / "train.parquet").stat().st_mtime_ns
    files = [str(source / f"{language}.jsonl") for language in ("ja", "de", "fr")]  # the same, in another order
    options = ("--output", str(tmp_path / "set"), "--selection.share", "0.5", "--selection.validation", "0.2")
    assert cli.main(["revisions", "--revisions", *files, *options]) == 0
    assert (tmp_path / "set" / "train.parquet").stat().st_mtime_ns == before
    assert "all" in capsys.readouterr().out


@pytest.mark.usefixtures("no_ray")
def test_another_set_is_refused_with_the_difference(source: Path, tmp_path: Path, capsys: Capture) -> None:
    make(source, tmp_path / "set")
    told = refused(capsys, source, tmp_path / "set", "--selection.validation", "0.2")
    assert told == (
        f"Error: The output {tmp_path / 'set'} holds a training set that was made otherwise: selection.share was 0.5, is now 0.3; "
        "make it anew with --fresh, or give another --output."
    )
    with (source / "de.jsonl").open("a") as file:
        file.write("\n" + json.dumps(row("de", 999)))
    (source / "ja.jsonl").rename(source / "ja.2.jsonl")
    told = refused(capsys, source, tmp_path / "set", "--selection.share", "0.5", "--selection.validation", "0.2")
    assert f"{source}/de.jsonl has changed since; {source}/ja.2.jsonl was not read; {source}/ja.jsonl was read" in told


@pytest.mark.usefixtures("no_ray")
@pytest.mark.parametrize("name", ["notes.txt", "train.parquet", "selection.json"])
def test_a_folder_with_something_else_is_refused_even_fresh(
    source: Path, tmp_path: Path, capsys: Capture, name: str
) -> None:
    place = tmp_path / "set"
    place.mkdir()
    if name.endswith("parquet"):
        pq.write_table(pq.read_table(_made(source, tmp_path)).replace_schema_metadata({}), place / name)
    else:
        (place / name).write_text("{}")
    for more in ((), ("--fresh",)):
        assert f"holds something that is of no training set of ours ({name})" in refused(capsys, source, place, *more)
    assert [path.name for path in place.iterdir()] == [name]


def test_what_a_killed_job_has_left_is_no_hindrance(source: Path, tmp_path: Path) -> None:
    place = tmp_path / "set"
    make(source, place)
    (place / "selection.json").unlink()
    (place / "staging").mkdir()
    (place / "driver.json").write_text("{}")
    assert revisions_pipeline._before(str(place), {}, fresh=False) is None


@pytest.mark.usefixtures("no_ray")
def test_places_that_cannot_be_are_refused_before_ray_starts(source: Path, tmp_path: Path, capsys: Capture) -> None:
    assert "is a file; expected a folder" in refused(capsys, source, source / "de.jsonl")
    assert "lies on a hub, which can only be read" in refused(capsys, source, "hf://datasets/a/b")
    assert "does not exist or holds no file" in refused(capsys, tmp_path / "nothing", tmp_path / "set")
    (source / "picture.png").write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(100))
    assert "picture.png" in refused(capsys, source, tmp_path / "set")
    assert "selection.share: input should be less than or equal to 1, found '2'" in refused(
        capsys, source, tmp_path / "set", "--selection.share", "2"
    )
    assert not (tmp_path / "set").exists()


def _made(source: Path, tmp_path: Path) -> Path:
    make(source, tmp_path / "made")
    return tmp_path / "made" / "train.parquet"
