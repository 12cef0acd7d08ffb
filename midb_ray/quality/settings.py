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


class JudgeSettings(Settings):
    """An LLM that judges every pair, through `engine`."""

    on: bool = False
    """Ask a judge too; without one, signals alone score."""
    tries: int = pydantic.Field(3, ge=1, le=16)
    """How often a judge is asked about one pair while its answer cannot be read."""
    tokens: int = pydantic.Field(768, ge=64)
    """Upper limit of a verdict in tokens."""


class ScoreSettings(PoolJobSettings):
    """Score every pair of a corpus for content, translation and localisation, with the findings behind each score."""

    engine: EngineSettings = EngineSettings(kind="echo")
    source: SourceSettings = SourceSettings()
    judge: JudgeSettings = pydantic.Field(JudgeSettings(), validate_default=True)

    @pydantic.field_validator("judge")
    @classmethod
    def _judge_has_an_engine(cls, judge: JudgeSettings, info: pydantic.ValidationInfo) -> JudgeSettings:
        engine = info.data.get("engine")
        if engine is None:
            return judge
        if judge.on and engine.kind == "echo":
            raise ValueError(
                "expected an engine that can judge: engine.kind transformers, vllm or openai, and its model"
            )
        if not judge.on and engine.kind != "echo":
            raise ValueError(f"expected judge.on, without which nobody asks the {engine.kind} engine")
        return judge


def fingerprint(settings: ScoreSettings, engine: dict[str, Any], locales: dict[str, Any]) -> dict[str, Any]:
    """What an output of scoring depends on, beside the input files: flat keys, plain values."""
    source = {f"source.{key}": value for key, value in settings.source.model_dump(mode="json").items()}
    judge = {
        **{f"judge.{key}": value for key, value in settings.judge.model_dump(mode="json").items()},
        **{f"engine.{key}": value for key, value in engine.items()},
    }
    return {**source, **(judge if settings.judge.on else {}), **settings.reading(locales)}
