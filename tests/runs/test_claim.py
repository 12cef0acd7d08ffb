"""Two drivers never work on one run folder: real processes, started together, killed and taken over from."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from midb_ray.errors import UserError
from midb_ray.runs import claim, storage
from midb_ray.runs.claim import Claim

DRIVER = """
import sys
from midb_ray.errors import UserError
from midb_ray.runs.claim import Claim
try:
    with Claim(sys.argv[1]):
        print("mine", flush=True)
        sys.stdin.read()
except UserError as error:
    print(error, flush=True)
"""


def driver(run: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", DRIVER, run], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )


def said(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()


@pytest.fixture(params=["tmp_path", "s3"])
def run(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """A place for a run folder on each kind of storage."""
    monkeypatch.setattr(claim, "SETTLE", 0.1)
    monkeypatch.setattr(claim, "BEAT", 0.1)
    return f"{request.getfixturevalue(request.param)}/run"


def record(run: str) -> str:
    return f"{run}/{claim.FILE}"


def test_of_drivers_started_together_one_works_and_the_others_are_told_who(run: str) -> None:
    together = [driver(run) for _ in range(4)]
    answers = [said(process) for process in together]
    assert answers.count("mine") == 1
    refusals = [answer for answer in answers if answer != "mine"]
    assert all(answer.startswith("Another job") and "is writing to" in answer for answer in refusals)
    assert f"(process {together[answers.index('mine')].pid} on " in driver_refusal(run)
    for process in together:
        process.communicate()
    assert storage.info(record(run)) is None


def driver_refusal(run: str) -> str:
    with pytest.raises(UserError) as caught, Claim(run):
        pass
    return str(caught.value)


def test_a_killed_driver_is_followed_at_once(run: str) -> None:
    first = driver(run)
    assert said(first) == "mine"
    first.kill()
    first.communicate()
    assert storage.info(record(run)) is not None  # it could not clean up
    with Claim(run):
        pass
    assert storage.info(record(run)) is None


def test_the_same_folder_by_another_spelling_is_refused(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path, target_is_directory=True)
    with Claim(f"{tmp_path}/run"):
        assert "Another job" in driver_refusal(f"{tmp_path}/link/run")


def elsewhere(run: str, age: float) -> None:
    """The record of a driver on another machine."""
    seen = {"token": "x", "machine": "elsewhere", "host": "far", "process": 7, "updated": time.time() - age}
    storage.write_bytes(record(run), json.dumps(seen).encode())


def test_a_driver_on_another_machine_counts_while_it_gives_signs_of_life(run: str) -> None:
    elsewhere(run, age=1)
    assert "(process 7 on far)" in driver_refusal(run)
    assert storage.info(record(run)) is not None  # it is not ours to delete
    for age in (claim.STALE + 1, -86_400):  # a clock that is wrong must not keep everybody out
        elsewhere(run, age)
        with Claim(run):
            pass


def test_a_living_driver_whose_clock_is_wrong_is_seen_at_work(run: str) -> None:
    elsewhere(run, age=7_200)
    threading.Timer(0.05, elsewhere, (run, 7_199)).start()
    assert "(process 7 on far)" in driver_refusal(run)


def check_for(seconds: float, mine: Claim) -> None:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        mine.check()
        time.sleep(0.02)


def test_a_driver_that_was_taken_for_dead_gives_way(run: str) -> None:
    with Claim(run) as mine:
        mine.check()
        elsewhere(run, age=0)
        with pytest.raises(UserError, match="process 7 on far"):
            check_for(20, mine)
    assert json.loads(storage.read_bytes(record(run)))["token"] == "x"


def test_workers_learn_that_another_driver_has_the_folder(run: str) -> None:
    with Claim(run) as mine:
        claim.refuse_other(run, mine.token)
        elsewhere(run, age=0)
        with pytest.raises(UserError, match="process 7 on far"):
            claim.refuse_other(run, mine.token)
        storage.delete(record(run))
        claim.refuse_other(run, mine.token)


def test_a_record_that_cannot_be_read_says_nothing(s3: str) -> None:
    claim.refuse_other("s3://absent/run", "x")


@pytest.mark.parametrize("content", [b"", b"[]", b'{"updated": "never"}', b'{"updated": -1e300}'])
def test_a_record_that_says_nothing_is_nobodys(run: str, content: bytes) -> None:
    storage.write_bytes(record(run), content)
    with Claim(run):
        pass


def test_a_place_that_cannot_be_written_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(UserError, match="Cannot use the output folder"), Claim(f"{tmp_path}/file/run"):
        pass
