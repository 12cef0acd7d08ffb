"""The run folder: made once, gone on with by the same run only, and never anybody else's."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from midb_ray.errors import UserError
from midb_ray.runs import fingerprint, folder, storage
from midb_ray.runs.folder import RunFolder, open_run

FINGERPRINT: dict[str, Any] = {
    "engine.model": "boosters/one",
    "template": "locale",
}


def opened(
    output: object, accept: tuple[str, ...] = (), fresh: bool = False, job: str = "boost", **changes: Any
) -> RunFolder:
    fingerprint = {key: value for key, value in {**FINGERPRINT, **changes}.items() if value is not None}
    found = folder.examine(str(output), job, fingerprint, accept, fresh)
    return open_run(str(output), job, fingerprint, {"shard_rows": 256}, found)


def refused(output: object, **arguments: Any) -> str:
    with pytest.raises(UserError) as caught:
        opened(output, **arguments)
    return str(caught.value)


def begin(run: RunFolder) -> None:
    """What a run that has begun has written."""
    for name in (
        "plan.parquet",
        "pairs/part-00000000.parquet",
        "dead_letters/part-00000000.parquet",
        "attempts/00000001.json",
        "staging/0f",
        "progress.json",
        "metrics.jsonl",
        "summary.json",
        "report.html",
    ):
        storage.write_bytes(storage.join(run.uri, name), b"old")


@pytest.fixture(params=["tmp_path", "s3"])
def output(request: pytest.FixtureRequest) -> str:
    """A place for a run folder on each kind of storage."""
    return f"{request.getfixturevalue(request.param)}/run"


def test_a_run_is_made_and_gone_on_with(output: str) -> None:
    run = opened(output)
    assert not run.resumed
    assert run.digests == {run.digest}
    folder.prove_shared(run.uri, run.nonce)
    begin(run)
    again = opened(output)
    assert again == RunFolder(run.uri, run.digest, run.nonce, run.digests, resumed=True)
    assert json.loads(storage.read_bytes(f"{output}/run.json"))["settings"] == {"shard_rows": 256}


def test_other_settings_are_refused_with_the_difference(output: str) -> None:
    begin(opened(output))
    message = refused(output, template="plain", seed=7)
    assert 'seed was the default, is now 7; template was "locale", is now "plain"' in message
    assert "--accept seed --accept template" in message
    assert "--fresh" in message
    assert "engine.model" not in message
    assert "is now the default" in refused(output, template=None)
    assert "--accept template" not in refused(output, accept=("template",), template="plain", seed=7)


def test_what_made_the_plan_cannot_change_in_a_run_and_nobody_is_told_that_it_could(output: str) -> None:
    begin(opened(output, limit=3))
    message = refused(output, limit=4, template="plain")
    assert "limit was 3, is now 4" in message
    assert "--accept" not in message
    assert "limit made the plan of the run and cannot change in it" in refused(output, limit=4, accept=("limit",))


def test_an_accepted_change_counts_older_parts_as_done(output: str) -> None:
    first = opened(output)
    begin(first)
    second = opened(output, accept=("template",), template="plain")
    assert second.digest != first.digest
    assert second.digests == {first.digest, second.digest}
    assert opened(output, template="plain").digests == second.digests  # accepted once and for all
    assert 'template was "plain", is now "locale"' in refused(output)
    assert opened(output, accept=("template",)).digest == first.digest


def test_a_run_that_has_planned_nothing_begins_anew_with_any_settings(output: str) -> None:
    first = opened(output)
    second = opened(output, template="plain")
    assert (second.resumed, second.digests) == (False, {second.digest})
    assert second.nonce != first.nonce


def test_only_settings_that_exist_can_be_accepted(output: str) -> None:
    begin(opened(output))
    assert "--accept tempalte: no output depends on a setting of this name; did you mean 'template'?" in refused(
        output, accept=("tempalte",), template="plain"
    )
    assert "known are engine.model, semantics_version, template" in refused(output, accept=("§",))
    gone = opened(output, accept=("template",), template=None)  # one that only the earlier run knows
    assert gone.resumed


def test_looking_writes_nothing(tmp_path: Path) -> None:
    assert folder.examine(str(tmp_path / "run"), "boost", FINGERPRINT) is None
    assert not (tmp_path / "run").exists()
    begin(opened(tmp_path / "run"))
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")}
    assert folder.examine(str(tmp_path / "run"), "boost", FINGERPRINT) is not None
    assert folder.examine(str(tmp_path / "run"), "boost", FINGERPRINT, fresh=True) is None
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")} == before


def test_parts_of_the_run_before_are_not_believed_after_starting_over(output: str) -> None:
    first = opened(output)
    begin(first)
    second = opened(output, fresh=True)  # the same settings: only the nonce tells late commits of the first run apart
    assert first.digest not in second.digests


def test_raised_semantics_are_another_fingerprint(output: str, monkeypatch: pytest.MonkeyPatch) -> None:
    begin(opened(output))
    monkeypatch.setattr(fingerprint, "SEMANTICS_VERSION", fingerprint.SEMANTICS_VERSION + 1)
    assert "--accept semantics_version" in refused(output)


def test_starting_over_deletes_the_run_and_nothing_else(output: str) -> None:
    first = opened(output)
    begin(first)
    storage.write_bytes(f"{output}/notes.txt", b"mine")
    storage.write_bytes(f"{output}/exported/train.jsonl", b"mine")
    second = opened(output, fresh=True, template="plain")
    assert (second.resumed, second.digests) == (False, {second.digest})
    assert second.nonce != first.nonce
    left = [file.uri.removeprefix(f"{output}/") for file in storage.list_files(output, recursive=True)]
    assert left == ["exported/train.jsonl", "nonce", "notes.txt", "run.json", "staging/0f"]  # staged for the new plan


def test_starting_over_where_nothing_is_makes_a_run(output: str) -> None:
    assert not opened(output, fresh=True).resumed


@pytest.mark.parametrize("name", ["notes.txt", "photos/cat.jpg", "model.safetensors"])
@pytest.mark.parametrize("fresh", [False, True])
def test_a_folder_of_something_else_is_left_alone(output: str, name: str, fresh: bool) -> None:
    storage.write_bytes(f"{output}/{name}", b"mine")
    storage.write_bytes(f"{output}/pairs/mine.parquet", b"mine")
    assert f"({name.split('/')[0]}); give an empty or a new folder." in refused(output, fresh=fresh)
    assert len(storage.list_files(output, recursive=True)) == 2


def test_hidden_files_are_no_strangers(tmp_path: Path) -> None:
    (tmp_path / ".DS_Store").write_bytes(b"")
    (tmp_path / "lost+found").mkdir()
    assert not opened(tmp_path).resumed


@pytest.mark.parametrize("fresh", [False, True])
def test_another_jobs_run_is_left_alone(output: str, fresh: bool) -> None:
    begin(opened(output, job="score"))
    assert refused(output, fresh=fresh).endswith("belongs to a score run; give this boost run another --output.")
    assert storage.info(f"{output}/pairs/part-00000000.parquet") is not None


def test_a_run_without_its_run_file_is_not_taken_over_silently(output: str) -> None:
    begin(opened(output))
    storage.delete(f"{output}/run.json")
    assert "holds parts of a run but not its run.json; start over with --fresh" in refused(output)
    assert not opened(output, fresh=True).resumed


def test_a_run_that_died_while_it_was_made_begins_anew(output: str) -> None:
    opened(output)
    storage.delete(f"{output}/run.json")  # the nonce is written first
    assert not opened(output).resumed


@pytest.mark.parametrize("content", [b"", b'{"job": "boost", "finger', b"\xff\xfe"])
def test_a_torn_run_file_is_one_sentence_and_starting_over_helps(output: str, content: bytes) -> None:
    begin(opened(output))
    storage.write_bytes(f"{output}/run.json", content)
    assert refused(output).endswith("run.json is not valid JSON; give another --output, or start over with --fresh.")
    assert not opened(output, fresh=True).resumed


@pytest.mark.parametrize("content", [b"[]", b"{}", b'{"job": "boost", "fingerprint": []}', b'{"fingerprint": {}}'])
@pytest.mark.parametrize("fresh", [False, True])
def test_a_run_file_of_something_else_is_left_alone(tmp_path: Path, content: bytes, fresh: bool) -> None:
    (tmp_path / "run.json").write_bytes(content)
    assert refused(tmp_path, fresh=fresh).endswith("is no run file of midb_ray; give another --output.")
    assert (tmp_path / "run.json").read_bytes() == content


@pytest.mark.parametrize("fresh", [False, True])
def test_a_file_in_place_of_the_folder_is_one_sentence(output: str, fresh: bool) -> None:
    storage.write_bytes(output, b"mine")
    assert refused(output, fresh=fresh).endswith("is a file; expected a folder, new or of an earlier run.")
    assert storage.read_bytes(output) == b"mine"


def test_a_hub_is_no_place_for_a_run() -> None:
    assert "lies on a hub, which can only be read" in refused("hf://datasets/somebody/something")


def test_storage_that_is_not_shared_is_one_sentence(output: str, tmp_path: Path) -> None:
    run = opened(output)
    for uri, nonce in ((run.uri, "another run's"), (f"{tmp_path}/elsewhere", run.nonce)):
        with pytest.raises(UserError, match=r"is not shared storage: node .* does not see what the driver wrote there"):
            folder.prove_shared(uri, nonce)


def test_the_folder_is_found_from_any_working_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert opened("run").uri == f"{tmp_path}/run"


def test_leftovers_of_killed_writers_are_swept(tmp_path: Path) -> None:
    run = opened(tmp_path / "run")
    begin(run)
    before = sorted(tmp_path.rglob("*"))
    (tmp_path / "run" / "pairs" / ".part-00000001.parquet.0f.tmp").write_bytes(b"half")
    folder.sweep(run.uri)
    assert sorted(tmp_path.rglob("*")) == before


def test_long_values_are_shown_short(output: str) -> None:
    begin(opened(output, prompt="x" * 1000))
    assert len(refused(output, prompt="y" * 1000)) < 600
