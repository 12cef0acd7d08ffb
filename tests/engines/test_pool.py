"""The stream of shards through a pool: on a cluster, with engines, preparation and output of the tests' own."""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import os
import threading
import time
import urllib.request
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pyarrow as pa
import pytest

from midb_ray.engines import backpressure, bundles, loading, pool
from midb_ray.engines.base import Completion, Request
from midb_ray.engines.flight import pack
from midb_ray.engines.pool_settings import PoolSettings
from midb_ray.errors import UserError
from midb_ray.pairs import Pair
from midb_ray.runs import commit, folder, shards, storage
from midb_ray.runs.figures import Figures

pytestmark = pytest.mark.usefixtures("ray_cluster")

ROWS = 8


def _own_settings() -> tuple[Any, ...]:
    """What a stream sets for itself in Ray Data's context."""
    import ray.data

    context = ray.data.DataContext.get_current()
    return (
        *(context.target_max_block_size, context.enable_progress_bars, context.memory_usage_poll_interval_s),
        *(context.execution_options.preserve_order, context.autoscaling_config.actor_pool_util_upscaling_threshold),
    )


class Parts:
    """A run of `count` shards: what is around the engine writes down what it does in files that all processes see."""

    def __init__(self, path: Path, count: int) -> None:
        self.path, self.count = path, count
        self.run = folder.open_run(str(path / "run"), "boost", {}, {})
        plan = [shards.Shard(n, "f", "f", "lines", "alpaca", 0, 0, 1, 1, ROWS) for n in range(count)]
        shards.write_plan(storage.join(self.run.uri, folder.PLAN), [shards.to_table(plan)])
        for name in ("prepared", "generated"):
            (path / name).mkdir()

    def names(self, folder: str) -> list[str]:
        return [path.name for path in (self.path / folder).iterdir()]

    def stream(
        self, settings: PoolSettings, build: Callable | None = None, prompts: int | None = None
    ) -> list[Figures]:
        """All shards' figures. `prompts` is how many different ones there are; every one is different without it."""
        path, pairs_folder = self.path, Path(self.run.uri) / commit.PAIRS

        def committed() -> int:
            return len(list(pairs_folder.glob("part-*.parquet")))

        def prepare(shard):
            (path / "prepared" / str(shard.shard)).touch()
            numbers = [shard.shard * ROWS + row for row in range(ROWS)]
            pairs = [Pair(f"f:{n}", None, None, "de", "Frage", "", "Antwort", (), None) for n in numbers]
            asked = [Request(f"prompt {n if prompts is None else n % prompts}", None, 9) for n in numbers]
            return pack(shard.shard, pairs, [], asked)

        class Noting:
            isolated = False

            def __init__(self):
                import ray

                (path / "actor").write_text(ray.get_runtime_context().get_actor_id()[:12])

            async def generate(self, requests):
                await asyncio.sleep(0.5 if (path / "slowly").exists() else 0)
                for request in requests:
                    with (path / "generated" / request.text).open("a") as file:
                        file.write("x")
                return [Completion(f"answer to {request.text}", "stop", 3) for request in requests]

            def close(self): ...

        class Keep:
            def finish(self, flight, completions):
                while (path / "hold").exists() and committed() >= int((path / "hold").read_text()):  # a slow output
                    time.sleep(0.05)
                figures = Figures(rows_in=flight.pairs.num_rows)
                for completion, request in zip(completions, flight.requests, strict=True):
                    assert completion.text == f"answer to {request.text}"
                    figures.count("de", "boosted", ())
                return flight.pairs, flight.dead_letters, figures

        done = np.zeros(self.count, dtype=bool)
        before = _own_settings()
        found = list(pool.stream(self.run, self.count, done, prepare, build or Noting, Keep(), settings))
        assert _own_settings() == before  # a notebook's pipelines go on as they were
        assert sorted(shard for shard, _ in found) == list(range(self.count))
        return [figures for _, figures in found]

    @contextlib.contextmanager
    def streaming(self, settings: PoolSettings) -> Iterator[list[Figures]]:
        """Stream meanwhile; the figures are there at the end, when the output is no longer held."""
        figures: list[Figures] = []
        with ThreadPoolExecutor(1) as threads:
            running = threads.submit(self.stream, settings)
            try:
                yield figures
            finally:
                (self.path / "hold").unlink(missing_ok=True)
                figures += running.result(120)


def test_a_slow_output_holds_back_what_is_prepared(tmp_path: Path) -> None:
    parts = Parts(tmp_path, 60)
    (tmp_path / "hold").write_text("0")
    with parts.streaming(PoolSettings(shards_in_flight=2)) as found:
        seen, since, deadline = 0, time.monotonic(), time.monotonic() + 90
        while not seen or time.monotonic() - since < 4:
            assert time.monotonic() < deadline
            if len(parts.names("prepared")) > seen:
                seen, since = len(parts.names("prepared")), time.monotonic()
            time.sleep(0.1)
        assert 3 <= seen <= 16 + 3  # waiting, and with the actor
    assert len(found) == len(parts.names("prepared")) == 60


def test_ray_data_keeps_no_statistics_of_all_shards(tmp_path: Path) -> None:
    import gc

    from ray.data.block import BlockStats

    def kept() -> int:
        return sum(type(one) is BlockStats for one in gc.get_objects())

    before = kept()
    parts, most = Parts(tmp_path, 240), []
    looking = threading.Thread(target=parts.stream, args=(PoolSettings(),))
    looking.start()
    while looking.is_alive():
        most.append(kept() - before)
        looking.join(0.5)
    assert 0 < max(most) <= 2 * backpressure._LATEST + 100  # of two stages, and on their way


def test_equal_prompts_are_generated_once_in_a_run_of_several_engines(tmp_path: Path) -> None:
    parts = Parts(tmp_path, 40)
    found = parts.stream(PoolSettings(replicas=(2,), deduplicate="run"), prompts=100)
    times = Counter((tmp_path / "generated" / name).read_text() for name in parts.names("generated"))
    assert times == {"x": 100}
    total = Figures()
    for figures in found:
        total.add(figures)
    assert (total.rows_out, total.duplicates, total.generated_tokens) == (320, 220, 300)
    assert sum(engine.shards for engine in total.engines.values()) == 40
    assert sum(engine.rows for engine in total.engines.values()) == 320


@pytest.mark.slow
def test_prometheus_hears_of_each_engine(tmp_path: Path) -> None:
    import ray

    def told(name: str) -> list[float]:
        port = ray.nodes()[0]["MetricsExportPort"]
        lines = urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=30).read().decode().splitlines()
        engine = f'engine_actor="{(tmp_path / "actor").read_text()}"'
        return [
            float(line.split()[-1]) for line in lines if line.startswith(f"ray_midb_ray_{name}{{") and engine in line
        ]

    def heard(name: str) -> float:
        return sum(told(name))

    parts = Parts(tmp_path, 30)
    (tmp_path / "hold").write_text("20")
    deadline = time.monotonic() + 120
    with parts.streaming(PoolSettings(shards_in_flight=2)):
        while not (tmp_path / "actor").exists() or heard("rows_total") < 20 * ROWS:
            assert time.monotonic() < deadline
            time.sleep(0.5)
        committed = len(list((Path(parts.run.uri) / commit.PAIRS).glob("part-*.parquet")))  # no more: the output holds
        while heard("rows_total") < committed * ROWS:  # Ray tells it every few seconds
            assert time.monotonic() < deadline
            time.sleep(0.5)
        assert heard("rows_total") == committed * ROWS
        assert heard("generated_tokens_total") == committed * ROWS * 3
        assert heard("busy_seconds_total") > 0
        assert told("shards_in_flight")


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


def test_input_that_cannot_be_read_for_a_moment_is_read_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "rows.jsonl").write_text('{"a": 1}\n')
    size = (tmp_path / "rows.jsonl").stat().st_size
    shard = shards.Shard(7, "f", str(tmp_path / "rows.jsonl"), "lines", "alpaca", 0, size, 1, 1, 1)
    open_input, refusals = storage.open_input, [OSError("a bucket that answers 503")] * 2

    def refusing(uri: str):
        if uri == shard.uri and refusals:
            raise refusals.pop()
        return open_input(uri)

    monkeypatch.setattr(storage, "open_input", refusing)
    prepare = lambda given: pa.table({"rows": [len(list(shards.read(given)))]})  # noqa: E731
    planned = bundles.fold(shards.to_table([shard]))
    assert bundles.unfold(pool._prepared(str(tmp_path), prepare, 10, planned)).to_pylist() == [{"rows": 1}]
    refusals[:] = [OSError("a bucket that answers 503")] * 9
    (row,) = bundles.unfold(pool._prepared(str(tmp_path), prepare, 0, planned)).to_pylist()
    assert "read shard 7 in" in row["error"]
    assert "503" in row["error"]


def test_an_engine_that_hangs_ends_the_run(tmp_path: Path) -> None:
    def build():
        time.sleep(3600)

    with pytest.raises(UserError, match="did not come up within 2 seconds"):
        Parts(tmp_path, 4).stream(PoolSettings(start_timeout=2), build)
