"""`midb-ray submit` from a machine outside to a cluster of three, each with an address of its own, whose token is handed out as
`cluster/local.yaml` does."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Any

import pyarrow.parquet as pq
import pytest

from midb_ray.operations import launch
from tests.cluster import filling
from tests.namespaces import Nodes

from .test_submit_cluster import SAMPLES, clean

pytestmark = pytest.mark.slow

HEAD, WORKERS, OUTSIDE = 0, (1, 2), 3
ROOM = 3  # CPUs of a worker, all taken by one engine
TOKEN = Path(".ray") / "auth_token"
ASK = """
import sys, urllib.error, urllib.request
url, token, data = sys.argv[1:]
headers = {"Authorization": f"Bearer {token}"} if token else {}
try:
    answer = urllib.request.urlopen(urllib.request.Request(url, data.encode() or None, headers), timeout=20)
except urllib.error.HTTPError as error:
    answer = error
print(answer.status, answer.headers.get_content_type())
sys.stdout.flush()
sys.stdout.buffer.write(answer.read())
"""


class Submission:
    """A running `midb-ray submit`, and what it has written until now."""

    def __init__(self, command: list[str], environment: dict[str, str], folder: Path) -> None:
        self._said: dict[str, Path] = {name: folder / f"{name}-{time.monotonic_ns()}" for name in ("log", "own")}
        files: list[IO[bytes]] = [path.open("wb") for path in self._said.values()]
        self.process = subprocess.Popen(command, env=environment, stdout=files[0], stderr=files[1])
        for file in files:
            file.close()

    @property
    def log(self) -> str:
        """The job's log."""
        return self._said["log"].read_text()

    @property
    def own(self) -> str:
        """What `submit` says itself."""
        return self._said["own"].read_text()

    def until(self, ready: Callable[[], object], seconds: float = 150) -> None:
        """Wait for a moment while it runs."""
        end = time.monotonic() + seconds
        while not ready():
            assert self.process.poll() is None, self.log + self.own
            assert time.monotonic() < end, self.log + self.own
            time.sleep(0.2)

    def ends(self, code: int) -> None:
        assert self.process.wait(timeout=200) == code, self.log + self.own


class Outside:
    """A machine that reaches the cluster and is none of it."""

    def __init__(self, nodes: Nodes, folder: Path, token: str) -> None:
        self._nodes, self._folder, self.token = nodes, folder, token
        self.head, *self.workers = nodes.addresses[:OUTSIDE]
        self.dashboard = f"http://{self.head}:8265"

    def submit(self, output: Path, *more: str, token: str, before: tuple[str, ...] = ()) -> Submission:
        """Boost the samples, slowly; the user's home has a token and nothing else, or not even that."""
        home = self._folder / f"home-{time.monotonic_ns()}"
        home.mkdir()
        if token:
            write(home, token)
        command = ["-m", "midb_ray.cli", "submit", "--address", self.dashboard, "--working-dir", "none", *before]
        job = [
            "boost",
            "--input",
            SAMPLES,
            "--output",
            str(output),
            "--engine.kind",
            "echo",
            "--max-dead-letters",
            "0.1",
        ]
        job += ["--engine.echo-delay", "0.04", "--shard-rows", "20", "--pool.shards-in-flight", "1", *more]
        whole = [*self._nodes.within(OUTSIDE), sys.executable, *command, "--", *job]
        return Submission(whole, clean({"HOME": str(home)}), self._folder)

    def ask(self, url: str, token: str = "", data: str = "") -> tuple[int, str, str]:
        """Status, content type and body of an answer."""
        asked = [*self._nodes.within(OUTSIDE), sys.executable, "-c", ASK, url, token, data]
        done = subprocess.run(asked, capture_output=True, text=True, timeout=60, check=True)
        first, body = done.stdout.split("\n", 1)
        status, kind = first.split()
        return int(status), kind, body

    def jobs(self) -> list[dict[str, Any]]:
        """What the page of jobs shows."""
        status, _, body = self.ask(f"{self.dashboard}/api/jobs/", self.token)
        assert status == 200
        return list(json.loads(body))

    def metrics(self) -> dict[str, str]:
        """Every metrics endpoint that a Prometheus of the cluster is told about, and what it says."""
        status, _, body = self.ask(f"{self.dashboard}/api/prometheus/sd", self.token)
        assert status == 200
        found = {}
        for target in json.loads(body)[0]["targets"]:
            status, kind, text = self.ask(f"http://{target}/metrics")
            assert (status, kind) == (200, "text/plain")
            found[target] = text
        return found


def write(home: Path, token: str) -> None:
    (home / TOKEN).parent.mkdir(parents=True)
    (home / TOKEN).write_text(token)


@pytest.fixture(scope="module")
def homes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The launcher's home, with the token that it has made, and in it the nodes' homes with what the cluster file puts there."""
    launchers = tmp_path_factory.mktemp("homes")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HOME", str(launchers))
        launch.ensure_token()
    for number in (HEAD, *WORKERS):
        for there, here in filling.cluster("local")["file_mounts"].items():
            mounted = launchers / str(number) / there.removeprefix("~/")
            mounted.parent.mkdir(parents=True)
            shutil.copy(launchers / here.removeprefix("~/"), mounted)
    return launchers


@pytest.fixture(scope="module")
def nodes(homes: Path) -> Iterator[Nodes]:
    """The head and two workers, in the environment that the cluster file gives each."""
    options = filling.cluster("local")["docker"]["run_options"]
    given = dict(option.removeprefix("--env=").split("=", 1) for option in options if option.startswith("--env=RAY_"))

    def environment(number: int) -> dict[str, str]:
        return clean({**given, "HOME": str(homes / str(number))})

    head = ("--dashboard-host", "0.0.0.0")
    with Nodes(2, ROOM, ROOM, guests=1, head=head, environment=environment) as made:
        yield made


@pytest.fixture(scope="module")
def outside(nodes: Nodes, homes: Path, tmp_path_factory: pytest.TempPathFactory) -> Outside:
    return Outside(nodes, tmp_path_factory.mktemp("outside"), (homes / TOKEN).read_text())


def test_a_boost_from_outside_is_followed_measured_and_done_by_both_workers(outside: Outside, tmp_path: Path) -> None:
    run = tmp_path / "run"
    job = outside.submit(run, "--pool.replicas", "2", "--pool.cpus-per-replica", str(ROOM), token=outside.token)
    job.until(lambda: "Planning" in job.log)
    (shown,) = [one for one in outside.jobs() if one["submission_id"] in job.own]
    assert shown["status"] == "RUNNING"
    assert shown["metadata"] == {"output": str(run)}
    assert outside.ask(f"{outside.dashboard}/")[:2] == (200, "text/html")

    def measured() -> bool:
        lines = [line for text in outside.metrics().values() for line in text.splitlines()]
        rows = [line for line in lines if line.startswith("ray_midb_ray_rows_total{")]
        return all(any(f'engine_node="{one}"' in line for line in rows) for one in outside.workers)

    job.until(measured)
    assert {target.split(":")[0] for target in outside.metrics()} == {outside.head, *outside.workers}
    job.ends(0)

    assert "440 rows in = 427 pairs out" in job.log
    assert f"Run folder: {run}" in job.own
    parts = [pq.read_table(part, columns=["row"]) for part in (run / "pairs").glob("*.parquet")]
    rows = [row for part in parts for row in part.column("row").to_pylist()]
    assert len(rows) == len(set(rows)) == 427
    engines = json.loads((run / "summary.json").read_text())["engines"]
    assert {engine["node"] for engine in engines} == set(outside.workers)
    assert all(engine["rows"] for engine in engines)
    _, kind, body = outside.ask(f"{outside.dashboard}/api/jobs/{shown['submission_id']}", outside.token)
    assert (kind, json.loads(body)["status"]) == ("application/json", "SUCCEEDED")
    assert outside.token not in job.log + job.own + body


def test_without_the_clusters_token_nothing_runs(outside: Outside, tmp_path: Path) -> None:
    before = outside.jobs()
    for token, reason in (("", "There is no token"), ("0" * 64, "does not let in the token from ")):
        job = outside.submit(tmp_path / "run", token=token)
        job.ends(2)
        (sentence,) = job.own.splitlines()
        assert sentence.startswith("Error: ")
        assert reason in sentence
        assert job.log == ""
        for path, data in (("/api/jobs/", ""), ("/api/prometheus/sd", ""), ("/api/jobs/", '{"entrypoint": "true"}')):
            assert outside.ask(outside.dashboard + path, token, data)[0] == (403 if token else 401)
    assert outside.jobs() == before
    assert not (tmp_path / "run").exists()


def test_a_job_whose_head_begins_anew_is_known_for_lost_and_told_how_to_go_on(
    nodes: Nodes, outside: Outside, tmp_path: Path
) -> None:
    pairs = tmp_path / "run" / "pairs"
    job = outside.submit(tmp_path / "run", token=outside.token, before=("--retries", "0"))
    job.until(lambda: any(pairs.glob("*.parquet")))
    nodes.kill(HEAD)
    job.until(lambda: "does not answer" in job.own)
    for number in WORKERS:  # Ray looks for a living cluster among all processes of a machine
        nodes.kill(number)
    nodes.start(HEAD)
    job.ends(3)
    assert "its head has begun anew" in job.own
    assert f"Run folder: {tmp_path / 'run'}\nThe same command goes on from there." in job.own
