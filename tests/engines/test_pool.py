"""The stream of shards through a pool: on a cluster, with engines, preparation and output of the tests' own."""

from __future__ import annotations

import itertools
import threading
import time
import urllib.request
from collections import Counter
from pathlib import Path

import pyarrow as pa
import pytest

from midb_ray.engines import backpressure, bundles, pool
from midb_ray.engines.pool_settings import PoolSettings
from midb_ray.runs import commit, shards, storage
from midb_ray.runs.figures import Figures
from tests.engines.parts import ROWS, Parts

pytestmark = pytest.mark.usefixtures("ray_cluster")


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


def test_a_small_run_is_prepared_by_one_process_at_a_time(tmp_path: Path) -> None:
    parts = Parts(tmp_path, 16)
    parts.pause = 0.3
    parts.stream(PoolSettings(shards_in_flight=8))
    moments = [
        tuple(map(float, (tmp_path / "prepared" / name).read_text().split())) for name in parts.names("prepared")
    ]
    assert len(moments) == 16
    assert all(end <= begun for (_, end), (begun, _) in itertools.pairwise(sorted(moments)))


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
