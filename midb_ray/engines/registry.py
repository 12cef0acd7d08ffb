"""The doors to every engine: what a setting stands for.

`check` and `identity` run on the driver before anything is started, `build` in the process that owns the engine.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from midb_ray.engines import models
from midb_ray.engines.base import Engine
from midb_ray.engines.models import ModelFacts
from midb_ray.engines.settings import EngineSettings


def check(settings: EngineSettings) -> ModelFacts:
    """What is known of the model without loading its weights. Raises `UserError` for a model that could not be used."""
    if settings.model is None:
        return ModelFacts(context=None, vocabulary=0, weight_bytes=0, commit=None)
    return models.check(settings.model, settings.revision)


def pinned(settings: EngineSettings, facts: ModelFacts) -> EngineSettings:
    """The same settings for processes elsewhere and later: a directory by its absolute path, a hub id by its commit."""
    if settings.model is None:
        return settings
    if facts.commit is not None:
        return settings.model_copy(update={"revision": facts.commit})
    return settings.model_copy(update={"model": str(Path(settings.model).expanduser().resolve())})


def identity(settings: EngineSettings) -> dict[str, Any]:
    """What of engine and model changes an output, as plain data and the same on every machine.

    Left out: where and how fast it runs, the path of a directory (its files are in), and the faults of echo, so that a
    run that was made to fail can be resumed without the fault.
    """
    if settings.model is None:
        return {"kind": settings.kind}
    names = ["kind", "dtype", "max_new_tokens", "answer_budget", "answer_floor", "temperature", "guided"]
    if settings.temperature > 0:
        names += ["top_p", "seed"]
    own = {name: getattr(settings, name) for name in names}
    return {**own, "model": models.identity(settings.model, settings.revision)}


def build(settings: EngineSettings) -> Engine:
    """The engine itself, its weights loaded. Raises `UserError` when that fails."""
    if settings.kind == "echo":
        from midb_ray.engines.echo import EchoEngine

        return EchoEngine(settings)
    from midb_ray.engines import transformers

    return transformers.load(settings)
