"""Which revisions a booster learns from, and which it is validated on."""

from __future__ import annotations

import pydantic

from midb_ray.config import Settings


class SelectionSettings(Settings):
    """Selection of the training and validation set."""

    share: float = pydantic.Field(0.3, gt=0, le=1)
    """Share of each language's revisions to take, those with the largest edit distance: the method's alpha."""
    count: int | None = pydantic.Field(None, ge=1)
    """Revisions of each language to take, instead of share."""
    minimum: int = pydantic.Field(1, ge=0)
    """Training rows that each language must have after selection and split; 0 lets a language go without."""
    validation: float = pydantic.Field(0.05, ge=0, lt=1)
    """Share of the source rows that are kept for validation, with all their translations; 0 for none."""
    temperature: float = pydantic.Field(1.0, ge=1)
    """1 keeps the languages' sizes; larger evens them out (weights n^(1/temperature)), by repeating and leaving out rows."""
    unchanged_share: float = pydantic.Field(0.0, ge=0, le=1)
    """Share of the training rows whose revised pair also stands as a raw one with nothing to change, so that a booster learns
    to leave good pairs alone."""
