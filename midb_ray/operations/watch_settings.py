"""The settings of the watcher of the cloud's notice."""

from __future__ import annotations

import urllib.parse
from typing import Literal

import pydantic

from midb_ray.config import Settings
from midb_ray.operations.metadata import LINK_LOCAL


class WatchSettings(Settings):
    """Watch for the cloud's notice that this machine will be taken away, and then drain its node of the Ray cluster."""

    cloud: Literal["auto", "aws", "gcp", "azure"] = "auto"
    """Whose machine this is; auto: ask the metadata server."""
    endpoint: str = pydantic.Field(LINK_LOCAL, pattern=r"^http://[^/\s@?#]+/?$")
    """The metadata server."""
    interval: float = pydantic.Field(5, gt=0, le=60)
    """Seconds between two looks."""
    lead: float = pydantic.Field(300, ge=0)
    """Drain so many seconds before the machine goes, if the notice comes earlier; until then it may be withdrawn."""
    rebalance: Literal["say", "drain"] = "say"
    """What to do when EC2 recommends to leave: say so and go on, or drain."""
    address: str | None = None
    """The cluster's GCS, HOST:PORT; none: RAY_ADDRESS if set, else that of the last `ray start` on this machine."""
    node_id: str | None = pydantic.Field(None, pattern="^[0-9a-f]{56}$")
    """The node to drain; none: the one with an address of this machine, which must be one alone."""

    @pydantic.field_validator("endpoint")
    @classmethod
    def _is_a_host(cls, endpoint: str) -> str:
        place = urllib.parse.urlsplit(endpoint)  # raises ValueError for brackets that are no address
        if not place.hostname or place.port == 0:  # as does `port`
            raise ValueError("expected http://HOST or http://HOST:PORT")
        return endpoint
