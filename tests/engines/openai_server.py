"""A real server that speaks chat completions on 127.0.0.1, stumbles where it is told to, and keeps its own books."""

from __future__ import annotations

import contextlib
import json
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


class Books:
    """What the server has done. `fault` names what goes wrong with the request of this number, by its prompt."""

    def __init__(self, fault: Callable[[int, str], str]) -> None:
        self.fault, self.lock = fault, threading.Lock()
        self.requests = self.inside = self.most_inside = self.prompt_tokens = self.answer_tokens = 0
        self.bodies: list[dict[str, Any]] = []
        self.keys: set[str | None] = set()
        self.url = ""


@contextlib.contextmanager
def serving(
    fault: Callable[[int, str], str] = lambda number, prompt: "",
    said: Callable[[str], str] = lambda prompt: f"answer to {prompt}",
) -> Iterator[Books]:
    """Serve meanwhile; `said` is the answer to a prompt."""
    books = Books(fault)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *_: Any) -> None: ...

        def do_POST(self) -> None:
            asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            prompt = asked["messages"][0]["content"]
            with books.lock:
                books.requests += 1
                number = books.requests
                books.inside += 1
                books.most_inside = max(books.most_inside, books.inside)
                books.bodies.append(asked)
                books.keys.add(self.headers.get("Authorization"))
            try:
                time.sleep(0.002)
                fault = books.fault(number, prompt)
            finally:
                with books.lock:
                    books.inside -= 1
            self.answer(fault, prompt)

        def answer(self, fault: str, prompt: str) -> None:
            if fault == "hang":
                time.sleep(0.6)
            if fault in ("hang", "reset"):
                self.close_connection = True
                return
            if fault.isdecimal():
                retry = {"Retry-After": "0.05"} if fault == "429" else {}
                self.send(int(fault), json.dumps({"error": {"message": f"fault {fault}"}}), retry)
                return
            with books.lock:
                books.prompt_tokens += len(prompt)
                books.answer_tokens += 7
            message = {"role": "assistant", "content": said(prompt)}
            reply = {
                "usage": {"prompt_tokens": len(prompt), "completion_tokens": 7},
                "choices": [{"message": message, "finish_reason": fault.removeprefix("finish ") or "stop"}],
            }
            if fault == "empty":
                reply["choices"] = []
            text = json.dumps(reply)
            self.send(200, text[:-1] if fault == "malformed" else text, {})

        def send(self, status: int, text: str, headers: dict[str, str]) -> None:
            self.send_response(status)
            for name, value in {**headers, "Content-Length": str(len(text.encode()))}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(text.encode())

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    books.url = f"http://127.0.0.1:{server.server_address[1]}/v1"
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield books
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
