"""An engine is loaded in its turn and in time, or a sentence says what it said last."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Sequence
from pathlib import Path

import pytest

from midb_ray.engines import loading
from midb_ray.engines.base import Completion, Request
from midb_ray.engines.pool_settings import PoolSettings
from midb_ray.errors import UserError


class Silent:
    """An engine that only has to come up."""

    isolated = False

    async def generate(self, requests: Sequence[Request]) -> list[Completion]:
        raise NotImplementedError

    def close(self) -> None: ...


@pytest.fixture(autouse=True)
def own_temporary_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Locks of this test's own."""
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", None)
    return tmp_path


def test_an_engine_that_comes_up_leaves_nothing_behind(own_temporary_folder: Path) -> None:
    engine = Silent()
    assert loading.load(lambda: engine, PoolSettings(), "run") is engine
    assert not list(own_temporary_folder.glob("*.log"))


def test_an_engine_that_hangs_ends_with_its_last_words() -> None:
    released = threading.Event()

    def build() -> Silent:
        subprocess.run(["sh", "-c", "echo waiting for rank 1 >&2"], check=True)
        released.wait()
        return Silent()

    with pytest.raises(UserError) as failure:
        loading.load(build, PoolSettings(start_timeout=1.5), "run")
    released.set()
    text = str(failure.value)
    assert "did not come up within 1.5 seconds" in text
    assert 'its last words: "waiting for rank 1"' in text
    assert "pool.start_timeout" in text


def test_an_engine_that_fails_is_one_sentence_with_the_reason_and_the_words() -> None:
    def build() -> Silent:
        os.write(2, b"no kernel image is available\n")
        raise RuntimeError("Engine core\ninitialization failed.")

    with pytest.raises(UserError) as failure:
        loading.load(build, PoolSettings(), "run")
    assert "RuntimeError: Engine core initialization failed;" in str(failure.value)
    assert 'its last words: "no kernel image is available".' in str(failure.value)


def test_what_the_engine_itself_says_to_the_user_stays_as_it_is() -> None:
    def build() -> Silent:
        raise UserError("Cannot load the model.")

    with pytest.raises(UserError, match=r"^Cannot load the model\.$"):
        loading.load(build, PoolSettings(), "run")


LOADER = """
import sys, time
from midb_ray.engines import loading
from midb_ray.engines.pool_settings import PoolSettings

def build():
    print("begin", flush=True)
    sys.stdin.readline()
    print("end", flush=True)

loading.load(build, PoolSettings(loads_at_once=int(sys.argv[1]), start_timeout=120), "run")
"""


class Loader:
    """A process that begins to load when it is its turn, and ends when it is told to."""

    def __init__(self, at_once: int) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", textwrap.dedent(LOADER), str(at_once)],
            stdin=subprocess.PIPE,
            stderr=subprocess.PIPE,  # the keeper passes on what stdout says as well
            text=True,
        )
        self.said: list[str] = []
        self._ear = threading.Thread(target=self._listen, daemon=True)
        self._ear.start()

    def _listen(self) -> None:
        assert self.process.stderr is not None
        for line in self.process.stderr:
            self.said.append(line.strip())

    def has_begun(self) -> bool:
        return "begin" in self.said

    def end(self) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write("\n")
        self.process.stdin.flush()
        assert self.process.wait(30) == 0


def begun(loaders: list[Loader]) -> list[Loader]:
    """Those that are loading."""
    return [loader for loader in loaders if loader.process.poll() is None and loader.has_begun()]


def wait_until(condition) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


@pytest.fixture
def loaders():
    started: list[Loader] = []

    def start(count: int, at_once: int) -> list[Loader]:
        started.extend(Loader(at_once) for _ in range(count))
        return started

    yield start
    for loader in started:
        if loader.process.poll() is None:
            loader.process.kill()
            loader.process.wait()


@pytest.mark.parametrize("at_once", [1, 2])
def test_engines_of_one_node_load_in_turn(loaders, at_once: int) -> None:
    loading = list(loaders(3, at_once))
    for expected in [at_once, at_once, 1]:
        wait_until(lambda expected=expected: len(begun(loading)) >= expected)
        time.sleep(0.5)  # whoever does not wait for its turn begins now
        assert len(begun(loading)) == expected
        begun(loading)[0].end()


def test_the_turn_of_a_killed_process_passes_on(loaders) -> None:
    both = loaders(2, 1)
    wait_until(lambda: any(loader.has_begun() for loader in both))
    first, second = sorted(both, key=lambda loader: not loader.has_begun())
    first.process.send_signal(signal.SIGKILL)
    first.process.wait()
    wait_until(second.has_begun)
    second.end()
