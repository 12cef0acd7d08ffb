"""Storage on an object store: a real endpoint process, and a wire to it that breaks."""

from __future__ import annotations

import gc
import http.server
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from midb_ray.errors import UserError
from midb_ray.runs import folder, inputs, storage

PART = 10 << 20  # bytes; what is smaller goes in one request
BIG = b"new " * (PART * 5 // 8)  # two parts and a half


@pytest.fixture
def refusing(use_endpoint: Callable[..., None]) -> Iterator[Any]:
    """An endpoint that answers every request with `status` and counts them."""

    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def _answer(self) -> None:
            server.requests += 1
            self.rfile.read(int(self.headers.get("Content-Length") or 0))
            self.send_response(server.status)
            self.send_header("Content-Length", "0")
            self.end_headers()

        do_GET = do_HEAD = do_PUT = do_POST = do_DELETE = _answer  # noqa: N815

        def log_message(self, *_: Any) -> None: ...

    server: Any = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.requests, server.status = 0, 403
    threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    use_endpoint(server.server_port, attempts=8)
    yield server
    server.shutdown()
    server.server_close()


def test_what_is_written_is_read_listed_replaced_and_deleted(s3: str) -> None:
    for name in ("run/a", "run/b c/ü [1]#?%20+&=.x", "run/b c/empty.gz", "runs/other"):
        storage.write_bytes(f"{s3}/{name}", name.encode() if "empty" not in name else b"")
    assert [(file.uri, file.size) for file in storage.list_files(f"{s3}/run", recursive=True)] == [
        (f"{s3}/run/a", 5),
        (f"{s3}/run/b c/empty.gz", 0),
        (f"{s3}/run/b c/ü [1]#?%20+&=.x", 24),
    ]
    assert [file.uri for file in storage.list_files(f"{s3}/run/")] == [f"{s3}/run/a"]
    assert storage.list_folders(f"{s3}/run") == ["b c"]
    assert storage.is_folder(f"{s3}/run")
    assert not storage.is_folder(f"{s3}/run/a")
    storage.write_bytes(f"{s3}/run/a", b"longer than before")
    assert storage.read_bytes(f"{s3}/run/a", 7, 4) == b"than"
    assert storage.read_bytes(f"{s3}/run/b c/empty.gz") == b""  # the name's ending asks for no compression
    storage.delete(f"{s3}/run/a")
    storage.delete_folder(f"{s3}/run/b c")
    assert storage.list_files(f"{s3}/run", recursive=True) == []
    assert storage.info(f"{s3}/runs/other") is not None


def test_what_is_absent_is_said_at_once(s3: str, wire: Any, use_endpoint: Callable[..., None]) -> None:
    def sent(attempts: int) -> int:
        """Bytes of all requests for what is not there."""
        use_endpoint(wire.port, attempts)
        wire.up = 1 << 30
        for place in (f"{s3}/nothing", "s3://no-such-bucket/nothing"):
            assert storage.info(place) is None
            assert not storage.is_folder(place)
            assert storage.list_files(place) == []
            storage.delete(place)
            with pytest.raises(FileNotFoundError):
                storage.read_bytes(place)
            with pytest.raises(UserError, match="does not exist or holds no file"):
                inputs.find((place,))
        with pytest.raises(
            UserError, match=r"^Cannot use the output folder s3://no-such-bucket/run: .*NO_SUCH_BUCKET.*\.$"
        ):
            folder.open_run("s3://no-such-bucket/run", "boost", {}, {})
        return (1 << 30) - wire.up

    assert 0 < sent(attempts=1) == sent(attempts=8)  # nothing is tried again


@pytest.mark.parametrize("old", [None, b"old"])
@pytest.mark.parametrize("passed", [0, 2_000, PART // 2, 2 * PART + PART // 2])
def test_a_write_that_breaks_leaves_nothing_or_the_old_object(
    s3: str, wire: Any, use_endpoint: Callable[..., None], old: bytes | None, passed: int
) -> None:
    place = f"{s3}/pairs/part-00000000.parquet"
    if old is not None:
        storage.write_bytes(place, old)
    use_endpoint(wire.port, attempts=1)
    wire.up = passed
    with pytest.raises(OSError, match="AWS Error NETWORK_CONNECTION"):
        storage.write_bytes(place, BIG)
    wire.mend()
    gc.collect()  # a stream that is destroyed closes itself, and closing commits
    use_endpoint(wire.port)
    assert (storage.read_bytes(place) if storage.info(place) else None) == old


def test_a_small_write_that_breaks_leaves_the_old_object(s3: str, wire: Any) -> None:
    storage.write_bytes(f"{s3}/small", b"old")
    wire.up = 100_000
    with pytest.raises(OSError, match="PutObject"):
        storage.write_bytes(f"{s3}/small", b"new" * 100_000)
    wire.mend()
    gc.collect()
    assert storage.read_bytes(f"{s3}/small") == b"old"


def test_a_process_that_ends_after_a_broken_write_leaves_nothing(s3: str, wire: Any) -> None:
    program = f"""
import sys
from midb_ray.runs import storage
storage.ATTEMPTS = 1
print("cut", flush=True); sys.stdin.readline()
try:
    storage.write_bytes("{s3}/torn", bytes({len(BIG)}))
except OSError:
    print("broken", flush=True); sys.stdin.readline()
"""
    with subprocess.Popen([sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        for said, act in ((b"cut\n", wire.cut), (b"broken\n", wire.mend)):
            assert process.stdout.readline() == said
            act()
            process.stdin.write(b"\n")
            process.stdin.flush()
        assert process.wait(60) == 0
    assert storage.info(f"{s3}/torn") is None


def test_trouble_of_some_seconds_is_ridden_out(s3: str, wire: Any, use_endpoint: Callable[..., None]) -> None:
    use_endpoint(wire.port, attempts=8)
    storage.write_bytes(f"{s3}/corpus", BIG)
    wire.cut()
    threading.Timer(1.5, wire.mend).start()
    storage.write_bytes(f"{s3}/part", b"a")
    assert storage.read_bytes(f"{s3}/part") == b"a"
    with storage.open_input(f"{s3}/corpus") as stream:
        head = stream.read(1000)
        wire.down = PART  # breaks off in the middle of the answer
        threading.Timer(0.5, wire.mend).start()
        assert head + stream.read() == BIG


def test_an_endpoint_that_is_away_is_one_sentence(s3: str, wire: Any) -> None:
    wire.cut()
    with pytest.raises(UserError, match=r"^Cannot read the input s3://\S+: .* AWS Error NETWORK_CONNECTION .*\.$"):
        inputs.find((f"{s3}/corpus.jsonl",))
    with pytest.raises(
        UserError, match=r"^Cannot use the output folder s3://\S+: .* AWS Error NETWORK_CONNECTION .*\.$"
    ):
        folder.open_run(f"{s3}/run", "boost", {}, {})


def test_wrong_credentials_are_said_at_once(refusing: Any) -> None:
    with pytest.raises(UserError, match=r"^Cannot read the input s3://bucket/corpus.jsonl: .*ACCESS_DENIED"):
        inputs.find(("s3://bucket/corpus.jsonl",))
    with pytest.raises(UserError, match=r"^Cannot use the output folder s3://bucket/run: .*ACCESS_DENIED"):
        folder.open_run("s3://bucket/run", "boost", {}, {})
    with pytest.raises(OSError, match="ACCESS_DENIED"):
        storage.write_bytes("s3://bucket/run/part", b"a")
    assert refusing.requests <= 6  # nothing is tried again


def test_a_bucket_in_another_region_says_what_to_set(refusing: Any) -> None:
    refusing.status = 301
    with pytest.raises(UserError, match="set AWS_REGION"):
        inputs.find(("s3://bucket/corpus.jsonl",))


def test_an_overloaded_store_is_tried_again(refusing: Any, use_endpoint: Callable[..., None]) -> None:
    refusing.status = 503
    use_endpoint(refusing.server_port, attempts=3)
    with pytest.raises(OSError, match="503"):
        storage.info("s3://bucket/corpus.jsonl")
    assert refusing.requests == 3


def test_google_storage_resolves_like_the_others() -> None:
    system, path = storage.resolve("gs://bucket/run/")
    assert (system.type_name, path) == ("gcs", "bucket/run")
    assert storage.join("gs://bucket/run/", "pairs", "a") == "gs://bucket/run/pairs/a"
    assert not storage.is_local("gs://bucket/run")
