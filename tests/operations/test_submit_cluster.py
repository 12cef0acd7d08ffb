"""`midb-ray submit` to a real cluster that asks for its token, started from an empty home."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import psutil
import pytest
import requests

from midb_ray.operations import launch
from tests import heads

pytestmark = pytest.mark.slow

SAMPLES = str(Path(launch.__file__).parents[1] / "samples" / "corpus.jsonl")


class Cluster(NamedTuple):
    url: str
    home: Path
    folder: Path

    def submit(self, *arguments: object, **environment: str) -> subprocess.Popen[str]:
        """Start a submission of a folder with one file in it."""
        folder = self.folder / "working"
        folder.mkdir(exist_ok=True)
        (folder / "note.txt").write_text("a file of the user's")
        command = [sys.executable, "-m", "midb_ray.cli", "submit", "--address", self.url, "--working-dir", str(folder)]
        return subprocess.Popen(
            [*command, *map(str, arguments)],
            env=clean({"HOME": str(self.home), **environment}),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def boost(self, output: Path, *more: object) -> list[object]:
        return [
            "--",
            "boost",
            "--input",
            SAMPLES,
            "--output",
            output,
            "--engine.kind",
            "echo",
            "--max-dead-letters",
            "0.1",
            *more,
        ]


def clean(more: dict[str, str]) -> dict[str, str]:
    """The environment of a user who has set nothing of Ray's."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("RAY_")}
    here = str(Path(sys.executable).parent)
    return {**kept, "PATH": f"{here}:{kept['PATH']}", "RAY_USAGE_STATS_ENABLED": "0", **more}


@pytest.fixture(scope="module")
def cluster(tmp_path_factory) -> Iterator[Cluster]:
    home = tmp_path_factory.mktemp("home")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HOME", str(home))
        launch.ensure_token()
    with tempfile.TemporaryDirectory(prefix="midb-", dir="/tmp", ignore_cleanup_errors=True) as short:
        with heads.head(short, clean({"HOME": str(home), "RAY_AUTH_MODE": "token"})) as head:
            yield Cluster(head.url, home, tmp_path_factory.mktemp("work"))


def test_a_boost_of_the_samples_succeeds_and_tells_where_it_is(cluster, tmp_path) -> None:
    job = cluster.submit("--secrets", "HOME", *cluster.boost(tmp_path / "run"))
    log, said = job.communicate(timeout=200)
    assert job.returncode == 0, log + said
    assert "440 rows in = 427 pairs out" in log
    assert "The job gets 1 file of " in said
    assert f"Run folder: {tmp_path / 'run'}" in said
    assert json.loads((tmp_path / "run" / "summary.json").read_text())["complete"]
    secret = (cluster.home / ".ray" / "auth_token").read_text()
    assert secret not in log + said


def test_what_the_user_must_mend_ends_with_two_and_is_not_tried_again(cluster, tmp_path) -> None:
    job = cluster.submit(
        "--", "boost", "--input", tmp_path / "none", "--output", tmp_path / "run", "--engine.kind", "echo"
    )
    log, said = job.communicate(timeout=200)
    assert job.returncode == 2, log + said
    assert log.count("Error: Input ") == 1
    assert said.count("Submitted ") == 1


def test_a_secret_that_the_cluster_lacks_is_found_out_before_the_job_begins(cluster, tmp_path) -> None:
    job = cluster.submit(
        "--secrets", "MIDB_ABSENT", *cluster.boost(tmp_path / "run"), MIDB_ABSENT="a value that stays here"
    )
    log, said = job.communicate(timeout=200)
    assert job.returncode == 2, log + said
    assert "lacks the secret MIDB_ABSENT" in log
    assert not (tmp_path / "run").exists()


def test_without_the_token_or_with_another_one_nothing_is_submitted(cluster, tmp_path) -> None:
    for environment in ({"HOME": str(tmp_path)}, {"RAY_AUTH_TOKEN": "another"}):
        job = cluster.submit(*cluster.boost(tmp_path / "run"), **environment)
        log, said = job.communicate(timeout=60)
        assert job.returncode == 2, log + said
        assert "There is no token" in said or "does not let in the token from RAY_AUTH_TOKEN" in said
        assert "Submitted" not in said
    assert requests.get(f"{cluster.url}/api/jobs/", timeout=30).status_code == 401


def test_a_job_whose_driver_is_killed_is_submitted_again_and_goes_on(cluster, tmp_path) -> None:
    slowly = ["--engine.echo-delay", "0.05", "--shard-rows", "40", "--pool.shards-in-flight", "1"]
    job = cluster.submit(*cluster.boost(tmp_path / "run", *slowly))
    heads.wait_for(lambda: any((tmp_path / "run" / "pairs").glob("*.parquet")), job)
    first = {part.name: part.stat().st_mtime_ns for part in (tmp_path / "run" / "pairs").glob("*.parquet")}
    (driver,) = [
        one for one in psutil.process_iter(["cmdline"]) if is_driver(one.info["cmdline"] or [], tmp_path / "run")
    ]
    os.kill(driver.pid, signal.SIGKILL)
    log, said = job.communicate(timeout=240)
    assert job.returncode == 0, log + said
    assert "was killed by signal 9. It is submitted again" in said
    assert "440 rows in = 427 pairs out" in log
    assert {name: (tmp_path / "run" / "pairs" / name).stat().st_mtime_ns for name in first} == first


def is_driver(command: list[str], output: Path) -> bool:
    return command[1:4] == ["-m", "midb_ray.cli", "boost"] and str(output) in command


def test_ctrl_c_leaves_the_job_running_and_says_how_to_stop_it(cluster, tmp_path) -> None:
    job = cluster.submit(*cluster.boost(tmp_path / "run", "--engine.echo-delay", "60"))
    heads.wait_for((tmp_path / "run" / "run.json").exists, job)
    job.send_signal(signal.SIGINT)
    _, said = job.communicate(timeout=60)
    assert job.returncode == 130, said
    (stop,) = [line for line in said.splitlines() if line.startswith("Stop it:")]
    stopping = stop.removeprefix("Stop it:").strip()
    done = subprocess.run(
        stopping, shell=True, env=clean({"HOME": str(cluster.home)}), capture_output=True, text=True, timeout=120
    )
    assert "was stopped" in done.stdout + done.stderr
