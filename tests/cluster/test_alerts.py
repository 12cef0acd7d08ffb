"""Alerts and queries against series of which it is known what they should make of them, with Prometheus' own tool."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cluster import monitoring

pytestmark = pytest.mark.slow

BEGAN = 'ray_midb_ray_start_time_seconds{job_name="%s", run="r", WorkerId="%d"}'
ENDED = 'ray_midb_ray_end_time_seconds{job_name="%s", run="r", WorkerId="%d"}'


@pytest.mark.parametrize("job", ["boost", "train"])
@pytest.mark.parametrize(
    ("drivers", "quiet", "firing"),
    [
        ([("1000x20", "")], (4, 20, 29), (32, 60, 190)),  # killed at 20 minutes
        ([("1000x20", "_x20 2200")], (20, 32, 60), ()),  # ended in order
        ([("1000x20", ""), ("_x26 2560x20", "")], (32, 40, 55), (58,)),  # killed, resumed, killed
        ([("1000x20", ""), ("_x26 2560x20", "_x46 3760")], (32, 58, 120), ()),  # killed, resumed, ended
        ([("1000x20", "_x20 2200"), ("_x26 2560x20", "")], (32, 55), (58,)),  # ended at a cap, resumed, killed
        ([("1000x200", "")], (60, 195), ()),  # long at work
    ],
)
def test_a_run_is_lost_unless_it_goes_on_or_ended_in_order(tmp_path: Path, job, drivers, quiet, firing) -> None:
    series = {}
    for number, (began, ended) in enumerate(drivers):
        series[BEGAN % (job, number)] = began
        series[ENDED % (job, number)] = ended or "_"
    lost = 'count by (job_name, run) (ALERTS{alertname="RunLost", alertstate="firing"})'
    checks = [(lost, minute, {}) for minute in quiet]
    checks += [(lost, minute, {f'{{job_name="{job}", run="r"}}': 1}) for minute in firing]
    monitoring.expect(tmp_path, series, checks)


def test_an_engine_that_crashes_on_one_node_after_the_other_is_seen(tmp_path: Path) -> None:
    restarts = 'ray_midb_ray_engine_restarts{run="r", engine_node="%s", engine_actor="x"}'
    series = {restarts % "a": "0x5", restarts % "b": "_x6 2x5", restarts % "c": "_x12 6x5"}
    fired = 'count by (run, engine_actor) (ALERTS{alertname="EnginesRestarting", alertstate="firing"})'
    monitoring.expect(tmp_path, series, [(fired, 8, {}), (fired, 15, {'{engine_actor="x", run="r"}': 1})])


def test_no_time_is_left_to_tell_while_nothing_moves(tmp_path: Path) -> None:
    series = {
        'ray_midb_ray_rows_done{run="r"}': "400x30 400+60x30",
        'ray_midb_ray_rows_planned{run="r"}': "4000x90",
    }
    left = monitoring.queries()["Time left A"]
    monitoring.expect(tmp_path, series, [(left, 25, {}), (left, 50, {'{run="r"}': 4000 - 1540})])


def test_dead_letters_are_those_of_the_driver_that_runs(tmp_path: Path) -> None:
    labels = 'job_name="boost", run="r", WorkerId="%d"'
    dead, done = (f"ray_midb_ray_{name}{{{labels}}}" for name in ("dead_letters_total", "rows_done"))
    series = {dead % 1: "5x60", done % 1: "9x10 stale", dead % 2: "_x20 3x40", done % 2: "_x20 9x20 stale"}
    query = monitoring.queries()["Dead letters by reason A"]
    series = {name.replace("total{", 'total{reason="too_long", '): values for name, values in series.items()}
    shown = '{reason="too_long"}'
    monitoring.expect(tmp_path, series, [(query, 5, {shown: 5}), (query, 30, {shown: 3}), (query, 50, {})])
