"""The settings of the select job, and which of them a selection depends on."""

from __future__ import annotations

from typing import Any, Literal

import pydantic

from midb_ray.config import Settings


class AtLeastSettings(Settings):
    """Lowest scores, each from 0 to 100; a pair below any of them is left out."""

    content: float | None = pydantic.Field(None, ge=0, le=100)
    """Lowest score for content."""
    translation: float | None = pydantic.Field(None, ge=0, le=100)
    """Lowest score for translation."""
    localisation: float | None = pydantic.Field(None, ge=0, le=100)
    """Lowest score for localisation."""
    overall: float | None = pydantic.Field(None, ge=0, le=100)
    """Lowest score over all."""


class DiversitySettings(Settings):
    """How much of a language may come from one cluster of like instructions; the best of each stay."""

    share: float | None = pydantic.Field(None, gt=0, le=1)
    """At most this share of a language's pairs from one cluster."""
    pairs: int | None = pydantic.Field(None, ge=1)
    """At most so many pairs of a language from one cluster."""

    @property
    def on(self) -> bool:
        """Whether there is any such limit."""
        return self.share is not None or self.pairs is not None


class SelectSettings(Settings):
    """Select the best pairs of scored corpora, by language, without duplicates."""

    input: tuple[str, ...] = pydantic.Field(min_length=1)
    """Run folders of finished score jobs: paths, s3:// or gs://."""
    output: str = pydantic.Field(min_length=1)
    """The run folder of the selection: a path that every node sees, s3:// or gs://."""
    at_least: AtLeastSettings = AtLeastSettings()
    without: tuple[str, ...] = ()
    """Kinds of findings; a pair with any of them is left out. Also unjudged, unmeasured."""
    near_duplicates: float | None = pydantic.Field(0.8, ge=0.3, le=1)
    """Pairs whose texts share this much (Jaccard similarity) count as one, and the best stays; none keeps them all."""
    exact_duplicates: bool = True
    """Keep one of pairs whose texts are the same, character for character; needs to be false for all of them to stay."""
    diversity: DiversitySettings = DiversitySettings()
    keep: float = pydantic.Field(1.0, gt=0, le=1)
    """Share of each language's pairs to keep, the best, of those that are left so far."""
    by: Literal["overall", "content", "translation", "localisation"] = "overall"
    """Score that says which pair is better."""
    limit: int | None = pydantic.Field(None, ge=1)
    """At most so many pairs of each language, the best."""
    fresh: bool = False
    """Delete the earlier run in the output folder and start over."""
    dry_run: bool = False
    """Check settings and input, say what would be read, and stop."""
    address: str | None = None
    """Ray cluster to use; none: RAY_ADDRESS if set, else a local one."""
    progress_seconds: float = pydantic.Field(10, gt=0)
    """Seconds between progress lines."""

    @pydantic.field_validator("near_duplicates", mode="before")
    @classmethod
    def _no_means_none(cls, value: Any) -> Any:
        return None if value is False or value in ("no", "none", "false") else value

    @pydantic.field_validator("exact_duplicates")
    @classmethod
    def _near_includes_exact(cls, exact: bool, info: pydantic.ValidationInfo) -> bool:
        if not exact and info.data.get("near_duplicates") is not None:
            raise ValueError("expected near_duplicates none beside it, as exact duplicates are near ones too")
        return exact

    @property
    def finds_duplicates(self) -> bool:
        """Whether pairs are compared with each other at all."""
        return self.exact_duplicates or self.near_duplicates is not None

    @property
    def lowest(self) -> dict[str, float]:
        """The lowest score that is asked for, by column."""
        return {name: value for name, value in self.at_least.model_dump().items() if value is not None}


def fingerprint(settings: SelectSettings, versions: list[str]) -> dict[str, Any]:
    """What a selection depends on: flat keys, plain values. `versions` are those of the runs that it reads, in their order."""
    return {
        "input": versions,
        **{f"at_least.{name}": value for name, value in settings.lowest.items()},
        "without": sorted(set(settings.without)),
        "near_duplicates": settings.near_duplicates,
        "exact_duplicates": settings.exact_duplicates,
        **{f"diversity.{name}": value for name, value in settings.diversity.model_dump(exclude_none=True).items()},
        "keep": settings.keep,
        "by": settings.by,
        "limit": settings.limit,
    }
