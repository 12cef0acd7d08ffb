"""Gloo between nodes. Imports Ray Train: import it where a fit begins."""

from __future__ import annotations

import os
import socket
from dataclasses import dataclass
from typing import Any

import psutil
import ray
from ray.train.torch import TorchConfig

_INTERFACE = "GLOO_SOCKET_IFNAME"
_Backend: Any = TorchConfig(backend="gloo").backend_cls


def interface_of(address: str) -> str | None:
    """The network interface of this machine that has an address; None if none has it."""
    for name, found in psutil.net_if_addrs().items():
        if any(one.family in (socket.AF_INET, socket.AF_INET6) and one.address == address for one in found):
            return str(name)
    return None


def speak_as_node() -> None:
    """Let gloo in this process speak through the interface by which the cluster knows its node, unless somebody chose one.

    Left alone gloo takes the address that the machine's own name resolves to. On many machines that is loopback, and the workers
    of other nodes, told to come there, find nobody.
    """
    interface = interface_of(ray.util.get_node_ip_address())
    if interface is not None:
        os.environ.setdefault(_INTERFACE, interface)


class _GlooBackend(_Backend):
    def on_start(self, worker_group: Any, backend_config: Any) -> None:
        worker_group.execute(speak_as_node)
        super().on_start(worker_group, backend_config)


@dataclass
class GlooConfig(TorchConfig):
    """Ray Train's process group over gloo, for workers on several nodes."""

    backend: str | None = "gloo"

    @property
    def backend_cls(self) -> type[Any]:
        return _GlooBackend
