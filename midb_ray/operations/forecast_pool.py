"""Which pools do the work: how many nodes, how long, for how much; and which of them keeps a deadline or a budget."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Final, Literal

from midb_ray.operations.estimates import Estimate
from midb_ray.operations.memory_fit import Fit
from midb_ray.operations.pace import Pace
from midb_ray.operations.prices import Machine, Prices

Market = Literal["spot", "on_demand"]
MARKETS: Final[tuple[Market, ...]] = ("spot", "on_demand")
MOST = 4096  # replicas that are thought of


@dataclass(frozen=True)
class Needs:
    """The work, the pace at which a pilot did it, and what each replica takes."""

    work: Estimate
    pace: Pace
    gpus: float
    cpus: float


@dataclass(frozen=True)
class Offer:
    """A pool of `replicas` on `nodes` of a machine: hours from asking for the nodes to the last shard, and cost by market."""

    machine: str
    cluster: str | None
    replicas: int
    nodes: int
    hours: Estimate
    cost: dict[Market, Estimate]
    fit: Fit

    @property
    def cheapest(self) -> tuple[Market, Estimate]:
        """The market with the lowest cost, and that cost."""
        market = min(self.cost, key=lambda one: self.cost[one].value)
        return market, self.cost[market]

    def to_dict(self) -> dict[str, Any]:
        """As plain data."""
        return {
            "machine": self.machine,
            "cluster": self.cluster,
            "replicas": self.replicas,
            "nodes": self.nodes,
            "hours": self.hours.to_dict(),
            "cost": {market: cost.to_dict() for market, cost in self.cost.items()},
            "memory": {"verdict": self.fit.verdict, "words": self.fit.words},
        }


def offer(name: str, machine: Machine, prices: Prices, needs: Needs, replicas: int, fit: Fit) -> Offer:
    """What a pool of so many replicas would take on machines of this kind."""
    nodes = math.ceil(replicas / machine.replicas(needs.gpus, needs.cpus))
    wall = needs.pace.wall(needs.work, replicas, machine.speed).times(1 / 3600)
    hours = wall.plus(prices.boot_minutes / 60)
    cost: dict[Market, Estimate] = {
        market: hours.times(nodes * price + prices.head)
        for market in MARKETS
        if (price := machine.price(market)) is not None
    }
    return Offer(name, machine.cluster, replicas, nodes, hours, cost, fit)


def within(
    name: str, machine: Machine, prices: Prices, needs: Needs, fit: Fit, deadline: float | None, budget: float | None
) -> Offer | None:
    """The smallest pool that keeps the deadline, or, where there is none, the largest that keeps the budget; with both, the first
    if it keeps the second too. Both are kept if the upper end of the interval does. None where no pool does."""
    sizes = _sizes(machine.replicas(needs.gpus, needs.cpus))
    offers = (offer(name, machine, prices, needs, size, fit) for size in sizes)
    if deadline is not None:
        found = next((one for one in offers if one.hours.high <= deadline), None)
        return found if found is None or budget is None or _affordable(found, budget) else None
    best = None
    for one in offers:
        if budget is None or not _affordable(one, budget):
            continue
        if best is None or one.hours.value < 0.98 * best.hours.value:  # more engines that gain nothing are no better
            best = one
    return best


def best(offers: Iterable[Offer], deadline: float | None) -> Offer | None:
    """With a deadline the cheapest offer, else the fastest."""
    if deadline is not None:
        return min(offers, key=lambda one: (one.cheapest[1].value, one.hours.value), default=None)
    return min(offers, key=lambda one: (one.hours.value, one.cheapest[1].value), default=None)


def _affordable(one: Offer, budget: float) -> bool:
    return any(cost.high <= budget for cost in one.cost.values())


def _sizes(on_a_node: int) -> list[int]:
    """Numbers of replicas: part of a node, then whole nodes, each one at first and then in steps of a twentieth."""
    sizes = list(range(1, on_a_node))
    nodes = 1
    while nodes * on_a_node <= MOST:
        sizes.append(nodes * on_a_node)
        nodes += max(nodes // 20, 1)
    return sizes
