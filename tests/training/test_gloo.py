from __future__ import annotations

import os

import pytest
import ray

from midb_ray.training import gloo


def test_an_interface_is_found_by_its_address() -> None:
    assert gloo.interface_of("127.0.0.1") == "lo"
    assert gloo.interface_of("203.0.113.7") is None  # of an address range that is for documentation only


def test_gloo_speaks_through_the_interface_of_the_nodes_address(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ray.util, "get_node_ip_address", lambda: "127.0.0.1")
    monkeypatch.setenv("GLOO_SOCKET_IFNAME", "")  # so that it is put back
    monkeypatch.delenv("GLOO_SOCKET_IFNAME")
    gloo.speak_as_node()
    assert os.environ["GLOO_SOCKET_IFNAME"] == "lo"


def test_an_interface_that_somebody_chose_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ray.util, "get_node_ip_address", lambda: "127.0.0.1")
    monkeypatch.setenv("GLOO_SOCKET_IFNAME", "mine0")
    gloo.speak_as_node()
    assert os.environ["GLOO_SOCKET_IFNAME"] == "mine0"
