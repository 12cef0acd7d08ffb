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
    """Where the encoder runs; auto is cuda where there is one."""

    @pydantic.field_validator("revision")
    @classmethod
    def _revision_of_a_model(cls, revision: str | None, info: pydantic.ValidationInfo) -> str | None:
        if revision is not None and info.data.get("model") is None:
            raise ValueError("a revision is one of a model, and none is given")
        return revision
