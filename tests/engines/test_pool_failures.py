"""Engines that die, hang or never come up: what becomes of the stream and of the other engines."""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import os
import threading
import time
from pathlib import Path

import psutil
import pytest

from midb_ray.engines import loading
from midb_ray.engines.base import Completion
from midb_ray.engines.pool_settings import PoolSettings
from midb_ray.errors import UserError
from midb_ray.runs.figures import Figures
from tests.engines.parts import ROWS, Parts

pytestmark = pytest.mark.usefixtures("ray_cluster")


def below(name: str) -> list[psutil.Process]:
    """The processes of this one's cluster with such a command line."""
    found = []
    for process in psutil.Process().children(recursive=True):
        with contextlib.suppress(psutil.NoSuchProcess):
            if name in "".join(process.cmdline()):
                found.append(process)
    return found


@pytest.mark.slow
@pytest.mark.parametrize("name", ["MapWorker", "AnswerStore"])
def test_the_death_of_an_engine_or_of_the_answers_costs_nobody_an_answer(tmp_path: Path, name: str) -> None:
    parts = Parts(tmp_path, 60)
    (tmp_path / "slowly").touch()
    found: list[Figures] = []
    settings = PoolSettings(replicas=(2,), shards_in_flight=2, deduplicate="run")
    run = threading.Thread(target=lambda: found.extend(parts.stream(settings, prompts=150)))
    run.start()
    deadline = time.monotonic() + 120
    while len(parts.names("generated")) < 40:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    below(f"ray::{name}")[0].kill()
    (tmp_path / "slowly").unlink()
    run.join(180)
    total = Figures()
    for figures in found:
        total.add(figures)
    assert total.rows_out == 60 * ROWS
    assert len(parts.names("generated")) == 150
    again = sum(len((tmp_path / "generated" / one).read_text()) - 1 for one in parts.names("generated"))
    assert again <= (
        2 * 2 * ROWS if name == "MapWorker" else 150
    )  # what was inside the engines, or what was known by then
    assert total.duplicates >= 60 * ROWS - 150 - again


def test_an_engine_that_dies_while_it_loads_ends_the_run_with_its_last_words(tmp_path: Path) -> None:
    def build():
        os.write(2, b"terminate called: no space left on the device\n")
        os._exit(1)

    with pytest.raises(UserError) as failure:
        Parts(tmp_path, 4).stream(PoolSettings(), build)
    assert "took its process down 3 times while it was loading" in str(failure.value)
    assert "terminate called: no space left on the device" in str(failure.value)


@pytest.mark.slow
def test_an_engine_that_holds_the_interpreter_ends_the_run(tmp_path: Path) -> None:
    def build():
        ctypes.PyDLL(None).sleep(3600)

    with pytest.raises(UserError, match="took its process down 3 times while it was loading"):
        Parts(tmp_path, 4).stream(PoolSettings(start_timeout=2), build)


@pytest.mark.slow
def test_an_engine_that_cannot_be_loaded_again_at_once_is_tried_again(tmp_path: Path) -> None:
    class Dying:
        isolated = False

        async def generate(self, requests):
            if not (tmp_path / "died").exists():
                (tmp_path / "died").touch()
                os._exit(1)
            return [Completion(f"answer to {request.text}", "stop", 3) for request in requests]

        def close(self): ...

    def build():
        if (tmp_path / "died").exists() and not (tmp_path / "refused").exists():
            (tmp_path / "refused").touch()
            raise RuntimeError("the memory is not free yet")
        return Dying()

    figures = Parts(tmp_path, 6).stream(PoolSettings(), build)
    assert sum(one.rows_out for one in figures) == 6 * ROWS
    assert (tmp_path / "refused").exists()


@pytest.mark.slow
def test_an_engine_that_dies_of_everything_ends_the_run(tmp_path: Path) -> None:
    class Dying:
        isolated = False

        async def generate(self, requests):
            os._exit(1)

        def close(self): ...

    with pytest.raises(UserError, match="died 10 times in a row without answering a single request"):
        Parts(tmp_path, 4).stream(PoolSettings(), Dying)


@pytest.mark.slow
def test_an_engine_that_never_comes_up_does_not_end_what_another_one_does(tmp_path: Path) -> None:
    class Slow:
        isolated = False

        async def generate(self, requests):
            (tmp_path / "begun").touch()
            while len(parts.names("failed")) <= loading.GIVE_UP:
                await asyncio.sleep(0.2)
            return [Completion(f"answer to {request.text}", "stop", 3) for request in requests]

        def close(self): ...

    def build():
        import ray

        actor = ray.get_runtime_context().get_actor_id()
        with contextlib.suppress(FileExistsError):
            (tmp_path / "good").symlink_to(actor)
        if str((tmp_path / "good").readlink()) == actor:
            return Slow()
        while not (tmp_path / "begun").exists():
            time.sleep(0.1)
        (tmp_path / "failed" / str(time.monotonic())).touch()
        raise RuntimeError("this GPU is broken")

    parts = Parts(tmp_path, 12)
    (tmp_path / "failed").mkdir()
    figures = parts.stream(PoolSettings(replicas=(2,)), build)
    assert sum(one.rows_out for one in figures) == 12 * ROWS
    assert len(parts.names("failed")) > loading.GIVE_UP


def test_an_engine_that_hangs_ends_the_run(tmp_path: Path) -> None:
    def build():
        time.sleep(3600)

    with pytest.raises(UserError, match="did not come up within 2 seconds"):
        Parts(tmp_path, 4).stream(PoolSettings(start_timeout=2), build)
