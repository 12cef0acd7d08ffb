"""A metadata server that speaks as the clouds document theirs, on loopback; what it answers can be changed while it runs."""

from __future__ import annotations

import contextlib
import json
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

MACHINE = "Worker_3"


class Metadata:
    """`cloud` is whose server this is; `fault` what is wrong with it: 500, hang, garbage, nonsense, redirect, endless or drip."""

    def __init__(self, cloud: str) -> None:
        self.cloud = cloud
        self.fault: str | None = None
        self.action: str | None = None  # EC2
        self.rebalance: str | None = None
        self.tokens: set[str] = set()
        self.tokens_given = 0
        self.preempted = "FALSE"  # Compute Engine
        self.maintenance = "NONE"
        self.etag = "etag-"  # and the value
        self.waiting = threading.Event()  # somebody waits for a change
        self.changed = threading.Condition()
        self.events: Any = []  # Azure
        self.asked: list[str] = []
        self.end = threading.Event()
        self.endpoint = ""
        self.dripped = False

    def change(self, **values: object) -> None:
        with self.changed:
            for name, value in values.items():
                setattr(self, name, value)
            self.changed.notify_all()

    def answer(self, method: str, url: str, headers: Any) -> tuple[int, str, dict[str, str]]:
        """The status, text and headers of the answer."""
        path, query = urlsplit(url).path, {name: values[0] for name, values in parse_qs(urlsplit(url).query).items()}
        self.asked.append(path)
        if path.startswith("/latest/") and self.cloud == "aws":
            return self._aws(method, path, headers)
        if path.startswith("/computeMetadata/v1/instance/") and self.cloud == "gcp":
            return self._gcp(path, query, headers)
        if path.startswith("/metadata/") and self.cloud == "azure":
            return self._azure(path, query, headers)
        return 404, "not found", {}

    def _aws(self, method: str, path: str, headers: Any) -> tuple[int, str, dict[str, str]]:
        if method == "PUT" and path == "/latest/api/token":
            if not 1 <= int(headers.get("X-aws-ec2-metadata-token-ttl-seconds", "0")) <= 21600:
                return 400, "", {}
            self.tokens_given += 1
            self.tokens.add(token := f"token-{self.tokens_given}")
            return 200, token, {}
        if headers.get("X-aws-ec2-metadata-token") not in self.tokens:
            return 401, "", {}
        found = {
            "/latest/meta-data/spot/instance-action": self.action,
            "/latest/meta-data/events/recommendations/rebalance": self.rebalance,
        }.get(path)
        return (404, "", {}) if found is None else (200, found, {})

    def _gcp(self, path: str, query: dict[str, str], headers: Any) -> tuple[int, str, dict[str, str]]:
        if headers.get("Metadata-Flavor") != "Google":
            return 403, "Forbidden", {}
        if query.get("last_etag", "").startswith("refused"):
            return 400, "Bad Request", {}
        name = {"preempted": "preempted", "maintenance-event": "maintenance"}[path.rsplit("/", 1)[1]]
        with self.changed:
            if query.get("wait_for_change") == "true" and query["last_etag"] == f"{self.etag}{getattr(self, name)}":
                self.waiting.set()
                self.changed.wait(float(query["timeout_sec"]))
            value = getattr(self, name)
        return 200, value, {"ETag": f"{self.etag}{value}", "Metadata-Flavor": "Google"}

    def _azure(self, path: str, query: dict[str, str], headers: Any) -> tuple[int, str, dict[str, str]]:
        if headers.get("Metadata") != "true" or "api-version" not in query:
            return 400, "", {}
        if path == "/metadata/instance/compute/name" and query.get("format") == "text":
            return 200, MACHINE, {}
        if path == "/metadata/scheduledevents":
            return 200, json.dumps({"DocumentIncarnation": 1, "Events": self.events}), {}
        return 404, "", {}


def azure_event(kind: str, before: str, machines: tuple[str, ...] = (MACHINE,), event: str = "A123") -> dict[str, Any]:
    return {
        "EventId": event,
        "EventStatus": "Scheduled" if before else "Started",
        "EventType": kind,
        "ResourceType": "VirtualMachine",
        "Resources": list(machines),
        "NotBefore": before,
        "EventSource": "Platform",
    }


@contextlib.contextmanager
def serving(cloud: str) -> Iterator[Metadata]:
    """A running server."""
    state = Metadata(cloud)

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            if state.fault == "hang":
                state.end.wait()
                return
            if state.fault == "nonsense":
                self.wfile.write(b"\x00\xff\x13 this is not HTTP\r\n\r\n")
                return
            if state.fault == "drip":  # each byte of the headers comes within a socket's time-out
                with contextlib.suppress(OSError):
                    for byte in b"HTTP/1.1 200 OK\r\nX: " + b"x" * 200:
                        self.wfile.write(bytes([byte]))
                        time.sleep(0.05)
                    state.dripped = True
                return
            status, text, headers = state.answer(self.command, self.path, self.headers)
            if state.fault == "500":
                status, text = 500, "Internal Server Error"
            elif state.fault == "redirect":
                status, headers = 302, {"Location": f"{state.endpoint}/latest/elsewhere"}
            elif state.fault == "garbage":
                status, text = 200, "\ufffd<html>Log in</html>"
            body = text.encode()
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            if state.fault == "endless":
                self.end_headers()
                with contextlib.suppress(OSError):
                    while not state.end.is_set():
                        self.wfile.write(b"x")
                        time.sleep(0.1)
                return
            self.send_header("Content-Length", str(len(body)))
            with contextlib.suppress(OSError):  # who asked may have left
                self.end_headers()
                self.wfile.write(body)

        do_PUT = do_GET  # noqa: N815

        def log_message(self, *_: object) -> None: ...

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    state.endpoint = f"http://127.0.0.1:{server.server_port}"
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    try:
        yield state
    finally:
        state.end.set()
        server.shutdown()
        server.server_close()
