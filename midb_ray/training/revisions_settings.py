"""The settings of the revisions job."""

from __future__ import annotations

import pydantic

from midb_ray.config import Settings
from midb_ray.training.selection_settings import SelectionSettings


class RevisionsSettings(Settings):
    """Make a training set of expert revisions: select within each language, split by source, and show a table by language."""

    revisions: tuple[str, ...] = pydantic.Field(min_length=1)
    """Files, folders or patterns with rows that have a raw and a revised side: paths, s3://, gs:// or hf://."""
    output: str = pydantic.Field(min_length=1)
    """The folder of the training set: a path, s3:// or gs://; `train` takes it as its revisions."""
    selection: SelectionSettings = SelectionSettings()
    locales: str | None = None
    """YAML file that adds languages."""
    seed: int = pydantic.Field(0, ge=0, lt=2**32)
    """Of the split and of all else that is left to chance."""
    fresh: bool = False
    """Make the set anew where the output folder holds another one."""
    address: str | None = None
    """Ray cluster to use; none: RAY_ADDRESS if set, else a local one."""
