"""The settings of the score job, and which of them an output depends on."""

from __future__ import annotations

from typing import Any

import pydantic

from midb_ray.config import Settings
from midb_ray.corpora.settings import PoolJobSettings
from midb_ray.engines.settings import EngineSettings


class SourceSettings(Settings):
    """Where a row has the pair that it was translated from."""

    language: str = "en"
    """Language of the source."""
    instruction: str = pydantic.Field("source_instruction", min_length=1)
    """Column with the source's instruction."""
    input: str = pydantic.Field("source_input", min_length=1)
    """Column with the source's input; a row may lack it."""
    response: str = pydantic.Field("source_response", min_length=1)
    """Column with the source's response."""


class ScoreSettings(PoolJobSettings):
    """Score every pair of a corpus for content, translation and localisation, with the findings behind each score."""

    engine: EngineSettings = EngineSettings(kind="echo")
    """The judge's engine."""
    source: SourceSettings = SourceSettings()


def fingerprint(settings: ScoreSettings, locales: dict[str, Any]) -> dict[str, Any]:
    """What an output of scoring depends on, beside the input files: flat keys, plain values."""
    source = {f"source.{key}": value for key, value in settings.source.model_dump(mode="json").items()}
    return {**source, **settings.reading(locales)}
