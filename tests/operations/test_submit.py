"""`midb-ray submit` without a cluster: what is refused before one is asked, and what who leaves is told."""

from __future__ import annotations

import pytest

from midb_ray import cli
from midb_ray.errors import UserError
from midb_ray.operations import access, entrypoint, submit
from midb_ray.operations import follow as following
from midb_ray.operations.submit_settings import SubmitSettings

JOBS = ("boost", "score")
pytestmark = pytest.mark.usefixtures("no_token_and_no_address")


@pytest.mark.parametrize(
    ("job", "words"),
    [
        ([], "nothing to submit"),
        (["boots"], "Cannot submit 'boots'; expected a job behind `--`, one of boost, score"),
        (["boost", "--output", "runs/one"], "The output runs/one is a relative path"),
        (["boost", "--output=runs/one"], "The output runs/one is a relative path"),
        (["boost", "--config", "far.yaml"], "far.yaml does not exist; it is looked for in the working directory"),
        (["boost", "--config", "near.yaml"], "The output from/file is a relative path"),
    ],
)
def test_a_job_that_could_not_run_there_is_not_submitted(tmp_path, job, words) -> None:
    (tmp_path / "near.yaml").write_text("output: from/file\n")
    with pytest.raises(UserError) as refusal:
        submit.read(job, JOBS, tmp_path)
    assert words in str(refusal.value)


def test_the_output_is_the_command_lines_or_the_files(tmp_path) -> None:
    (tmp_path / "near.yaml").write_text("output: s3://from/file\nfresh: true\n")
    assert submit.read(["boost", "--config", "near.yaml"], JOBS, tmp_path).output == "s3://from/file"
    found = submit.read(["boost", "--config", "near.yaml", "--output", "/here", "--fresh", "false"], JOBS, tmp_path)
    assert (found.output, found.fresh) == ("/here", False)
    assert submit.read(["boost", "--fresh", "--output", "/here"], JOBS, tmp_path).fresh


def test_a_value_of_a_secret_goes_nowhere_and_is_not_repeated(monkeypatch, capsys) -> None:
    assert cli.submit(["--secrets", "HF_TOKEN=hush", "--", "boost", "--output", "/out"]) == 2
    said = capsys.readouterr().err
    assert "found HF_TOKEN with a value" in said
    monkeypatch.setenv("API_KEY", "hush")
    assert (
        cli.submit(["--secrets", "API_KEY", "--", "boost", "--output", "/out", "--engine.url", "http://hush@host"]) == 2
    )
    said += capsys.readouterr().err
    assert "contain the value of API_KEY" in said
    assert "hush" not in said


@pytest.mark.parametrize(
    ("job", "words"),
    [
        (["--config", "job.yaml"], "The job's --config contains the value of API_KEY"),
        (["--config", "uri.yaml"], "A URI in the job's --config holds a password"),
        (["--input", "s3://KEY:whisper@bucket/in"], "A URI in the job's arguments holds a password"),
        (["--input", "s3://KEY:whis/per@bucket/in"], "A URI in the job's arguments holds a password"),
        (["--input=https://user:whisper@host/x"], "A URI in the job's arguments holds a password"),
    ],
)
def test_a_secret_in_the_configuration_or_in_a_uri_goes_nowhere(monkeypatch, capsys, tmp_path, job, words) -> None:
    (tmp_path / "job.yaml").write_text("engine:\n  url: http://host/?key=hush\n")
    (tmp_path / "uri.yaml").write_text("input: s3://KEY:whisper@bucket/in\n")
    monkeypatch.setenv("API_KEY", "hush")
    command = ["--secrets", "API_KEY", "--working-dir", str(tmp_path), "--", "boost", "--output", "/out"]
    assert cli.submit([*command, *job]) == 2
    said = capsys.readouterr().err
    assert words in said
    assert "hush" not in said
    assert "whis" not in said


def test_a_uri_with_an_at_sign_elsewhere_is_no_password() -> None:
    job = ("--input", "abfss://data@account.example/in", "hdfs://name:8020/in@2", "gs://anonymous@bucket/x")
    submit.refuse_values((), submit.Job(job, None, False))


def test_a_missing_secret_ends_the_job_before_it_begins(monkeypatch, capsys) -> None:
    monkeypatch.delenv("ABSENT", raising=False)
    monkeypatch.setenv("EMPTY", "")
    command = entrypoint.command(["boost", "--output", "/out"], ["HOME", "ABSENT", "EMPTY"])
    assert entrypoint.main(command[3:]) == 2
    assert "lacks the secrets ABSENT, EMPTY:" in capsys.readouterr().err


class Taking:
    """A cluster that takes every job, or none."""

    url, prefix = "http://head:8265", ""

    def __init__(self, takes: bool) -> None:
        self.takes = takes

    def submit(self, *_: object) -> None:
        if not self.takes:
            raise access.OutOfReachError("refused")


@pytest.mark.parametrize(
    ("takes", "is_lost", "words", "is_there"),
    [
        (True, False, "goes on without this terminal.", True),
        (True, True, "was lost and is not submitted again; the same command goes on from there.", False),
        (False, False, "goes on without this terminal, if the cluster took it at all.", True),
    ],
)
def test_who_leaves_is_told_what_is_true_of_the_job(monkeypatch, caplog, takes, is_lost, words, is_there) -> None:
    def leave(*_: object) -> None:
        raise KeyboardInterrupt

    lost = following.Ending(3, True, "it was killed")
    monkeypatch.setattr(submit, "follow", (lambda *_: lost) if is_lost else leave)
    monkeypatch.setattr(submit.time, "sleep", leave)
    job = submit.Job(("boost",), "/out", False)
    with caplog.at_level("INFO", logger="midb_ray"):
        assert submit._Submission(SubmitSettings(), job, Taking(takes), {}).run() == 130
    assert words in caplog.text
    assert ("Stop it:" in caplog.text) is is_there
