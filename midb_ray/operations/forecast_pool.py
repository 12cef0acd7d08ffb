"""Which pools do the work: how many nodes, how long, for how much; and which of them keeps a deadline or a budget."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Final

from midb_ray.operations.estimates import Estimate
from midb_ray.operations.memory_fit import Fit
from midb_ray.operations.pace import Pace
from midb_ray.operations.prices import MARKETS, Machine, Market, NodeType, Prices

MOST: Final = 4096  # replicas that are thought of
_MOSTLY: Final = 0.5  # share of what is paid from which on it mostly goes into starts and idle nodes


@dataclass(frozen=True)
class Needs:
    """The work, the pace at which a pilot did it, and what each replica takes."""

    work: Estimate
    pace: Pace
    gpus: float
    cpus: float


@dataclass(frozen=True)
class Offer:
    """A pool of `replicas` on `nodes` of a machine: hours from asking for the nodes to the last shard, cost by market, and the part
    of it that goes into nodes that start or are idle. `cluster` says where a cluster file has the machine."""

    machine: str
    cluster: NodeType | None
    replicas: int
    nodes: int
    hours: Estimate
    cost: dict[Market, Estimate]
    overhead: float
    fit: Fit

    @property
    def cheapest(self) -> tuple[Market, Estimate]:
        """The market with the lowest cost, and that cost."""
        market = min(self.cost, key=lambda one: self.cost[one].value)
        return market, self.cost[market]

    @property
    def mostly_overhead(self) -> bool:
        """Whether most of what is paid goes into nodes that start or are idle."""
        return self.overhead > _MOSTLY

    def started_by(self, market: Market) -> NodeType | None:
        """Where a cluster file has such machines in this market."""
        return self.cluster if self.cluster is not None and self.cluster.market == market else None

    def to_dict(self) -> dict[str, Any]:
        """As plain data."""
        return {
            "machine": self.machine,
            "cluster": None if self.cluster is None else self.cluster.model_dump(),
            "replicas": self.replicas,
            "nodes": self.nodes,
            "hours": self.hours.to_dict(),
            "cost": {market: cost.to_dict() for market, cost in self.cost.items()},
            "overhead": self.overhead,
            "memory": {"verdict": self.fit.verdict, "words": self.fit.words},
        }


def offer(name: str, machine: Machine, prices: Prices, needs: Needs, replicas: int, fit: Fit) -> Offer:
    """What a pool of so many replicas would take on machines of this kind."""
    nodes = math.ceil(replicas / machine.replicas(needs.gpus, needs.cpus))
    wall = needs.pace.wall(needs.work, replicas, machine.speed).times(1 / 3600)
    hours = wall.plus(prices.boot_minutes / 60)
    paid = hours.plus(prices.idle_minutes / 60)
    unworked = (prices.boot_minutes + prices.idle_minutes) / 60 + needs.pace.fixed / 3600
    cost: dict[Market, Estimate] = {
        market: paid.times(nodes * price + prices.head)
        for market in MARKETS
        if (price := machine.price(market)) is not None
    }
    return Offer(name, machine.cluster, replicas, nodes, hours, cost, unworked / paid.value if paid.value else 0.0, fit)


def within(
    name: str, machine: Machine, prices: Prices, needs: Needs, fit: Fit, deadline: float | None, budget: float | None
) -> Offer | None:
    """The smallest pool that keeps the deadline, or, where there is none, the fastest that keeps the budget, with more nodes only
    as long as most of what is paid is work; with both, the smallest that keeps both. A bound is kept if the upper end of the
    interval does. None where no pool does."""
    sizes = _sizes(machine.replicas(needs.gpus, needs.cpus))
    offers = (offer(name, machine, prices, needs, size, fit) for size in sizes)
    if deadline is not None:
        keeping = (one for one in offers if one.hours.high <= deadline)
        return next((one for one in keeping if budget is None or _affordable(one, budget)), None)
    best = None
    for one in offers:
        if budget is None or not _affordable(one, budget):
            continue
        if best is not None and one.nodes > best.nodes and one.mostly_overhead:
            break  # and so are all larger ones
        if best is None or one.hours.value < 0.98 * best.hours.value:  # more engines that gain nothing are no better
            best = one
    return best


def best(offers: Iterable[Offer], deadline: float | None) -> Offer | None:
    """With a deadline the cheapest offer, else the fastest of those in which most of what is paid is work, or of all."""
    if deadline is not None:
        return min(offers, key=lambda one: (one.cheapest[1].value, one.hours.value), default=None)
    return min(offers, key=lambda one: (one.mostly_overhead, one.hours.value, one.cheapest[1].value), default=None)


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
