"""The settings of the caps; apart from them, so that settings load without what they measure with."""

from __future__ import annotations

import pydantic

from midb_ray.config import Settings


class CapSettings(Settings):
    """Where a run stops before its end: what is in flight is finished, nothing else begins. With higher caps it goes on."""

    tokens: int | None = pydantic.Field(None, ge=1)
    """Generated tokens, over all starts of the run."""
    hours: float | None = pydantic.Field(None, gt=0)
    """Hours that the engine pool is up, over all starts of the run."""
    cost_per_hour: float | None = pydantic.Field(None, gt=0)
    """What one replica costs in an hour, in any currency."""
    cost: float | None = pydantic.Field(None, gt=0)
    """Hours x replicas x cost_per_hour; of an autoscaling pool the upper bound of replicas counts."""
    engine_errors: float = pydantic.Field(0.1, ge=0, le=1)
    """Share of the requests on which the engine may fail, looked at from the 256th of a start on; a run that is through with more
    exits with 1. 1 is no cap."""

    @pydantic.field_validator("cost")
    @classmethod
    def _has_a_price(cls, cost: float | None, info: pydantic.ValidationInfo) -> float | None:
        if cost is not None and "cost_per_hour" in info.data and info.data["cost_per_hour"] is None:
            raise ValueError(
                f"expected caps.cost_per_hour, what a replica costs in an hour, to tell when {cost:g} is reached"
            )
        return cost

    def words(self) -> str:
        """The caps as a clause: "1,000,000 tokens, 10 hours"; empty if there are none."""
        found = []
        if self.tokens is not None:
            found.append(f"{self.tokens:,} tokens")
        if self.hours is not None:
            found.append(f"{self.hours:g} hours")
        if self.cost is not None:
            found.append(f"a cost of {self.cost:g}")
        return ", ".join(found)
