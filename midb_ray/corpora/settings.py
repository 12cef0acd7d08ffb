"""The settings that every job over a corpus has: what is read, how it is cut, where the run lies, how a run goes on."""

from __future__ import annotations

from typing import Any, Literal

import pydantic

from midb_ray.config import Settings
from midb_ray.engines.cap_settings import CapSettings
from midb_ray.engines.pool_settings import PoolSettings
from midb_ray.engines.settings import EngineSettings


class CorpusSettings(Settings):
    """What jobs over a corpus have in common."""

    input: tuple[str, ...] = pydantic.Field(min_length=1)
    """Files, folders or patterns: paths, s3://, gs:// or hf://."""
    output: str = pydantic.Field(min_length=1)
    """The run folder: a path that every node sees, s3:// or gs://."""
    format: Literal["auto", "alpaca", "revisions", "conversations", "preferences", "pairs"] = "auto"
    """Format of the input rows; auto looks at the first rows of each file."""
    language: str | None = None
    """Language of rows that name none; otherwise the file name or detection decides."""
    locales: str | None = None
    """YAML file that adds languages."""
    shard_rows: int = pydantic.Field(256, ge=1, le=1_000_000)
    """Rows in a shard, a conversation being one; about a minute of work for one engine is right."""
    sample: float = pydantic.Field(1.0, gt=0, le=1)
    """Share of the rows to take, chosen by a hash of where they stand."""
    limit: int | None = pydantic.Field(None, ge=1)
    """At most so many rows of each language, the first ones, a conversation being one; for a pilot."""
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

    def reading(self, locales: dict[str, Any]) -> dict[str, Any]:
        """What an output depends on of how the corpus is read and cut, beside the files themselves: a part of the fingerprint."""
        return {
            "format": self.format,
            "language": self.language,
            "locales": locales,
            "shard_rows": self.shard_rows,
            "sample": self.sample,
            "limit": self.limit,
        }


class PoolJobSettings(CorpusSettings):
    """What jobs have in common that send a corpus through a pool of engines."""

    engine: EngineSettings = pydantic.Field(default_factory=dict, validate_default=True)
    pool: PoolSettings = PoolSettings()
    caps: CapSettings = CapSettings()

    @pydantic.field_validator("caps")
    @classmethod
    def _tokens_are_counted(cls, caps: CapSettings, info: pydantic.ValidationInfo) -> CapSettings:
        engine = info.data.get("engine")
        if caps.tokens is not None and engine is not None and engine.kind == "echo":
            raise ValueError("the echo engine counts no tokens, so caps.tokens would never be reached; leave it out")
        return caps
