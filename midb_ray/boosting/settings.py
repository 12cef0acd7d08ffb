"""The settings of the boost job, and which of them an output depends on."""

from __future__ import annotations

from typing import Any, Literal

import pydantic

from midb_ray import prompts
from midb_ray.boosting.guard_settings import GuardSettings
from midb_ray.config import Settings
from midb_ray.engines.pool_settings import PoolSettings
from midb_ray.engines.settings import EngineSettings


class BoostSettings(Settings):
    """Rewrite an instruction corpus with a booster: every pair comes out once, boosted where the guard accepts it."""

    input: tuple[str, ...] = pydantic.Field(min_length=1)
    """Files, folders or patterns: paths, s3://, gs:// or hf://."""
    output: str = pydantic.Field(min_length=1)
    """The run folder: a path that every node sees, s3:// or gs://."""
    format: Literal["auto", "alpaca", "revisions", "conversations", "pairs"] = "auto"
    """Format of the input rows; auto looks at the first rows of each file."""
    language: str | None = None
    """Language of rows that name none; otherwise the file name or detection decides."""
    locales: str | None = None
    """YAML file that adds languages."""
    template: prompts.Template = "locale"
    """Prompt template: locale names language, region and conventions; plain is the published one."""
    engine: EngineSettings = pydantic.Field(default_factory=dict, validate_default=True)
    pool: PoolSettings = PoolSettings()
    guard: GuardSettings = GuardSettings()
    shard_rows: int = pydantic.Field(256, ge=1, le=1_000_000)
    """Pairs in a shard; about a minute of work for one engine is right."""
    sample: float = pydantic.Field(1.0, gt=0, le=1)
    """Share of the rows to take, chosen by a hash of where they stand."""
    limit: int | None = pydantic.Field(None, ge=1)
    """At most so many pairs of each language, the first ones; for a pilot."""
    max_dead_letters: float = pydantic.Field(0.01, ge=0, le=1)
    """Error budget: above this share of dead letters the job finishes and exits with 1."""
    accept: tuple[str, ...] = ()
    """Settings whose change is accepted when an earlier run goes on."""
    fresh: bool = False
    """Delete the earlier run in the output folder and start over."""
    dry_run: bool = False
    """Check settings, model and input, print the plan, and stop."""
    address: str | None = None
    """Ray cluster to use; none: RAY_ADDRESS if set, else a local one."""
    progress_seconds: float = pydantic.Field(10, gt=0)
    """Seconds between progress lines and between writes of progress.json."""


def fingerprint(settings: BoostSettings, engine: dict[str, Any], locales: dict[str, Any]) -> dict[str, Any]:
    """What an output of boosting depends on, beside the input files: flat keys, plain values."""
    guard = {f"guard.{key}": value for key, value in settings.guard.model_dump(mode="json").items()}
    return {
        **{f"engine.{key}": value for key, value in engine.items()},
        **guard,
        "template": settings.template,
        "format": settings.format,
        "language": settings.language,
        "locales": locales,
        "shard_rows": settings.shard_rows,
        "sample": settings.sample,
        "limit": settings.limit,
    }
