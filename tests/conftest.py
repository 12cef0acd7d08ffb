"""What all tests share: one Ray cluster for the session, and an S3 endpoint in a process of its own behind a wire that can be
cut."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import boto3
import hypothesis
import pytest

from midb_ray.runs import storage

os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
os.environ["RAY_AUTH_MODE"] = "disabled"  # whether or not this home has a token file
os.environ.pop("RAY_ADDRESS", None)
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
signal.signal(signal.SIGINT, signal.default_int_handler)  # ignored in what a shell started in the background
hypothesis.settings.register_profile("busy", deadline=None)  # other processes take their share of the machine's time
hypothesis.settings.load_profile("busy")


class Told(list[str]):
    """A logger that only remembers what it was told: Ray and Ray Data set up logging as they like."""

    def info(self, text: str, *values: object, **_: object) -> None:
        self.append(text % values)

    warning = error = info


@pytest.fixture
def listen(monkeypatch: pytest.MonkeyPatch) -> Callable[[object], Told]:
    """`listen(module)` is what the module logs from now on."""

    def to(module: object) -> Told:
        heard = Told()
        monkeypatch.setattr(module, "logger", heard)
        return heard

    return to


@pytest.fixture
def tell(capsys: pytest.CaptureFixture[str]) -> Callable[[str], None]:
    """`tell(text)` puts a figure past pytest's capture: how long a recovery took is shown and not judged."""

    def past_capture(text: str) -> None:
        with capsys.disabled():
            sys.stderr.write(f"\n{text}\n")

    return past_capture


_KEPT = {"num_workers_soft_limit": 12, "idle_worker_killing_time_threshold_ms": 300_000}
"""Processes wait for the next test's tasks: by default they end after a second, and to start some took most of a test's time."""


@pytest.fixture(scope="session")
def ray_cluster() -> Iterator[None]:
    """A cluster that the whole session shares; jobs that connect while it is up use it."""
    import ray

    temporary = Path(os.environ.get("TMPDIR", "/tmp")) / f"midb-{os.getpid()}"  # socket paths must stay short
    ray.init(
        address="local",
        num_cpus=4,
        num_gpus=2,
        include_dashboard=False,
        log_to_driver=False,
        _temp_dir=str(temporary),
        _system_config=_KEPT,
    )
    yield
    ray.shutdown()


@pytest.fixture
def other_cluster() -> Iterator[Callable[..., Any]]:
    """`other_cluster(**head)` starts a cluster beside the session's; more nodes are added to what it returns."""
    from ray.cluster_utils import Cluster
    from ray.experimental import internal_kv

    started: list[Any] = []

    def start(**head: object) -> Any:
        started.append(Cluster(initialize_head=True, head_node_args={"include_dashboard": False, **head}))
        return started[-1]

    shared = internal_kv.internal_kv_get_gcs_client()
    yield start
    for cluster in started:
        cluster.shutdown()
    if shared is not None:  # a process has one key-value store: the other's start takes it, and its end leaves none
        internal_kv._initialize_internal_kv(shared)


class Wire:
    """A TCP proxy in front of an endpoint. `up` and `down` are how many more bytes pass in each direction (None: any number);
    where they end, the connection breaks, and no byte passes until they are set anew. `pause` is how many seconds each block waits
    on its way up."""

    def __init__(self, port: int) -> None:
        self.pause = 0.0
        self.up: int | None = None
        self.down: int | None = None
        self.connections = 0
        self._upstream = port
        self._server = socket.create_server(("127.0.0.1", 0))
        self.port = self._server.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def cut(self) -> None:
        """Nothing passes from now on."""
        self.up = self.down = 0

    def mend(self) -> None:
        """Everything passes again."""
        self.up = self.down = None

    def close(self) -> None:
        self._server.close()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._server.accept()
            except OSError:
                return
            self.connections += 1
            server = socket.create_connection(("127.0.0.1", self._upstream))
            for source, sink, direction in ((client, server, "up"), (server, client, "down")):
                threading.Thread(target=self._carry, args=(source, sink, direction), daemon=True).start()

    def _carry(self, source: socket.socket, sink: socket.socket, direction: str) -> None:
        with contextlib.suppress(OSError):
            while block := source.recv(1 << 16):
                left = getattr(self, direction)
                passes = block if left is None else block[:left]
                if left is not None:
                    setattr(self, direction, left - len(passes))
                if direction == "up" and self.pause:
                    time.sleep(self.pause)
                sink.sendall(passes)
                if len(passes) < len(block):  # who has sent all of it would wait for an answer
                    break
        for end in (source, sink):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)


@pytest.fixture(scope="session")
def s3_port(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    """moto's server on loopback."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    log = tmp_path_factory.mktemp("s3") / "server.log"
    with log.open("wb") as output:
        server = subprocess.Popen(
            [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)], stdout=output, stderr=output
        )
    try:
        for _ in range(600):
            with socket.socket() as knock:
                if knock.connect_ex(("127.0.0.1", port)) == 0:
                    break
            assert server.poll() is None, log.read_text()
            time.sleep(0.1)
        yield port
    finally:
        server.terminate()
        server.wait(30)


@pytest.fixture
def wire(s3_port: int) -> Iterator[Wire]:
    """The way to the S3 endpoint."""
    wire = Wire(s3_port)
    yield wire
    wire.close()


@pytest.fixture
def use_endpoint(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., None]]:
    """`use_endpoint(port, attempts=2)`: storage speaks to this port from now on, and tries each request so many times."""

    def use(port: int, attempts: int = 2) -> None:
        monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{port}")
        monkeypatch.setattr(storage, "ATTEMPTS", attempts)
        storage._file_system.cache_clear()

    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "somebody")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    yield use
    storage._file_system.cache_clear()


@pytest.fixture
def s3(wire: Wire, use_endpoint: Callable[..., None]) -> str:
    """The URI of an empty bucket of the test's own, over `wire`."""
    use_endpoint(wire.port)
    bucket = f"bucket-{wire.port}"
    boto3.client("s3", endpoint_url=os.environ["AWS_ENDPOINT_URL"], region_name="us-east-1").create_bucket(
        Bucket=bucket
    )
    return f"s3://{bucket}"
