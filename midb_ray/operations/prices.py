"""Machines and what they cost by the hour: a table in YAML, shipped as a beginning and meant to be replaced."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final, Literal

import pydantic

from midb_ray import config, yaml_file
from midb_ray.config import Settings
from midb_ray.engines import room
from midb_ray.errors import UserError

SHIPPED = Path(__file__).with_name("prices.yaml")

Market = Literal["spot", "on_demand"]
MARKETS: Final[tuple[Market, ...]] = ("spot", "on_demand")


class NodeType(Settings):
    """The machines of a cluster file on which a pool's engines may run: those of one node type, in one market."""

    file: str
    """The cluster file."""
    node_type: str
    """What these machines are called in its available_node_types."""
    market: Market
    """How it asks for them."""
    max_workers: int = pydantic.Field(ge=1)
    """How many of them it starts."""


class Machine(Settings):
    """One type of worker node; prices are for an hour of the whole node."""

    gpu: str | None = None
    """What the GPUs are called."""
    gpus: int = pydantic.Field(0, ge=0)
    """GPUs of a node."""
    gpu_gigabytes: float = pydantic.Field(0, ge=0)
    """Memory of each GPU in GB (10^9 bytes)."""
    cpus: int = pydantic.Field(ge=1)
    """Virtual CPUs of a node."""
    gigabytes: float = pydantic.Field(gt=0)
    """Memory of a node in GB."""
    on_demand: float = pydantic.Field(ge=0)
    """Price of an hour."""
    spot: float | None = pydantic.Field(None, ge=0)
    """Price of an hour of spot capacity; none: unknown."""
    cluster: NodeType | None = None
    """Where a cluster file has such machines for engines; none: nowhere."""
    speed: float = pydantic.Field(1.0, gt=0)
    """How much faster it is than the machine of the pilot: yours to measure."""

    def replicas(self, gpus: float, cpus: float) -> int:
        """Engine actors that fit on one node, each with so many GPUs and CPUs; one CPU stays for reading."""
        if self.gpus and not gpus:
            return 0  # nobody pays for GPUs that are not asked for
        return room.places(room.Node(self.cpus - 1, self.gpus), cpus, gpus)

    def price(self, market: Market) -> float | None:
        """What an hour costs, spot or on_demand."""
        return self.spot if market == "spot" else self.on_demand


class Prices(Settings):
    """The table."""

    currency: str = "USD"
    """What the prices are in."""
    date: str = ""
    """When they held."""
    source: str = ""
    """Where they come from."""
    head: float = pydantic.Field(0, ge=0)
    """Price of an hour of the head node, which no pool runs without."""
    boot_minutes: float = pydantic.Field(0, ge=0)
    """Minutes from asking for a node until Ray runs on it; they are paid too."""
    idle_minutes: float = pydantic.Field(40, ge=0)
    """Minutes that a node is kept after its last work (idle_timeout_minutes of the cluster file); they are paid too."""
    machines: dict[str, Machine] = pydantic.Field(min_length=1)
    """Worker nodes by name."""


def read(path: str | None, wanted: tuple[str, ...] = ()) -> Prices:
    """The table in a file, or the shipped one, with the machines that are wanted, or all. Raises `UserError`."""
    place = str(path or SHIPPED)
    content: Any = yaml_file.read(place, "price table")
    if not isinstance(content, dict):
        raise UserError(f"{place}: expected a mapping with machines, found {type(content).__name__}.")
    prices = config.validate(Prices, {**content, "date": str(content.get("date", ""))}, place)
    if unknown := [name for name in wanted if name not in prices.machines]:
        raise UserError(f"{place} has no machine {unknown[0]!r}; it has {', '.join(prices.machines)}.")
    chosen = {name: one for name, one in prices.machines.items() if not wanted or name in wanted}
    return prices.model_copy(update={"machines": chosen})
