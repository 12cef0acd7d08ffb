"""The three clouds' protocols, against a server that speaks them."""

from __future__ import annotations

import threading
import types
from collections.abc import Iterator

import pytest

from midb_ray.operations import metadata, notice
from midb_ray.operations.metadata import MetadataError
from tests.operations.metadata_server import MACHINE, Metadata, azure_event, serving

ACTION = '{"action": "terminate", "time": "2026-01-01T00:02:00Z"}'
AT = 1767225720.0  # the same moment


@pytest.fixture
def aws() -> Iterator[Metadata]:
    with serving("aws") as server:
        yield server


@pytest.fixture
def gcp() -> Iterator[Metadata]:
    with serving("gcp") as server:
        yield server


@pytest.fixture
def azure(monkeypatch: pytest.MonkeyPatch) -> Iterator[Metadata]:
    monkeypatch.setattr(notice, "AZURE_FIRST_TIMEOUT", 2.0)
    with serving("azure") as server:
        yield server


def cloud(server: Metadata) -> notice.Cloud:
    return notice.CLOUDS[server.cloud](metadata.asker(server.endpoint))


def test_ec2_says_nothing_until_it_takes_the_instance(aws: Metadata) -> None:
    ec2 = cloud(aws)
    assert ec2.look(0) is None
    aws.rebalance = '{"noticeTime": "2026-01-01T00:00:00Z"}'
    recommended = ec2.look(0)
    assert recommended is not None
    assert (recommended.certain, recommended.deadline) == (False, None)
    aws.action = ACTION
    assert ec2.look(0) == notice.Notice(f"terminate {AT}", "EC2 will terminate this instance", AT)
    assert aws.tokens_given == 1


def test_a_token_that_runs_out_is_renewed(aws: Metadata) -> None:
    ec2 = cloud(aws)
    ec2.look(0)
    aws.tokens.clear()
    aws.action = ACTION
    found = ec2.look(0)
    assert found is not None
    assert found.deadline == AT
    assert aws.tokens_given == 2


def test_a_token_is_renewed_before_it_runs_out(aws: Metadata, monkeypatch: pytest.MonkeyPatch) -> None:
    now = 1000.0
    monkeypatch.setattr(notice, "time", types.SimpleNamespace(monotonic=lambda: now))
    ec2 = cloud(aws)
    ec2.look(0)
    now += notice.AWS_TOKEN_SECONDS * 0.75
    ec2.look(0)
    assert aws.tokens_given == 2


def test_a_hibernation_begins_at_once() -> None:
    assert notice.interruption('{"action": "hibernate"}').deadline is None


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "{}",
        '{"action": "terminate"}',
        '{"action": "terminate", "time": "soon"}',
        '{"action": "terminate", "time": "9999-12-31T23:59:59-14:00"}',  # year 10000 in UTC
        '{"action": 1}',
        "[" * 99999,
    ],
)
def test_what_ec2_never_says_is_no_notice(text: str) -> None:
    with pytest.raises(MetadataError):
        notice.interruption(text)


def test_compute_engine_preempts(gcp: Metadata) -> None:
    engine = cloud(gcp)
    assert engine.look(0) is None
    gcp.preempted = "TRUE"
    found = engine.look(0)
    assert found is not None
    assert (found.key, found.deadline, found.grace) == ("preempted", None, 30)


def test_a_preemption_ends_the_wait_for_it(gcp: Metadata) -> None:
    engine = cloud(gcp)
    assert engine.look(0) is None

    def preempt() -> None:
        gcp.waiting.wait()
        gcp.change(preempted="TRUE")

    threading.Thread(target=preempt, daemon=True).start()
    found = engine.look(60)
    assert found is not None
    assert found.key == "preempted"


def test_a_change_between_two_looks_is_seen(gcp: Metadata) -> None:
    engine = cloud(gcp)
    engine.look(0)
    gcp.preempted = "TRUE"
    assert engine.look(60) is not None
    assert not gcp.waiting.is_set()


def test_a_tag_of_any_form_is_sent_back_as_it_came(gcp: Metadata) -> None:
    gcp.etag = "bad tag&"
    engine = cloud(gcp)
    engine.look(0)
    gcp.preempted = "TRUE"
    assert engine.look(60) is not None


def test_a_tag_that_makes_trouble_is_not_sent_again(gcp: Metadata) -> None:
    gcp.etag = "refused-"
    engine = cloud(gcp)
    engine.look(0)
    gcp.preempted = "TRUE"
    with pytest.raises(MetadataError):
        engine.look(60)
    assert engine.look(60) is not None


@pytest.mark.parametrize(
    ("event", "key"), [("MIGRATE_ON_HOST_MAINTENANCE", None), ("TERMINATE_ON_HOST_MAINTENANCE", "maintenance")]
)
def test_only_maintenance_that_ends_the_machine_is_a_notice(gcp: Metadata, event: str, key: str | None) -> None:
    gcp.maintenance = event
    found = cloud(gcp).look(0)
    assert (found and found.key) == key


def test_azure_names_the_machines(azure: Metadata) -> None:
    vm = cloud(azure)
    later, sooner = "Thu, 01 Jan 2026 00:15:00 GMT", "Thu, 01 Jan 2026 00:02:00 GMT"
    assert vm.look(0) is None
    azure.events = [azure_event("Preempt", sooner, ("another",)), azure_event("Freeze", sooner)]
    assert vm.look(0) is None
    azure.events = [
        azure_event("Reboot", later, event="B"),
        azure_event("Preempt", sooner, ("another", MACHINE.lower()), event="C"),
    ]
    assert vm.look(0) == notice.Notice("C", "Azure: Preempt of this machine", AT)


def test_an_azure_event_without_a_time_has_begun(azure: Metadata) -> None:
    azure.events = [azure_event("Terminate", "")]
    found = cloud(azure).look(0)
    assert found is not None
    assert found.deadline == 0


NEVER = [azure_event("Preempt", before) for before in ("soon", 5, ["x"], "Fri, 31 Dec 9999 23:59:59 -2300")]


@pytest.mark.parametrize("events", [None, 7, [7], [{}], *([event] for event in NEVER), [{"EventType": "Preempt"}]])
def test_what_azure_never_says_is_no_notice(azure: Metadata, events: object) -> None:
    azure.events = events
    with pytest.raises(MetadataError):
        cloud(azure).look(0)


@pytest.mark.parametrize("name", list(notice.CLOUDS))
@pytest.mark.parametrize("fault", ["500", "garbage", "nonsense", "redirect"])
def test_a_broken_server_is_no_notice(name: str, fault: str) -> None:
    with serving(name) as server:
        here = cloud(server)
        assert here.look(0) is None
        server.fault = fault
        with pytest.raises(MetadataError):
            here.look(0)
        assert "/latest/elsewhere" not in server.asked
        server.fault = None
        server.change(action=ACTION, preempted="TRUE", events=[azure_event("Preempt", "")])
        assert here.look(0) is not None


@pytest.mark.parametrize("fault", ["hang", "endless", "drip"])
def test_a_server_that_never_ends_its_answer_is_given_up(fault: str, gcp: Metadata) -> None:
    gcp.fault = fault
    with pytest.raises(MetadataError):
        metadata.asker(gcp.endpoint)(
            "/computeMetadata/v1/instance/preempted", {"Metadata-Flavor": "Google"}, timeout=0.3
        )
    assert not gcp.dripped  # it was given up long before


def test_the_proxy_of_the_environment_is_passed_by(gcp: Metadata, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    monkeypatch.delenv("no_proxy", raising=False)
    assert cloud(gcp).look(0) is None


def test_each_cloud_knows_its_own_server() -> None:
    for name in notice.CLOUDS:
        with serving(name) as server:
            for other, kind in notice.CLOUDS.items():
                here = kind(metadata.asker(server.endpoint))
                if other == name:
                    here.greet()
                else:
                    with pytest.raises(MetadataError):
                        here.greet()
