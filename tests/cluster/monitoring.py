"""What a user would watch a cluster with: the dashboard's queries, a head of Ray's with a dashboard, and Prometheus beside it."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import subprocess
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import requests
import yaml

from tests import heads

FOLDER = Path(__file__).parents[2] / "cluster"
_AUTH = {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": "only-who-knows-this-may-ask-00000000"}
HEADERS = {"Authorization": f"Bearer {_AUTH['RAY_AUTH_TOKEN']}"}


def panels() -> list[dict[str, Any]]:
    """The dashboard's panels, without the headings."""
    board = json.loads((FOLDER / "grafana" / "midb_ray.json").read_text(encoding="utf-8"))
    return [panel for panel in board["panels"] if panel["type"] != "row"]


def queries() -> dict[str, str]:
    """Every query of the dashboard as Grafana sends it, by panel and letter."""
    return {
        f"{panel['title']} {target['refId']}": target["expr"].replace("$run", ".*").replace("$__rate_interval", "1m")
        for panel in panels()
        for target in panel["targets"]
    }


def alerts() -> dict[str, str]:
    """The expression of every alert."""
    (group,) = yaml.safe_load((FOLDER / "alerts.yaml").read_text(encoding="utf-8"))["groups"]
    return {rule["alert"]: rule["expr"] for rule in group["rules"]}


def tool(name: str) -> str:
    """Where a program of Debian's package prometheus is."""
    found = shutil.which(name)
    assert found, f"{name} is missing: apt-get install prometheus"
    return found


def promtool(*arguments: object) -> None:
    done = subprocess.run([tool("promtool"), *map(str, arguments)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def expect(folder: Path, series: dict[str, str], checks: Iterable[tuple[str, int, dict[str, float]]]) -> None:
    """That queries, at a minute, give values by labels; `series` by name are in promtool's short form, a value a minute. The
    alerts are evaluated meanwhile."""
    shutil.copy(FOLDER / "alerts.yaml", folder)
    test = {
        "interval": "1m",
        "input_series": [{"series": name, "values": values} for name, values in series.items()],
        "promql_expr_test": [
            {
                "expr": query,
                "eval_time": f"{minute}m",
                "exp_samples": [{"labels": labels, "value": value} for labels, value in values.items()],
            }
            for query, minute, values in checks
        ],
    }
    tests = {"rule_files": ["alerts.yaml"], "evaluation_interval": "1m", "tests": [test]}
    (folder / "test.yaml").write_text(yaml.safe_dump(tests))
    promtool("test", "rules", folder / "test.yaml")


class Head(NamedTuple):
    address: str
    url: str

    def environment(self) -> dict[str, str]:
        return {**os.environ, **_AUTH, "RAY_ADDRESS": self.address}


@contextlib.contextmanager
def head(temporary: Path) -> Iterator[Head]:
    """A cluster of one node with a dashboard and token authentication; `temporary` is short, as sockets lie in it."""
    with heads.head(temporary, {**os.environ, **_AUTH}) as made:
        yield Head(*made)


class Prometheus(NamedTuple):
    url: str

    def ask(self, query: str) -> list[Any]:
        """The series that a query has now. Raises for a query that Prometheus refuses."""
        answer = requests.get(f"{self.url}/api/v1/query", params={"query": query}, timeout=20).json()
        assert answer["status"] == "success", (query, answer)
        found: list[Any] = answer["data"]["result"]
        return found


@contextlib.contextmanager
def prometheus(of: Head, folder: Path) -> Iterator[Prometheus]:
    """Prometheus with the shipped configuration, but for the dashboard's port and a look each second."""
    content = (FOLDER / "prometheus.yaml").read_text(encoding="utf-8")
    for shipped, here in (
        ("url: http://127.0.0.1:8265/", f"url: {of.url}/"),
        ("scrape_interval: 10s", "scrape_interval: 1s"),
        ("refresh_interval: 30s", "refresh_interval: 1s"),
    ):
        assert content.count(shipped) == 1
        content = content.replace(shipped, here)
    (folder / "prometheus.yaml").write_text(content)
    (folder / "auth_token").write_text(f"{_AUTH['RAY_AUTH_TOKEN']}\n")
    shutil.copy(FOLDER / "alerts.yaml", folder)
    (port,) = heads.free_ports(1)
    command = [tool("prometheus"), f"--config.file={folder}/prometheus.yaml", f"--storage.tsdb.path={folder}/data"]
    with (folder / "prometheus.log").open("wb") as log:
        process = subprocess.Popen([*command, f"--web.listen-address=127.0.0.1:{port}"], stdout=log, stderr=log)
    try:
        heads.wait_for(lambda: heads.answers(f"http://127.0.0.1:{port}/-/ready"), process)
        yield Prometheus(f"http://127.0.0.1:{port}")
    finally:
        process.terminate()
        process.wait()
