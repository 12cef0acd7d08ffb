"""Draining this machine's node of a Ray cluster: it takes no new work, and leaves when what it has is done.

Ray's client of the cluster's control store (GCS) blocks for 40 seconds where nobody answers, hears no signal meanwhile, and may end
its process. So it runs in a child, which can be given up and tried again.
"""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import time
from collections.abc import Iterable
from typing import Any, NamedTuple, Protocol

from midb_ray.errors import one_line

_CHILD_SECONDS = 20.0
_RPC_SECONDS = 5.0


class DrainError(Exception):
    """It could not be done now; one sentence."""


class Member(NamedTuple):
    """A living node of the cluster."""

    id: str
    address: str
    is_head: bool


class Node(Protocol):
    """This machine's node of the cluster. Both methods raise `DrainError` and may be tried again."""

    def find(self) -> str:
        """Its id."""

    def drain(self, reason: str, deadline: float | None) -> str:
        """Drain it; returns its id. `deadline`: seconds since 1970 after which it may be gone."""


class RayNode:
    """The node with an address of this machine, or the one called `node_id`."""

    def __init__(self, address: str | None, node_id: str | None) -> None:
        self._where = {"address": address, "node_id": node_id}

    def find(self) -> str:
        return self._child({})

    def drain(self, reason: str, deadline: float | None) -> str:
        return self._child({"reason": reason, "deadline": deadline})

    def _child(self, task: dict[str, Any]) -> str:
        command = [sys.executable, "-m", "midb_ray.operations.draining", json.dumps({**self._where, **task})]
        try:
            done = subprocess.run(command, capture_output=True, text=True, errors="replace", timeout=_CHILD_SECONDS)
        except subprocess.TimeoutExpired:
            raise DrainError(f"the cluster did not answer within {_CHILD_SECONDS:.0f} s") from None
        except OSError as error:  # too many processes, or no memory for one more
            raise DrainError(f"no process could be started ({error})") from None
        if done.returncode:
            last = (done.stderr.strip() or f"exit code {done.returncode}").splitlines()[-1]
            raise DrainError(last[:500])
        return done.stdout.strip()


def own(members: Iterable[Member], addresses: set[str], node_id: str | None) -> Member:
    """The one of `members` that runs on the machine with these `addresses`, or is `node_id`.

    Raises `DrainError` where that is none, more than one, or the head.
    """
    if node_id:
        found = [member for member in members if member.id == node_id]
        if not found:
            raise DrainError(f"no living node of the cluster has the id {node_id}")
    else:
        found = [member for member in members if member.address in addresses]
        if not found:
            raise DrainError("no living node of the cluster has an address of this machine; is `ray start` done?")
    if len(found) > 1:
        ids = ", ".join(member.id for member in found)
        raise DrainError(
            f"{len(found)} nodes of the cluster have an address of this machine; give --node-id, one of {ids}"
        )
    if found[0].is_head:
        raise DrainError(
            f"node {found[0].id} is the head; the cluster ends with it, and draining it would only end it sooner"
        )
    return found[0]


def _run(address: str | None, node_id: str | None, reason: str = "", deadline: float | None = None) -> str:
    """In the child: find the node and, if there is a `reason`, drain it; returns its id."""
    import psutil
    import ray
    from ray._private import services
    from ray.core.generated import autoscaler_pb2, gcs_pb2

    try:
        gcs = services.canonicalize_bootstrap_address_or_die(address)
    except (ConnectionError, ValueError) as error:
        raise DrainError(one_line(error)) from None
    host, port = gcs.rsplit(":", 1)
    try:  # Ray's client would take 40 s to find out
        socket.create_connection((host.strip("[]"), int(port)), timeout=2).close()
    except OSError as error:
        raise DrainError(f"the cluster's GCS at {gcs} does not answer ({error})") from None
    client = ray._raylet.GcsClient(address=gcs)
    members = [
        Member(node.node_id.hex(), node.node_manager_address, node.is_head_node)
        for node in client.get_all_node_info(timeout=_RPC_SECONDS).values()
        if node.state == gcs_pb2.GcsNodeInfo.GcsNodeState.ALIVE
    ]
    here = {one.address for interface in psutil.net_if_addrs().values() for one in interface}
    node = own(members, here, node_id)
    if reason:
        accepted, why = client.drain_node(
            node.id,  # in hex; with bytes the GCS says yes and drains nothing
            autoscaler_pb2.DrainNodeReason.Value("DRAIN_NODE_REASON_PREEMPTION"),
            reason,
            0 if deadline is None else int(max(deadline, time.time() + 1) * 1000),
            timeout=_RPC_SECONDS,
        )
        if not accepted:
            raise DrainError(f"the cluster refused to drain node {node.id}: {why}")
    return node.id


if __name__ == "__main__":
    try:
        print(_run(**json.loads(sys.argv[1])))  # noqa: T201
    except DrainError as error:
        sys.exit(str(error))
    except Exception as error:
        sys.exit(f"{type(error).__name__}: {' '.join(str(error).split())}")
