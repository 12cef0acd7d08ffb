"""Which sentence encoder stands beside an engine, and where."""

from __future__ import annotations

from typing import Literal

import pydantic

from midb_ray.config import Settings


class EncoderSettings(Settings):
    """A sentence encoder, loaded in the process of each engine of the pool."""

    model: str | None = None
    """Directory or hub id of a sentence encoder that knows the corpus' languages. None compares nothing."""
    revision: str | None = None
    """Branch, tag or commit of a hub id; not for directories."""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    """Where the encoder runs; auto is cuda where its process has one, which pool.gpus_per_replica gives it. On the CPU it has
    pool.cpus_per_replica threads."""

    @pydantic.field_validator("revision", "device")
    @classmethod
    def _of_a_model(cls, value: str | None, info: pydantic.ValidationInfo) -> str | None:
        if value not in (None, "auto") and info.data.get("model") is None:
            raise ValueError("it says something of a model, and none is given")
        return value
