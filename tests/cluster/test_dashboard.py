"""The dashboard, the alerts and their docs against the metrics that there are, and against Prometheus and a running job."""

from __future__ import annotations

import itertools
import json
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest
import requests
import yaml

import midb_ray
from midb_ray.runs.metrics import METRICS
from tests import heads
from tests.cluster import monitoring

PACKAGE = Path(midb_ray.__file__).parent
DOCS = (PACKAGE.parent / "docs" / "operations-metrics.md").read_text(encoding="utf-8")
SERIES = {metric.series(name): metric for name, metric in METRICS.items()}
OURS = re.compile(r"\bray_midb_ray_\w+")


def test_the_dashboard_shows_every_metric_and_no_other() -> None:
    of_the_alerts_alone = {"ray_midb_ray_end_time_seconds"}  # it lasts no longer than a look
    shown = set(OURS.findall(" ".join(monitoring.queries().values())))
    assert shown == set(SERIES) - of_the_alerts_alone


def test_the_alerts_know_no_metric_that_does_not_exist() -> None:
    assert set(OURS.findall(" ".join(monitoring.alerts().values()))) <= set(SERIES)


def test_the_docs_describe_every_metric_as_it_is_and_every_alert() -> None:
    rows = [
        [cell.strip(" `") for cell in line.split("|")[1:-1]] for line in DOCS.splitlines() if line.startswith("| `")
    ]
    described = {row[0]: row[1:3] for row in rows if len(row) == 5}
    assert described == {name: [one.kind, ", ".join(one.labels)] for name, one in SERIES.items()}
    assert {row[0] for row in rows if len(row) == 3} == set(monitoring.alerts())
    assert set(OURS.findall(DOCS)) == set(SERIES)


def test_every_metric_is_told_by_some_code() -> None:
    files = [file for file in PACKAGE.rglob("*.py") if file.name != "metrics.py" or file.parent.name != "runs"]
    told = set(re.findall(r'"(midb_ray_\w+)"', "\n".join(file.read_text(encoding="utf-8") for file in files)))
    assert told == set(METRICS)


def test_the_labels_of_the_dashboard_exist() -> None:
    known = {"instance", *itertools.chain.from_iterable(metric.labels for metric in METRICS.values())}
    for name, query in monitoring.queries().items():
        for labels in re.findall(r"\bby \(([^)]*)\)", query):
            assert set(labels.split(", ")) <= known, name
    for panel in monitoring.panels():
        for target in panel["targets"]:
            assert set(re.findall(r"{{(\w+)}}", target["legendFormat"])) <= known, panel["title"]


def test_panels_have_titles_and_places_of_their_own() -> None:
    panels = json.loads((monitoring.FOLDER / "grafana" / "midb_ray.json").read_text(encoding="utf-8"))["panels"]
    assert len({panel["id"] for panel in panels}) == len({panel["title"] for panel in panels}) == len(panels)
    taken = [
        (x, y)
        for place in (panel["gridPos"] for panel in panels)
        for x in range(place["x"], place["x"] + place["w"])
        for y in range(place["y"], place["y"] + place["h"])
    ]
    assert len(taken) == len(set(taken))
    assert max(x for x, _ in taken) < 24


@pytest.mark.slow
def test_prometheus_takes_the_configuration_the_alerts_and_every_query(tmp_path: Path) -> None:
    monitoring.promtool("check", "config", monitoring.FOLDER / "prometheus.yaml")
    rules = [{"record": f"q:{number}", "expr": query} for number, query in enumerate(monitoring.queries().values())]
    (tmp_path / "queries.yaml").write_text(yaml.safe_dump({"groups": [{"name": "dashboard", "rules": rules}]}))
    monitoring.promtool("check", "rules", tmp_path / "queries.yaml")


JOB = '{job_name="boost", run="s3://b/run", WorkerId="%s"}'
NODE = '{instance="10.0.0.%d"}'


@pytest.mark.slow
@pytest.mark.parametrize(
    ("alert", "series", "minute", "labels"),
    [
        (
            "NoProgress",
            {
                "ray_midb_ray_rows_planned" + JOB % "1": "100x90",
                "ray_midb_ray_rows_done" + JOB % "1": "0+5x6 30x80",  # nothing after the seventh minute
            },
            60,
            {"job_name": "boost", "run": "s3://b/run"},
        ),
        (
            "NoTrainingStep",
            {
                "ray_midb_ray_training_steps_planned" + JOB % "1": "100x90",
                "ray_midb_ray_training_steps_done" + JOB % "1": "3x90",
            },
            60,
            {"run": "s3://b/run"},
        ),
        (
            "DeadLettersOverBudget",
            {
                "ray_midb_ray_dead_letter_budget" + JOB % "1": "0.01x90",
                "ray_midb_ray_dead_letter_share" + JOB % "1": "0x20 0.02x60",
                "ray_midb_ray_rows_done" + JOB % "1": "0+100x90",
            },
            40,
            {"job_name": "boost", "run": "s3://b/run"},
        ),
        (
            "EnginesRestarting",  # each process of an actor has a series of its own
            {
                f'ray_midb_ray_engine_restarts{{run="r", engine_node="n", engine_actor="a", WorkerId="{one}"}}': " ".join(
                    ["_x9"] * one + [f"{one}x9"]
                )
                for one in range(4)
            },
            38,
            {"run": "r", "engine_actor": "a"},
        ),
        (
            "DiskNearlyFull",
            {
                "ray_node_disk_free" + NODE % 1: "9x60",
                "ray_node_disk_usage" + NODE % 1: "91x60",
                "ray_node_disk_free" + NODE % 2: "50x60",
                "ray_node_disk_usage" + NODE % 2: "50x60",
            },
            30,
            {"instance": "10.0.0.1"},
        ),
        (
            "NodeMissing",
            {'up{job="ray", instance="10.0.0.1"}': "1x9 0x50", 'up{job="ray", instance="10.0.0.2"}': "1x60"},
            30,
            {"job": "ray", "instance": "10.0.0.1"},
        ),
    ],
)
def test_an_alert_fires_when_it_should_and_not_before(tmp_path: Path, alert, series, minute, labels) -> None:
    firing = f'count(ALERTS{{alertname="{alert}", alertstate="firing"}})'
    shown = ", ".join(f'{name}="{text}"' for name, text in labels.items())
    checks = [(firing, 4, {}), (firing, minute, {"{}": 1.0})]
    checks.append((f"count by ({', '.join(labels)}) (ALERTS)", minute, {f"{{{shown}}}": 1.0}))
    monitoring.expect(tmp_path, series, checks)


TRAINING = """
import sys, time, ray
from midb_ray.training.flops import Work
from midb_ray.training.loop import Step
from midb_ray.training.metrics import Meter
ray.init(log_to_driver=False)
meter = Meter(sys.argv[1], 1000, 0, 1, Work(1, 1), None)
for step in range(1, 1000):
    meter.add(step, Step(4.0 / step, 1.5, 1e-4, 6, 100, 40, False))
    if step == 2:
        meter.validated(step, {"de": 3.0, "ja": 2.0}, 2.5, 0.1)
    time.sleep(0.5)
"""


@pytest.mark.slow
def test_every_query_of_the_dashboard_has_data_while_a_job_runs(tmp_path: Path) -> None:
    with tempfile.TemporaryDirectory(prefix="midb-", dir="/tmp", ignore_cleanup_errors=True) as short:
        with monitoring.head(Path(short)) as head, monitoring.prometheus(head, tmp_path) as prometheus:
            samples = PACKAGE / "samples" / "corpus.jsonl"
            boost = ["-m", "midb_ray.cli", "boost", "--input", samples, "--output", tmp_path / "run", "--shard-rows", 4]
            boost += ["--engine.kind", "echo", "--engine.echo-delay", 2, "--pool.gpus-per-replica", 0]
            boost += ["--pool.shards-in-flight", 4, "--progress-seconds", 2, "--max-dead-letters", 0.1]
            environment = {**head.environment(), "MIDB_RAY_LOG": "json"}
            logs = [(tmp_path / name).open("w+", encoding="utf-8") for name in ("boost.log", "train.log")]
            commands = [boost, ["-c", TRAINING, tmp_path / "trained"]]
            jobs = [
                subprocess.Popen([sys.executable, *map(str, command)], env=environment, stderr=log)
                for command, log in zip(commands, logs, strict=True)
            ]
            try:
                missing = dict(monitoring.queries())
                # Longer than Ray remembers a gauge that was set once, as this one is.
                missing["kept"] = "count_over_time(ray_midb_ray_engine_restarts[5m]) > 45"
                end = time.monotonic() + 200
                while missing:
                    assert all(job.poll() is None for job in jobs), Path(logs[0].name).read_text(encoding="utf-8")
                    assert time.monotonic() < end, missing
                    missing = {name: query for name, query in missing.items() if not prometheus.ask(query)}
                    time.sleep(1)
                assert not prometheus.ask("ALERTS")
                assert prometheus.ask("ray_midb_ray_rows_planned")[0]["value"][1] == "440"
                assert all("otel_scope_name" not in one["metric"] for one in prometheus.ask("ray_midb_ray_rows_done"))
                tasks = requests.get(
                    f"{head.url}/api/v0/tasks?limit=1000", headers=monitoring.HEADERS, timeout=30
                ).json()["data"]["result"]["result"]
                names = {task["name"] for task in tasks}
                assert {"scan", "Read the plan", "Read and prepare"} <= names
                assert "MapWorker(Generate and commit).submit" in names
                assert not any("MapBatches" in name or "partial" in name for name in names)
                jobs[0].terminate()
                ended = 'last_over_time(ray_midb_ray_end_time_seconds{job_name="boost"}[5m])'
                heads.wait_for(lambda: prometheus.ask(ended), jobs[1])
            finally:
                for job, log in zip(jobs, logs, strict=True):
                    job.terminate()
                    job.wait()
                    log.close()
    lines = (tmp_path / "boost.log").read_text(encoding="utf-8").splitlines()
    for line in lines:
        if not re.match(r"\[.*\.cc:\d+: ", line):  # Ray's core writes to stderr itself
            assert {"time", "level", "message", "host"} <= json.loads(line).keys()
    assert any(json.loads(line).get("figures", {}).get("rows") == 440 for line in lines if line[0] == "{")
