"""Which node of a cluster is the own one, and a cluster that does not say."""

from __future__ import annotations

import pytest

from midb_ray.operations import draining
from midb_ray.operations.draining import DrainError, Member, RayNode, own

MEMBERS = [Member("a1", "10.0.0.1", True), Member("b2", "10.0.0.2", False), Member("c3", "10.0.0.3", False)]


def test_the_own_node_is_the_one_with_an_address_of_the_machine() -> None:
    assert own(MEMBERS, {"127.0.0.1", "10.0.0.2"}, None).id == "b2"


def test_a_node_that_is_named_need_not_be_told_apart() -> None:
    assert own([*MEMBERS, Member("d4", "10.0.0.2", False)], {"10.0.0.2"}, "d4").id == "d4"


@pytest.mark.parametrize(
    ("addresses", "node_id", "message"),
    [
        ({"10.0.0.9"}, None, "no living node of the cluster has an address of this machine"),
        ({"10.0.0.2", "10.0.0.3"}, None, "2 nodes .* give --node-id, one of b2, c3"),
        ({"10.0.0.1"}, None, "a1 is the head"),
        ({"10.0.0.2"}, "e5", "no living node of the cluster has the id e5"),
        ({"10.0.0.2"}, "a1", "a1 is the head"),
    ],
)
def test_no_other_node_is_drained_by_mistake(addresses: set[str], node_id: str | None, message: str) -> None:
    with pytest.raises(DrainError, match=message):
        own(MEMBERS, addresses, node_id)


def test_a_cluster_that_hangs_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(draining, "_CHILD_SECONDS", 0.01)
    with pytest.raises(DrainError, match="did not answer"):
        RayNode("127.0.0.1:9", None).find()
