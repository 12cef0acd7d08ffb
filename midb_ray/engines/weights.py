"""The weights of any model of transformers onto a device, all of them or none."""

from __future__ import annotations

from typing import Any

import torch
from transformers.utils.logging import disable_progress_bar

from midb_ray.errors import UserError, one_line


def load(
    kind: Any,
    place: str,
    model: str,
    device: str,
    dtype: torch.dtype,
    revision: str | None = None,
    without: str | None = None,
) -> Any:
    """The network of `kind`, one of transformers' classes, that lies at `place`, ready to compute. Weights of a part that is called
    `without` may be missing: nobody asks it. Raises `UserError` for one that cannot be loaded or is not whole."""
    disable_progress_bar()  # in a job's log it would be thousands of lines
    try:
        network, info = kind.from_pretrained(
            place,
            revision=revision,
            dtype=dtype,
            use_safetensors=True,
            trust_remote_code=False,
            output_loading_info=True,
            device_map=device if device == "cuda" else None,  # on the CPU there is nothing to map
        )
    except Exception as error:  # the library raises a dozen kinds, all of them about this model on this device
        raise UserError(f"Cannot load {model} on {device}: {one_line(error)}") from error
    if missing := sorted(name for name in info["missing_keys"] if without not in name.split(".")):
        raise UserError(f"{model} lacks {len(missing)} of its weights, {missing[0]} among them; save the model again.")
    return network.eval()
