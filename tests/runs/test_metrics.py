"""What Prometheus is told: nothing where there is no Ray, gauges again and again where there is."""

from __future__ import annotations

import gc
import threading
import time
import weakref

import pytest

from midb_ray.runs import metrics
from midb_ray.runs.metrics import Metrics


class Recorded(list):
    """Stands for Ray's own metrics, which only Prometheus can read."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        super().__init__()
        monkeypatch.setattr(Metrics, "_record", lambda _, name, value, labels: self.append((name, value, labels)))
        monkeypatch.setattr(metrics, "_has_ray", lambda: True)
        monkeypatch.setattr(metrics, "_pause", lambda: 0.01)


def test_without_ray_nothing_is_told_and_no_thread_starts(monkeypatch) -> None:
    monkeypatch.setattr(metrics, "_has_ray", lambda: False)  # other tests have started it
    before = threading.active_count()
    told = Metrics(run="r")
    told.set("midb_ray_rows_done", 3)
    told.count("midb_ray_rows", 3)
    assert threading.active_count() == before
    assert not told._made


def test_a_gauge_is_told_again_until_nobody_needs_it(monkeypatch) -> None:
    recorded = Recorded(monkeypatch)
    told = Metrics(run="r", job_name="boost")
    told.set("midb_ray_rows_done", 3)
    told.set("midb_ray_rows_done", 4)
    told.count("midb_ray_pairs", 1, language="de", decision="boosted")
    while recorded.count(("midb_ray_rows_done", 4, {})) < 4:
        time.sleep(0.01)
    assert recorded.count(("midb_ray_rows_done", 3, {})) == 1
    assert recorded.count(("midb_ray_pairs", 1, {"language": "de", "decision": "boosted"})) == 1
    kept = weakref.ref(told)
    del told
    while kept() is not None:
        gc.collect()
        time.sleep(0.01)


def test_a_name_that_does_not_stand_in_the_table_is_a_mistake() -> None:
    with pytest.raises(KeyError):
        Metrics().set("midb_ray_unknown", 1)
    with pytest.raises(AssertionError):
        Metrics().count("midb_ray_rows_done", 1)


@pytest.mark.parametrize(
    ("uri", "label"),
    [
        ("s3://key:secret@bucket/run", "s3://bucket/run"),
        ("s3://key:s/e/c@bucket/run", "s3://bucket/run"),
        ("s3://key:s@e/c?r@bucket/run", "s3://bucket/run"),
        ("s3://key@bucket", "s3://bucket"),
        ("s3://bucket/run?secret_key=secret&region=x", "s3://bucket/run"),
        ("s3://key:secret@bucket/run?session_token=t", "s3://bucket/run"),
        ("s3://bucket/me@home/run:2", "s3://bucket/me@home/run:2"),
        ("hf://datasets/me/set@v1/run", "hf://datasets/me/set@v1/run"),
        ("/shared/me@home/run?", "/shared/me@home/run?"),
    ],
)
def test_labels_show_no_part_of_a_secret(uri: str, label: str) -> None:
    assert Metrics(run=uri)._labels["run"] == label


def test_labels_carry_no_credentials(ray_cluster) -> None:
    told = Metrics(job_name="boost", run="s3://key:secret@bucket/run")
    assert told._labels["run"] == "s3://bucket/run"
    told.set("midb_ray_rows_done", 3)  # Ray takes it
    told.count("midb_ray_pairs", 0, language="de", decision="boosted")
    with pytest.raises(ValueError, match="language"):
        told.count("midb_ray_pairs", 1, decision="boosted")
