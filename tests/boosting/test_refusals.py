"""What the user can mend: one sentence and exit code 2, before anything is started where it can be known by then."""

from __future__ import annotations

import json
import resource
from pathlib import Path

import pytest

from midb_ray import cli
from midb_ray.corpora import summary
from midb_ray.engines import registry as engines
from midb_ray.runs import claim

pytestmark = pytest.mark.usefixtures("ray_cluster")


def boost(output: object, *arguments: object) -> int:
    return cli.boost(["--output", str(output), "--engine.kind", "echo", *map(str, arguments)])


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--input", "/absent/corpus.jsonl"], "does not exist"),
        (["--input", "ftp://host/corpus.jsonl"], "unknown kind of storage"),
        (["--input", ""], "An input is empty"),
        (["--input", "CORPUS", "--language", "Frensh"], "did you mean 'french'"),
        (["--input", "CORPUS", "--language", "§"], "Unknown language '§'. Known are ar, cs"),
        (["--input", "CORPUS", "--engine.modle", "x"], "did you mean --engine.model"),
        (["--input", "CORPUS", "--engine.kind", "transformers", "--engine.model", "/absent/model"], "/absent/model"),
        (["--input", "CORPUS", "--engine.kind", "transformers"], "model"),
        (["--input", "CORPUS", "--pool.replicas", "4", "2"], "pool.replicas"),
        (["--input", "BINARY"], "neither JSON nor Parquet"),
        (["--input", "CORPUS", "--accept", "tempalte"], "did you mean 'template'"),
        (["--input", "CORPUS", "--accept", "limit"], "limit made the plan of the run"),
        (["--input", "CORPUS", "--output", "hf://datasets/a/b"], "which can only be read"),
        (["--input", "CORPUS", "--output", "CORPUS"], "is a file; expected a folder"),
        (["--input", "CORPUS", "--output", "CORPUS/run"], "Not a directory"),
    ],
)
def test_what_the_user_can_mend_is_one_sentence_and_exit_code_2(tmp_path, make_corpus, capsys, arguments, told) -> None:
    (tmp_path / "image.png").write_bytes(b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR")
    corpus = str(make_corpus(3))
    arguments = [a.replace("CORPUS", corpus).replace("BINARY", str(tmp_path / "image.png")) for a in arguments]
    assert boost(tmp_path / "run", *arguments) == 2
    error = capsys.readouterr().err
    assert told in error
    assert error.count("\n") == 1
    assert not (tmp_path / "run").exists()


def test_an_output_that_cannot_be_written_in_the_actor_is_one_sentence(
    tmp_path, make_corpus, capsys, monkeypatch
) -> None:
    build = engines.build

    def on_a_small_disk(settings):  # no file of the actor's may be larger, as on a full disk
        resource.setrlimit(resource.RLIMIT_FSIZE, (2_000, resource.RLIM_INFINITY))
        return build(settings)

    monkeypatch.setattr(engines, "build", on_a_small_disk)
    corpus = make_corpus(200)
    arguments = ("--input", corpus, "--shard-rows", 100, "--pool.storage-patience", 1)
    assert boost(tmp_path / "run", *arguments) == 2
    error = capsys.readouterr().err
    assert error == f"Error: Cannot write to {tmp_path}/run: File too large.\n"
    assert list((tmp_path / "run" / "pairs").glob("*")) == []  # no half-written file under a final name, nor beside it
    monkeypatch.undo()
    assert boost(tmp_path / "run", *arguments) == 0


def test_a_run_that_somebody_else_drives_is_left_alone_even_when_starting_over(tmp_path, make_corpus, capsys) -> None:
    corpus = make_corpus(3)
    assert boost(tmp_path / "run", "--input", corpus) == 0
    before = sorted(tmp_path.rglob("*"))
    with claim.Claim(str(tmp_path / "run")):
        for more in ([], ["--fresh"]):
            assert boost(tmp_path / "run", "--input", corpus, *more) == 2
            assert "Another job" in capsys.readouterr().err
    assert sorted(tmp_path.rglob("*")) == before


def test_a_file_that_cannot_be_planned_does_not_spoil_the_run_it_was_added_to(
    tmp_path, make_corpus, books, capsys
) -> None:
    folder = tmp_path / "input"
    folder.mkdir()
    make_corpus(10).rename(folder / "a.jsonl")
    assert boost(tmp_path / "run", "--input", folder) == 0
    (folder / "b.jsonl").write_text('{"colour": "red"}\n' * 3)  # no format knows such rows
    assert boost(tmp_path / "run", "--input", folder) == 2
    assert "b.jsonl" in capsys.readouterr().err
    (folder / "b.jsonl").unlink()
    assert boost(tmp_path / "run", "--input", folder) == 0
    make_corpus(5, first=100).rename(folder / "b.jsonl")
    assert boost(tmp_path / "run", "--input", folder) == 0
    assert len(set(books(tmp_path / "run").rows)) == 15


def test_the_output_may_lie_below_the_input_and_is_never_input(tmp_path, make_corpus, books) -> None:
    make_corpus(10)
    for _ in range(2):
        assert boost(tmp_path / "run", "--input", tmp_path) == 0
        assert len(books(tmp_path / "run").rows) == 10
    (part,) = (tmp_path / "run" / "pairs").glob("*")
    assert boost(tmp_path / "run", "--input", tmp_path, part) == 2


def test_the_same_input_by_another_spelling_is_the_same_input(tmp_path, make_corpus, books, monkeypatch) -> None:
    corpus = make_corpus(10)
    monkeypatch.chdir(tmp_path)
    assert boost("run", "--input", corpus.name) == 0
    assert boost("run", "--input", corpus) == 0
    assert boost("run", "--input", f"./{corpus.name}") == 0
    assert books(tmp_path / "run").rows == sorted(f"corpus.jsonl:{line}" for line in range(1, 11))


def test_starting_over_deletes_nothing_until_the_new_run_has_a_plan(tmp_path, make_corpus, capsys) -> None:
    corpus = make_corpus(10)
    assert boost(tmp_path / "run", "--input", corpus) == 0
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*") if path.is_file()}
    (tmp_path / "other.jsonl").write_text('{"colour": "red"}\n')
    assert boost(tmp_path / "run", "--input", corpus, tmp_path / "other.jsonl", "--fresh") == 2
    assert {path: path.stat().st_mtime_ns for path in before} == before


def test_a_refused_command_leaves_the_run_as_it_was(tmp_path, make_corpus, capsys) -> None:
    one, two = make_corpus(5, "one.jsonl"), make_corpus(5, "two.jsonl", first=5)
    assert boost(tmp_path / "run", "--input", one, two) == 0
    other = ["--accept", "guard.urls", "--guard.urls", "false"]
    assert boost(tmp_path / "run", "--input", one, *other) == 2
    assert "two.jsonl', which is no longer among the inputs" in capsys.readouterr().err
    assert boost(tmp_path / "run", "--input", one, two) == 0


def test_a_damaged_plan_is_one_sentence(tmp_path, make_corpus, capsys) -> None:
    corpus = make_corpus(5)
    assert boost(tmp_path / "run", "--input", corpus) == 0
    (tmp_path / "run" / "plan.parquet").write_bytes(b"PAR1 torn")
    assert boost(tmp_path / "run", "--input", corpus) == 2
    assert "plan.parquet is damaged" in capsys.readouterr().err


def test_a_dry_run_says_what_would_be_refused_and_what_would_go_on(tmp_path, make_corpus, capsys, listen) -> None:
    corpus = make_corpus(10)
    assert boost(tmp_path / "run", "--input", corpus) == 0
    assert boost(tmp_path / "run", "--input", corpus, "--template", "plain", "--dry-run") == 2
    assert 'template was "locale", is now "plain"' in capsys.readouterr().err
    heard = listen(summary)
    assert boost(tmp_path / "run", "--input", corpus, "--dry-run") == 0
    assert "where an earlier run of 1 file(s) would go on" in heard[0]
    with corpus.open("a") as file:
        file.write("{}\n")
    assert boost(tmp_path / "run", "--input", corpus, "--dry-run") == 2
    assert "has changed since the run" in capsys.readouterr().err


def test_a_job_that_breaks_off_says_how_to_go_on(tmp_path, make_corpus, capsys, monkeypatch) -> None:
    from midb_ray.corpora import job

    def broken(*_):
        raise RuntimeError("something is broken")

    monkeypatch.setattr(job, "_stream", broken)
    for more, told in (([], "The same command goes on"), (["--fresh"], "The same command without --fresh goes on")):
        assert boost(tmp_path / "run", "--input", make_corpus(3), *more) == 3
        assert told in capsys.readouterr().err


def test_a_relative_output_of_a_submitted_job_is_refused(tmp_path, make_corpus, capsys, monkeypatch) -> None:
    corpus = make_corpus(3)
    copy = tmp_path / "runtime_resources" / "working_dir_files" / "_ray_pkg_0123"
    copy.mkdir(parents=True)
    monkeypatch.chdir(copy)
    assert boost("run", "--input", corpus) == 2
    assert "deleted with it; give an absolute place" in " ".join(capsys.readouterr().err.split())
    assert boost(tmp_path / "run", "--input", corpus) == 0
    assert json.loads((tmp_path / "run" / "summary.json").read_text())["rows"] == 3


def test_a_leftover_of_the_driver_is_gone_in_the_end(tmp_path: Path, make_corpus) -> None:
    assert boost(tmp_path / "run", "--input", make_corpus(3)) == 0
    assert not (tmp_path / "run" / claim.FILE).exists()
