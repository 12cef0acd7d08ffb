"""How long a translation is for its source."""

from __future__ import annotations

from functools import lru_cache
from importlib import resources

import yaml


def ratio(source: str, target: str) -> float:
    """Characters of the language `target` that stand for one character of `source` (ISO 639-1 codes); 1 where one of them was
    not measured."""
    known = _known()
    return known[target] / known[source] if source in known and target in known else 1.0


@lru_cache(maxsize=1)
def _known() -> dict[str, float]:
    text = resources.files("midb_ray.signals").joinpath("lengths.yaml").read_text(encoding="utf-8")
    found: dict[str, float] = yaml.safe_load(text)
    return found
