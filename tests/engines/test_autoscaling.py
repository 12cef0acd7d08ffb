"""A pool between bounds on a cluster that can grow: nodes come with the queue and go after it."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from tests.boosting.conftest import RunBooks

pytestmark = pytest.mark.slow

ROWS, MOST = 2400, 4
HOST = "127.0.0.1"


class GrowingCluster:
    """A head node without a GPU; Ray's provider of pretended nodes adds workers of one GPU on this machine and takes them away."""

    def __init__(self, folder: Path) -> None:
        with socket.create_server((HOST, 0)) as probe:
            self.address = f"{HOST}:{probe.getsockname()[1]}"
        config = {
            "cluster_name": "pretended",
            "max_workers": MOST,
            "upscaling_speed": 10,
            "idle_timeout_minutes": 0.1,
            "provider": {
                "type": "fake_multinode",
                "gcs_address": self.address,
                "launch_multiple": True,
                "use_node_id_as_ip": True,
                "disable_node_updaters": True,
                "disable_launch_config_check": True,
            },
            "available_node_types": {
                "ray.head.default": {"resources": {"CPU": 2}, "node_config": {}, "max_workers": 0},
                "worker": {
                    "resources": {"CPU": 1, "GPU": 1, "object_store_memory": 100 << 20},
                    "node_config": {},
                    "min_workers": 0,
                    "max_workers": MOST,
                },
            },
            "head_node_type": "ray.head.default",
            "auth": {},
            "file_mounts": {},
            **{f"{when}_commands": [] for when in ("initialization", "setup", "head_setup", "worker_setup")},
            **{f"{which}_start_ray_commands": [] for which in ("head", "worker")},
            **{name: [] for name in ("cluster_synced_files", "rsync_exclude", "rsync_filter")},
            "file_mounts_sync_continuously": False,
        }
        (folder / "cluster.json").write_text(json.dumps(config))
        self.environment = {**os.environ, "AUTOSCALER_UPDATE_INTERVAL_S": "1", "RAY_FAKE_CLUSTER": "1"}
        self._temporary = (
            Path(os.environ.get("TMPDIR", "/tmp")) / f"midb-grow-{os.getpid()}"
        )  # socket paths must stay short
        command = [str(Path(sys.executable).parent / "ray"), "start", "--head", "--block", f"--node-ip-address={HOST}"]
        command += [f"--port={self.address.rpartition(':')[2]}", "--num-cpus=2", "--num-gpus=0"]
        command += ["--include-dashboard=false", f"--temp-dir={self._temporary}", "--object-store-memory=200000000"]
        command += [f"--autoscaling-config={folder / 'cluster.json'}"]
        with (folder / "head.log").open("wb") as log:
            self._head = subprocess.Popen(command, env=self.environment, stdout=log, stderr=log, start_new_session=True)
        deadline = time.monotonic() + 90
        while True:
            assert self._head.poll() is None, (folder / "head.log").read_text()
            assert time.monotonic() < deadline
            with socket.socket() as knock:
                if knock.connect_ex((HOST, int(self.address.rpartition(":")[2]))) == 0:
                    break
            time.sleep(0.2)

    def size(self) -> tuple[int, int]:
        """Engine actors and nodes, the head among them."""
        actors = nodes = 0
        for process in psutil.Process(self._head.pid).children(recursive=True):
            try:
                nodes += process.name() == "raylet"
                # What an actor starts bears its name for a moment, so only the children of raylets count.
                actors += "MapWorker" in "".join(process.cmdline()) and process.parent().name() == "raylet"
            except psutil.NoSuchProcess:
                continue
        return actors, nodes

    def close(self) -> None:
        mine = [*psutil.Process(self._head.pid).children(recursive=True), psutil.Process(self._head.pid)]
        for process in mine:
            try:
                process.send_signal(signal.SIGKILL)
            except psutil.NoSuchProcess:
                continue
        self._head.wait()


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[GrowingCluster]:
    cluster = GrowingCluster(tmp_path)
    yield cluster
    cluster.close()


def tell(started: float, what: str) -> None:
    """A line of the time line, seen with `pytest -s`."""
    sys.stderr.write(f"{time.monotonic() - started:4.0f} s: {what}\n")


def test_a_pool_grows_with_the_queue_and_shrinks_after_it(tmp_path: Path, cluster: GrowingCluster) -> None:
    corpus, output = tmp_path / "corpus.jsonl", tmp_path / "run"
    with corpus.open("w", encoding="utf-8") as file:
        for number in range(ROWS):
            row = {"id": str(number), "instruction": f"Frage {number}", "input": "", "output": "Die  Antwort"}
            file.write(json.dumps({**row, "language": "de"}) + "\n")
    command = [sys.executable, "-m", "midb_ray.cli", "boost", "--input", str(corpus), "--output", str(output)]
    command += ["--engine.kind", "echo", "--engine.echo-delay", "0.1", "--shard-rows", "10", "--progress-seconds", "5"]
    command += ["--pool.replicas", "1", str(MOST), "--pool.gpus-per-replica", "1", "--pool.shards-in-flight", "2"]
    job = subprocess.Popen([*command, "--address", cluster.address], env=cluster.environment)
    started, sizes, ended = time.monotonic(), [(0, 1)], None
    try:
        while ended is None or (sizes[-1][1] > 1 and time.monotonic() < ended + 180):
            time.sleep(1)
            if cluster.size() != sizes[-1]:
                sizes.append(cluster.size())
                tell(started, f"{sizes[-1][0]} actors, {sizes[-1][1]} nodes")
            if ended is None and job.poll() is not None:
                ended = time.monotonic()
                tell(started, "the job is through")
            assert time.monotonic() < started + 400
    finally:
        job.kill()
    assert job.returncode == 0
    actors = [size[0] for size in sizes]
    assert max(actors) == MOST
    assert max(size[1] for size in sizes) >= 1 + MOST
    assert 1 in actors[: actors.index(MOST)]  # it began with the lower bound
    assert sizes[-1] == (0, 1)
    books = RunBooks(output)
    assert books.rows == sorted(f"{corpus}:{line}" for line in range(1, ROWS + 1))
    assert len(books.summary["engines"]) >= MOST
