"""Settings that are mappings: as they are in a YAML file, and JSON on the command line."""

from __future__ import annotations

import json
from typing import Any


def mapping(value: Any) -> Any:
    """For a field's `BeforeValidator`. Raises `ValueError` for text that is no JSON."""
    if not isinstance(value, str):
        return value
    try:
        return json.loads(value)
    except ValueError:
        raise ValueError(f"expected a mapping as JSON, found {value!r}") from None
