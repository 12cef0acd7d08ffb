"""What the watcher does with a notice, against a metadata server that speaks the clouds' protocols; no cluster."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator

import pytest

from midb_ray.config import validate
from midb_ray.errors import UserError
from midb_ray.operations import metadata, notice, watch
from midb_ray.operations.draining import DrainError
from midb_ray.operations.watch_settings import WatchSettings
from tests.conftest import Told
from tests.operations.metadata_server import Metadata, azure_event, serving

NODE = "ab" * 28
NOW = 1767225600.0  # 2026-01-01T00:00:00Z
TWO_MINUTES = '{"action": "terminate", "time": "2026-01-01T00:02:00Z"}'
HALF_AN_HOUR = "Thu, 01 Jan 2026 00:30:00 GMT"


class Node:
    """A node of a cluster that does not answer for a while."""

    def __init__(self, silences: int = 0) -> None:
        self.silences = silences
        self.missing = False
        self.sought = 0
        self.drained: list[tuple[str, float | None]] = []

    def find(self) -> str:
        self.sought += 1
        if self.missing:
            raise DrainError("no living node of the cluster has an address of this machine")
        return NODE

    def drain(self, reason: str, deadline: float | None) -> str:
        if self.silences:
            self.silences -= 1
            raise DrainError("the cluster's GCS does not answer")
        self.drained.append((reason, deadline))
        return NODE


class Scene:
    """A watcher with its server, its node, its clock and its log."""

    def __init__(self, server: Metadata, log: Told) -> None:
        self.server = server
        self.log = log
        self.node = Node()
        self.now = NOW
        self.use()

    def use(self, **settings: object) -> None:
        ask = metadata.asker(self.server.endpoint)
        clouds = [kind(ask) for kind in notice.CLOUDS.values()]
        given = WatchSettings.model_validate({"interval": 0.9, **settings})  # less than a second: nothing waits
        self.watcher = watch.Watcher(given, clouds, self.node, lambda: self.now)

    def step(self, times: int = 1) -> float:
        return [self.watcher.step() for _ in range(times)][-1]

    def said(self, text: str) -> int:
        return sum(text in line for line in self.log)


@pytest.fixture
def at(listen: Callable[[object], Told], monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], Scene]]:
    """`at("aws")` is a watcher on a machine of that cloud."""
    monkeypatch.setattr(notice, "AZURE_FIRST_TIMEOUT", 2.0)
    entered = []

    def enter(cloud: str) -> Scene:
        entered.append(serving(cloud))
        return Scene(entered[-1].__enter__(), listen(watch))

    yield enter
    for server in entered:
        server.__exit__(None, None, None)


def test_a_notice_drains_the_node_once(at: Callable[[str], Scene]) -> None:
    scene = at("aws")
    scene.step(3)
    assert scene.node.drained == []
    scene.server.action = TWO_MINUTES
    scene.step(3)
    assert scene.node.drained == [("EC2 will terminate this instance", NOW + 120)]
    assert scene.said(f"Node {NODE} is draining") == 1


@pytest.mark.parametrize(
    ("cloud", "change", "deadline"),
    [
        ("gcp", {"preempted": "TRUE"}, NOW + 30),
        ("gcp", {"maintenance": "TERMINATE_ON_HOST_MAINTENANCE"}, NOW + 60),
        ("aws", {"action": '{"action": "hibernate"}'}, NOW),
        ("azure", {"events": [azure_event("Preempt", "")]}, 0),
    ],
)
def test_a_notice_that_names_no_time_drains_at_once(
    at: Callable[[str], Scene], cloud: str, change: dict[str, object], deadline: float
) -> None:
    scene = at(cloud)
    scene.server.change(**change)
    scene.step()
    scene.now += 7  # the deadline stays where it was
    scene.step()
    assert [until for _, until in scene.node.drained] == [deadline]


def test_an_early_notice_drains_when_its_time_comes(at: Callable[[str], Scene]) -> None:
    scene = at("azure")
    scene.server.events = [azure_event("Redeploy", HALF_AN_HOUR)]
    scene.step(2)
    scene.now = NOW + 1499
    scene.step()
    assert scene.node.drained == []
    scene.now = NOW + 1500
    scene.step(2)
    assert [until for _, until in scene.node.drained] == [NOW + 1800]


def test_a_notice_withdrawn_in_time_changes_nothing(at: Callable[[str], Scene]) -> None:
    scene = at("azure")
    scene.server.events = [azure_event("Reboot", HALF_AN_HOUR)]
    scene.step()
    scene.server.events = []
    scene.now = NOW + 1700
    scene.step()
    assert scene.node.drained == []
    assert scene.said("Withdrawn: Azure: Reboot of this machine; nothing was drained") == 1


def test_a_notice_withdrawn_too_late_is_said_and_the_next_one_drains_again(at: Callable[[str], Scene]) -> None:
    scene = at("azure")
    scene.server.events = [azure_event("Preempt", "", event="1")]
    scene.step()
    scene.server.events = []
    scene.step()
    assert scene.said(f"node {NODE} stays drained") == 1
    scene.server.events = [azure_event("Preempt", "", event="2")]
    scene.step()
    assert len(scene.node.drained) == 2


def test_a_cluster_that_does_not_answer_is_asked_again(at: Callable[[str], Scene]) -> None:
    scene = at("aws")
    scene.node.silences = 3
    scene.server.action = TWO_MINUTES
    assert scene.step() <= 2
    scene.server.fault = "500"  # whatever the metadata server does meanwhile
    scene.step(2)
    assert scene.node.drained == []
    scene.step(2)
    assert len(scene.node.drained) == 1
    assert scene.said("Not drained") == 1


def test_a_recommendation_is_said_and_the_notice_after_it_drains(at: Callable[[str], Scene]) -> None:
    scene = at("aws")
    scene.server.rebalance = '{"noticeTime": "2026-01-01T00:00:00Z"}'
    scene.step(2)
    assert scene.node.drained == []
    assert scene.said("recommends to leave") == 1
    scene.server.action = TWO_MINUTES
    scene.step()
    assert len(scene.node.drained) == 1


def test_a_recommendation_drains_where_that_is_wanted_and_the_notice_brings_the_deadline(
    at: Callable[[str], Scene],
) -> None:
    scene = at("aws")
    scene.use(rebalance="drain")
    scene.server.rebalance = '{"noticeTime": "2026-01-01T00:00:00Z"}'
    scene.step(2)
    scene.server.action = TWO_MINUTES
    scene.step(2)
    assert [until for _, until in scene.node.drained] == [None, NOW + 120]


@pytest.mark.parametrize("fault", ["500", "garbage", "nonsense"])
def test_trouble_is_said_once_and_looked_through_with_growing_pauses(at: Callable[[str], Scene], fault: str) -> None:
    scene = at("gcp")
    scene.step()
    scene.server.fault = fault
    pauses = [scene.step() for _ in range(8)]
    assert pauses == sorted(pauses)
    assert pauses[0] < pauses[-1] <= 10
    scene.server.fault = None
    scene.server.preempted = "TRUE"
    scene.step()
    assert len(scene.node.drained) == 1
    assert scene.said("No notice can be read") == 1
    assert scene.said("The metadata server answers (gcp)") == 2


def test_what_nobody_thought_of_ends_no_watch(at: Callable[[str], Scene], monkeypatch: pytest.MonkeyPatch) -> None:
    scene = at("azure")
    scene.step()
    with monkeypatch.context() as broken:
        broken.setattr(notice, "scheduled", lambda text, machine: text.no_such_thing)
        broken.setattr(scene.node, "find", lambda: 1 / 0)
        scene.step(2)
    assert scene.said("No notice can be read; the watch goes on (AttributeError: ") == 1
    scene.server.events = [azure_event("Preempt", "")]
    with monkeypatch.context() as broken:
        broken.setattr(scene.node, "drain", lambda reason, deadline: 1 / 0)
        scene.step()
    scene.step()
    assert scene.node.drained == [("Azure: Preempt of this machine", 0)]


def test_no_metadata_server_is_one_line(listen: Callable[[object], Told]) -> None:
    log, node = listen(watch), Node()
    clouds = [kind(metadata.asker("http://127.0.0.1:9")) for kind in notice.CLOUDS.values()]
    watcher = watch.Watcher(WatchSettings(), clouds, node)
    assert [watcher.step() for _ in range(6)][-1] == 60
    assert sum("No notice can be read" in line for line in log) == 1
    assert node.drained == []


def test_the_node_is_looked_for_before_it_matters(at: Callable[[str], Scene]) -> None:
    scene = at("aws")
    scene.node.missing = True
    scene.step(3)
    assert scene.node.sought == 1  # not with every look
    scene.now += 2
    scene.step()
    assert scene.node.sought == 2
    assert scene.said("The node to drain is not known yet") == 1
    scene.node.missing = False
    scene.now += 4
    scene.step(2)
    assert scene.node.sought == 3
    assert scene.said(f"On a notice node {NODE} will be drained") == 1


@pytest.mark.parametrize(
    "values",
    [
        *({"endpoint": f"http://{place}"} for place in ("host/path", "[", "host:port", "host:99999", ":80", "me@host")),
        *({"endpoint": "file:///etc/passwd"}, {"node_id": "short"}, {"interval": 0}),
    ],
)
def test_settings_that_cannot_be_are_refused(values: dict[str, object]) -> None:
    with pytest.raises(UserError):
        validate(WatchSettings, values)


def test_the_door_survives_a_cluster_and_a_server_that_are_not_there_and_ends_when_told() -> None:
    with serving("gcp") as server:
        server.preempted = "TRUE"
        command = [sys.executable, "-m", "midb_ray.cli", "watch", "--endpoint", server.endpoint, "--interval", "0.5"]
        environment = {**os.environ, "RAY_ADDRESS": "127.0.0.1:9"}
        process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=environment)
        try:
            assert process.stderr is not None
            while "Not drained" not in (line := process.stderr.readline()):
                assert line
            assert ":9 does not answer" in line
            server.fault = "hang"
            process.send_signal(signal.SIGTERM)
            assert process.wait(60) == 0
            assert "The watch is ended." in process.stderr.read()
        finally:
            process.kill()
            process.wait()
