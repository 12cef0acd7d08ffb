"""The clouds' notices that a virtual machine is about to be taken away, read from its metadata server.

Nothing is acknowledged: on Azure an acknowledgement begins the event at once and takes away the time that is left.
"""

from __future__ import annotations

import datetime
import email.utils
import json
import time
import urllib.parse
from typing import Any, Final, NamedTuple, Protocol

from midb_ray.operations.metadata import TIMEOUT, Ask, MetadataError, Reply

GCP_PREEMPTION_SECONDS: Final = 30.0
GCP_MAINTENANCE_SECONDS: Final = 60.0
"""GPU machines have up to an hour; the server does not say which, and who leaves early loses nothing."""
AWS_TOKEN_SECONDS: Final = 6 * 3600
AZURE_EVENTS: Final = frozenset({"Preempt", "Terminate", "Reboot", "Redeploy"})
"""A Freeze is a pause of seconds, after which the node is as it was."""
AZURE_FIRST_TIMEOUT: Final = 130.0
"""Azure turns a machine's events on when they are first asked for, and may take two minutes over that answer."""


class Notice(NamedTuple):
    """This machine will be taken away. Two notices are the same if their `key` is."""

    key: str
    text: str
    deadline: float | None
    """Seconds since 1970 at which it may be gone; none: `grace` seconds after the notice was first seen."""
    grace: float = 0.0
    certain: bool = True
    """False for a recommendation to leave: capacity is short, and no time is set."""


class Cloud(Protocol):
    """One cloud's protocol. Both methods raise `MetadataError` where the server does not answer in it."""

    name: str

    def greet(self) -> None:
        """Whether this is the cloud's server at all."""

    def look(self, patience: float) -> Notice | None:
        """The most urgent notice, if any. A server that can wait for a change may take `patience` seconds."""


class Aws:
    """EC2: the notice of an interruption, two minutes before, and the recommendation to rebalance."""

    name = "aws"

    def __init__(self, ask: Ask) -> None:
        self._ask = ask
        self._token = ""
        self._renew_at = 0.0

    def greet(self) -> None:
        wanted = {"X-aws-ec2-metadata-token-ttl-seconds": str(AWS_TOKEN_SECONDS)}
        reply = _good(self._ask("/latest/api/token", wanted, method="PUT"), "the token")
        self._token = reply.text.strip()
        self._renew_at = time.monotonic() + AWS_TOKEN_SECONDS / 2

    def look(self, patience: float) -> Notice | None:
        action = self._get("/latest/meta-data/spot/instance-action")
        if action.status != 404:
            return interruption(_good(action, "instance-action").text)
        rebalance = self._get("/latest/meta-data/events/recommendations/rebalance")
        return None if rebalance.status == 404 else recommendation(_good(rebalance, "rebalance").text)

    def _get(self, path: str) -> Reply:
        if not self._token or time.monotonic() > self._renew_at:
            self.greet()
        reply = self._ask(path, {"X-aws-ec2-metadata-token": self._token})
        if reply.status == 401:  # the token ran out early, or the server began anew
            self.greet()
            reply = self._ask(path, {"X-aws-ec2-metadata-token": self._token})
        return reply


def interruption(text: str) -> Notice:
    """EC2's `{"action": "terminate", "time": "2026-01-01T00:00:00Z"}`. A hibernation begins with its notice."""
    found = _object(text, "instance-action")
    action = str(found.get("action", ""))
    if action not in ("terminate", "stop", "hibernate"):
        raise MetadataError(f"instance-action: expected terminate, stop or hibernate, found {action[:40]!r}")
    at = None if action == "hibernate" and "time" not in found else _iso(found.get("time"), "instance-action")
    return Notice(f"{action} {at}", f"EC2 will {action} this instance", at)


def recommendation(text: str) -> Notice:
    """EC2's `{"noticeTime": "2026-01-01T00:00:00Z"}`."""
    at = _iso(_object(text, "rebalance").get("noticeTime"), "rebalance")
    return Notice(f"rebalance {at}", "EC2 recommends to leave this instance", None, certain=False)


class Gcp:
    """Compute Engine: a spot machine's preemption, 30 seconds before, and maintenance that ends the machine."""

    name = "gcp"
    _headers: Final = {"Metadata-Flavor": "Google"}
    _instance = "/computeMetadata/v1/instance"

    def __init__(self, ask: Ask) -> None:
        self._ask = ask
        self._etag = ""

    def greet(self) -> None:
        reply = _good(self._ask(f"{self._instance}/preempted", self._headers), "preempted")
        if reply.headers.get("metadata-flavor") != "Google":
            raise MetadataError("the server is not Google's")

    def look(self, patience: float) -> Notice | None:
        maintenance = _good(self._ask(f"{self._instance}/maintenance-event", self._headers), "maintenance-event")
        if found := ending(maintenance.text):  # first: what follows may wait
            patience = 0
        # With the last answer's ETag a change between two looks is not missed.
        etag, self._etag = urllib.parse.quote(self._etag, safe=""), ""  # trouble may come of it, and asks for another
        wait = f"?wait_for_change=true&timeout_sec={patience:.0f}&last_etag={etag}"
        path = f"{self._instance}/preempted" + (wait if etag and patience >= 1 else "")
        reply = _good(self._ask(path, self._headers, timeout=TIMEOUT + patience), "preempted")
        self._etag = reply.headers.get("etag", "")
        return preemption(reply.text) or found


def preemption(text: str) -> Notice | None:
    """Compute Engine's `preempted`: TRUE or FALSE."""
    if (value := text.strip().upper()) not in ("TRUE", "FALSE"):
        raise MetadataError(f"preempted: expected TRUE or FALSE, found {text[:40]!r}")
    if value == "FALSE":
        return None
    return Notice("preempted", "Compute Engine preempts this machine", None, GCP_PREEMPTION_SECONDS)


def ending(text: str) -> Notice | None:
    """Compute Engine's `maintenance-event`; a machine that migrates lives on."""
    if text.strip() != "TERMINATE_ON_HOST_MAINTENANCE":
        return None
    return Notice("maintenance", "Compute Engine ends this machine for maintenance", None, GCP_MAINTENANCE_SECONDS)


class Azure:
    """Azure: scheduled events that name this machine; an eviction comes 30 seconds before, maintenance 10 minutes or more."""

    name = "azure"
    _headers: Final = {"Metadata": "true"}

    def __init__(self, ask: Ask) -> None:
        self._ask = ask
        self._machine = ""
        self._first = AZURE_FIRST_TIMEOUT

    def greet(self) -> None:
        path = "/metadata/instance/compute/name?api-version=2021-02-01&format=text"
        self._machine = _good(self._ask(path, self._headers), "the machine's name").text.strip()
        if not self._machine:
            raise MetadataError("the machine's name is empty")

    def look(self, patience: float) -> Notice | None:
        if not self._machine:
            self.greet()
        path = "/metadata/scheduledevents?api-version=2020-07-01"
        reply = _good(self._ask(path, self._headers, timeout=self._first), "scheduledevents")
        found = scheduled(reply.text, self._machine)
        self._first = TIMEOUT
        return found


def scheduled(text: str, machine: str) -> Notice | None:
    """The soonest of Azure's scheduled events that takes `machine` away. One without NotBefore has begun."""
    found = []
    try:
        for event in _object(text, "scheduledevents")["Events"]:
            named = {str(one).casefold() for one in event["Resources"]}
            if event["EventType"] in AZURE_EVENTS and machine.casefold() in named:
                before = event["NotBefore"]
                at = _seconds(email.utils.parsedate_to_datetime(str(before))) if before else 0.0
                found.append(Notice(str(event["EventId"]), f"Azure: {event['EventType']} of this machine", at))
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        raise MetadataError(f"scheduledevents: not as documented ({type(error).__name__}: {error})") from None
    return min(found, key=lambda notice: notice.deadline or 0.0, default=None)


CLOUDS: Final[dict[str, type[Aws] | type[Gcp] | type[Azure]]] = {"gcp": Gcp, "azure": Azure, "aws": Aws}
"""In the order in which `auto` tries them: others imitate EC2's server."""


def _good(reply: Reply, what: str) -> Reply:
    if reply.status != 200:
        raise MetadataError(f"{what}: HTTP {reply.status}")
    return reply


def _object(text: str, what: str) -> dict[str, Any]:
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, dict):
        raise MetadataError(f"{what}: expected a JSON object, found {text[:40]!r}")
    return found


def _iso(value: object, what: str) -> float:
    try:
        return _seconds(datetime.datetime.fromisoformat(str(value).replace("Z", "+00:00")))  # Python 3.10 knows no Z
    except (ValueError, OverflowError):
        raise MetadataError(f"{what}: expected a time, found {str(value)[:40]!r}") from None


def _seconds(at: datetime.datetime) -> float:
    """Since 1970; a time that names no zone is UTC. Raises OverflowError for one that UTC does not have."""
    return (at if at.tzinfo else at.replace(tzinfo=datetime.timezone.utc)).astimezone(datetime.timezone.utc).timestamp()
