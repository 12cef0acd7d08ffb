"""A LoRA adapter that an engine loads beside its model."""

from __future__ import annotations

import json
from pathlib import Path

from midb_ray.errors import UserError

_CONFIG, _WEIGHTS = "adapter_config.json", "adapter_model.safetensors"


def rank(adapter: str) -> int:
    """The rank of the adapter in a directory. Raises `UserError` where there is none, or one that is no safetensors."""
    folder = Path(adapter).expanduser()
    try:
        found = int(json.loads((folder / _CONFIG).read_text(encoding="utf-8"))["r"])
    except (OSError, ValueError, KeyError, TypeError):
        raise UserError(
            f"engine.vllm.adapter: {adapter} is no directory with a LoRA adapter; expected an {_CONFIG} with a rank (r)."
        ) from None
    if not (folder / _WEIGHTS).exists():
        raise UserError(f"engine.vllm.adapter: {adapter} lacks {_WEIGHTS}; save the adapter again as safetensors.")
    return found
