"""Input, staging and disk that change under a run: nothing is lost in silence, and what can be mended goes on."""

from __future__ import annotations

import gzip
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from midb_ray import cli
from midb_ray.runs import attempts, commit, folder, storage
from midb_ray.runs.figures import Figures

pytestmark = pytest.mark.usefixtures("ray_cluster")


def boost(output: object, *arguments: object) -> int:
    return cli.boost(["--output", str(output), "--engine.kind", "echo", "--shard-rows", "10", *map(str, arguments)])


def undo(run: Path, shard: int) -> None:
    """Make one shard of a finished run open again."""
    (run / "pairs" / f"part-{shard:08d}.parquet").unlink()


def test_a_file_that_was_cut_under_a_run_costs_no_rows_once_it_is_back(tmp_path, make_corpus, books, capsys) -> None:
    corpus = make_corpus(40)
    assert boost(tmp_path / "run", "--input", corpus) == 0
    whole, times = corpus.read_bytes(), corpus.stat()
    undo(tmp_path / "run", 2)
    corpus.write_bytes(whole[: len(whole) // 2].ljust(len(whole)))  # blank where the rows were, and as long as before
    os.utime(corpus, ns=(times.st_atime_ns, times.st_mtime_ns))
    assert boost(tmp_path / "run", "--input", corpus) == 2
    assert "has changed since it was planned: shard 2 had 10 rows" in capsys.readouterr().err
    corpus.write_bytes(whole)
    os.utime(corpus, ns=(times.st_atime_ns, times.st_mtime_ns))
    assert boost(tmp_path / "run", "--input", corpus) == 0
    assert len(set(books(tmp_path / "run").rows)) == 40


def test_a_file_that_changed_while_it_was_read_is_told_and_no_summary_claims_to_be_complete(
    tmp_path, make_corpus, capsys, monkeypatch
) -> None:
    from midb_ray.corpora import job

    corpus, stream = make_corpus(40), job._stream

    def disturbed(*arguments):
        stream(*arguments)
        corpus.write_bytes(corpus.read_bytes().replace(b"Regel", b"REGEL"))

    monkeypatch.setattr(job, "_stream", disturbed)
    assert boost(tmp_path / "run", "--input", corpus) == 2
    assert "has changed since the run" in capsys.readouterr().err
    assert not (tmp_path / "run" / "summary.json").exists()


def test_a_part_with_other_rows_than_planned_is_done_again(tmp_path, make_corpus, books) -> None:
    corpus = make_corpus(20)
    assert boost(tmp_path / "run", "--input", corpus) == 0
    (digest,) = json.loads((tmp_path / "run" / "run.json").read_text())["digests"]
    run = books(tmp_path / "run")
    nothing = (run.pairs.schema.empty_table(), run.dead_letters.schema.empty_table(), Figures())
    commit.commit(str(tmp_path / "run"), 1, digest, *nothing)
    assert boost(tmp_path / "run", "--input", corpus) == 0
    assert len(set(books(tmp_path / "run").rows)) == 20


def test_staged_input_that_was_deleted_is_unpacked_again(tmp_path, make_corpus, books) -> None:
    packed = tmp_path / "corpus.jsonl.gz"
    packed.write_bytes(gzip.compress(make_corpus(40).read_bytes()))
    assert boost(tmp_path / "run", "--input", packed) == 0
    undo(tmp_path / "run", 3)
    shutil.rmtree(tmp_path / "run" / "staging")
    assert boost(tmp_path / "run", "--input", packed) == 0
    assert len(set(books(tmp_path / "run").rows)) == 40


def test_input_that_moved_with_its_folder_is_read_where_it_is_now(tmp_path, make_corpus, books, monkeypatch) -> None:
    for name in ("here", "there"):
        (tmp_path / name).mkdir()
    make_corpus(40).rename(tmp_path / "here" / "a.jsonl")
    monkeypatch.chdir(tmp_path / "here")
    assert boost(tmp_path / "run", "--input", "a.jsonl") == 0
    undo(tmp_path / "run", 3)
    (tmp_path / "here" / "a.jsonl").rename(tmp_path / "there" / "a.jsonl")
    monkeypatch.chdir(tmp_path / "there")
    assert boost(tmp_path / "run", "--input", "a.jsonl") == 0
    assert books(tmp_path / "run").rows == sorted(f"a.jsonl:{line}" for line in range(1, 41))


def test_a_file_none_of_whose_rows_can_be_read_costs_its_own_rows_alone(tmp_path, make_corpus, books) -> None:
    folder = tmp_path / "input"
    folder.mkdir()
    make_corpus(10).rename(folder / "good.jsonl")
    (folder / "cut.jsonl").write_text('{"instruction": "Wie geht es d')
    (folder / "odd.jsonl").write_text("zzz\n")
    assert boost(tmp_path / "run", "--input", folder, "--max-dead-letters", "0.5") == 0
    run = books(tmp_path / "run")
    assert run.pairs.num_rows == 10
    assert run.dead_letters.column("reason").to_pylist() == ["invalid_json", "invalid_json"]


def test_a_commit_that_fails_is_not_held_against_the_engine(tmp_path, make_corpus, books) -> None:
    corpus = make_corpus(1)
    assert boost(tmp_path / "run", "--input", corpus) == 0
    undo(tmp_path / "run", 0)
    for _ in range(2):  # two deaths of a single row would give it up
        shutil.rmtree(tmp_path / "run" / "dead_letters", ignore_errors=True)
        (tmp_path / "run" / "dead_letters").touch()
        assert boost(tmp_path / "run", "--input", corpus) == 2
    assert storage.list_files(f"{tmp_path}/run/{attempts.FOLDER}") == []
    (tmp_path / "run" / "dead_letters").unlink()
    assert boost(tmp_path / "run", "--input", corpus) == 0
    assert "engine_crash" not in str(books(tmp_path / "run").summary)


def test_a_disk_that_is_full_for_the_driver_is_one_sentence(tmp_path, make_corpus, capsys) -> None:
    corpus = make_corpus(20)
    assert boost(tmp_path / "run", "--input", corpus) == 0
    undo(tmp_path / "run", 1)
    (tmp_path / "run" / "progress.json").unlink()
    (tmp_path / "run" / "progress.json").mkdir()
    assert boost(tmp_path / "run", "--input", corpus) == 2
    (line,) = [line for line in capsys.readouterr().err.splitlines() if line.startswith("Error")]
    assert line.startswith(f"Error: Cannot use the output folder {tmp_path}/run: ")
    assert line.endswith("progress.json' is a directory.")


def test_an_address_where_nobody_listens_is_one_sentence_at_once(tmp_path, make_corpus) -> None:
    command = [sys.executable, "-m", "midb_ray.cli", "boost", "--engine.kind", "echo", "--address", "127.0.0.1:1"]
    command += ["--input", str(make_corpus(1)), "--output", str(tmp_path / "run")]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 2
    assert "Error: Cannot reach a Ray cluster at '127.0.0.1:1'" in done.stderr


@pytest.mark.slow
def test_a_job_that_is_told_to_stop_says_how_to_go_on_and_suspects_nobody(tmp_path, make_corpus, books) -> None:
    corpus, run = make_corpus(400), tmp_path / "run"
    command = [sys.executable, "-m", "midb_ray.cli", "boost", "--engine.kind", "echo", "--engine.echo-delay", "1"]
    command += ["--input", str(corpus), "--output", str(run), "--shard-rows", "10", "--pool.shards-in-flight", "4"]
    job = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 90
    while not list((run / "pairs").glob("part-*")):
        assert job.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.1)
    job.send_signal(signal.SIGTERM)
    _, error = job.communicate(timeout=60)
    assert job.returncode == 3
    assert error.splitlines()[-1] == "Stopped. The same command goes on from here."
    assert not (run / folder.claim.FILE).exists()
    assert json.loads((run / "progress.json").read_text())["reason"] == "it was told to stop"
    assert list((run / "attempts").iterdir())
    again = subprocess.run(
        [*command, "--engine.echo-delay", "0"], capture_output=True, text=True, timeout=120, check=False
    )
    assert again.returncode == 0, again.stderr
    assert "runs alone" not in again.stdout + again.stderr
    assert books(run).summary["complete"]
