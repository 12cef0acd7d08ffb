"""Reading from the Hugging Face hub: a stand-in that speaks the three requests which that takes."""

from __future__ import annotations

import hashlib
import http.server
import json
import threading
from collections.abc import Iterator
from typing import Any, ClassVar

import pytest

from midb_ray.errors import UserError
from midb_ray.runs import inputs, planning, shards, storage

CORPUS = "hf://datasets/me/corpus"


class Hub(http.server.BaseHTTPRequestHandler):
    """One data set, `me/corpus`."""

    files: ClassVar[dict[str, bytes]] = {}

    def do_GET(self) -> None:
        place = self.path.partition("?")[0].removeprefix("/api")
        if not place.startswith("/datasets/me/corpus"):
            self._say(404, {}, {"X-Error-Code": "RepoNotFound"})
        elif "/tree/main" in place:
            folder = place.partition("/tree/main")[2].strip("/")
            self._say(200, self._listing(f"{folder}/" if folder else "", "recursive=true" in self.path.lower()))
        elif "/resolve/main/" in place:
            first, last = self.headers["Range"].removeprefix("bytes=").split("-")
            self._say(206, self.files[place.partition("/resolve/main/")[2]][int(first) : int(last) + 1])
        else:
            self._say(200, {"id": "me/corpus", "sha": "0" * 40, "siblings": []})

    def _listing(self, prefix: str, recursive: bool) -> list[dict[str, Any]]:
        below = {name: content for name, content in self.files.items() if name.startswith(prefix)}
        folders = {name[len(prefix) :].split("/")[0] for name in below if "/" in name[len(prefix) :]}
        return [
            *({"type": "directory", "path": prefix + name, "oid": "0" * 40, "size": 0} for name in sorted(folders)),
            *(
                {"type": "file", "path": name, "oid": hashlib.sha1(content).hexdigest(), "size": len(content)}
                for name, content in below.items()
                if recursive or "/" not in name[len(prefix) :]
            ),
        ]

    def _say(self, status: int, content: Any, headers: dict[str, str] | None = None) -> None:
        body = content if isinstance(content, bytes) else json.dumps(content).encode()
        self.send_response(status)
        for name, value in {"Content-Length": str(len(body)), **(headers or {})}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None: ...


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, bytes]]:
    """The files of the data set, to be changed at will."""
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Hub)
    threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    monkeypatch.setenv("HF_ENDPOINT", f"http://127.0.0.1:{server.server_port}")
    monkeypatch.setattr(Hub, "files", {"data/de.jsonl": b'{"a": 1}\n\n{"a": 2}\n', "README.md": b"about"})
    storage._file_system.cache_clear()
    yield Hub.files
    server.shutdown()
    server.server_close()
    storage._file_system.cache_clear()


def test_a_data_set_on_the_hub_is_found_planned_and_read(hub: dict[str, bytes]) -> None:
    assert [file.name for file in inputs.find((CORPUS,))] == [f"{CORPUS}/README.md", f"{CORPUS}/data/de.jsonl"]
    (file,) = inputs.find((f"{CORPUS}/data/*.jsonl",))
    assert (file.size, inputs.layout(file)) == (len(hub["data/de.jsonl"]), ("lines", "none"))
    tasks = planning.scans(file, file.uri, "lines", "alpaca", 1, 1.0, None)
    plan = list(planning.assemble(tasks, map(planning.scan, tasks)))
    assert [row for shard in plan for row in shards.read(shard)] == [
        ("1", 1, 0, b'{"a": 1}'),
        ("3", 3, 10, b'{"a": 2}'),
    ]


def test_a_changed_file_of_the_same_size_has_another_version(hub: dict[str, bytes]) -> None:
    before = storage.info(f"{CORPUS}/README.md")
    hub["README.md"] = b"ABOUT"
    storage._file_system.cache_clear()
    from huggingface_hub import HfFileSystem

    HfFileSystem.clear_instance_cache()  # as a new process would
    after = storage.info(f"{CORPUS}/README.md")
    assert before is not None
    assert after is not None
    assert (before.size, before.version != after.version) == (after.size, True)


@pytest.mark.parametrize("place", [f"{CORPUS}/nothing.jsonl", "hf://datasets/me/nothing"])
@pytest.mark.usefixtures("hub")
def test_what_is_not_on_the_hub_is_one_sentence(place: str) -> None:
    with pytest.raises(UserError, match=r"does not exist or holds no file"):
        inputs.find((place,))
    with pytest.raises(FileNotFoundError):
        storage.read_bytes(place)


def test_a_hub_that_is_away_is_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")  # nothing listens on the discard port
    storage._file_system.cache_clear()
    with pytest.raises(UserError, match=rf"^Cannot read the input {CORPUS}: ConnectError: .*[^.]\.$"):
        inputs.find((CORPUS,))
    storage._file_system.cache_clear()


def test_the_hub_is_for_reading_only() -> None:
    with pytest.raises(
        UserError, match=r"^hf://datasets/a/b: hf:// can only be read; write to a path, s3:// or gs://\.$"
    ):
        storage.write_bytes("hf://datasets/a/b", b"")
