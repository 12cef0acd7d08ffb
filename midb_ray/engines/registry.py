"""The doors to every engine: what a setting stands for.

`check` and `identity` run on the driver before anything is started, `build` in the process that owns the engine.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from midb_ray.engines import adapters, models
from midb_ray.engines.base import Engine
from midb_ray.engines.models import ModelFacts
from midb_ray.engines.pool_settings import ROWS_AT_ONCE
from midb_ray.engines.settings import EngineSettings


def check(settings: EngineSettings) -> ModelFacts:
    """What is known of the model without loading its weights. Raises `UserError` for a model that could not be used."""
    if settings.model is None or settings.kind == "openai":  # whether a server has it is known where it can be reached
        return ModelFacts(context=None, vocabulary=0, weight_bytes=0, commit=None)
    if settings.vllm.adapter is not None:
        adapters.rank(settings.vllm.adapter)
    return models.check(settings.model, settings.revision)


def pinned(settings: EngineSettings, facts: ModelFacts) -> EngineSettings:
    """The same settings for processes elsewhere and later: a directory by its absolute path, a hub id by its commit."""
    if (model := settings.model) is None or settings.kind == "openai":
        return settings
    if settings.vllm.adapter is not None:
        adapter = str(Path(settings.vllm.adapter).expanduser().resolve())
        settings = settings.model_copy(update={"vllm": settings.vllm.model_copy(update={"adapter": adapter})})
    if facts.commit is not None:
        return settings.model_copy(update={"revision": facts.commit})
    return settings.model_copy(update={"model": str(Path(model).expanduser().resolve())})


def identity(settings: EngineSettings) -> dict[str, Any]:
    """What of engine and model changes an output, as plain data and the same on every machine.

    Left out: where and how fast it runs, the path of a directory (its files are in), and the faults of echo, so that a
    run that was made to fail can be resumed without the fault.
    """
    if settings.model is None:
        return {"kind": settings.kind}
    if settings.kind == "openai":
        return _served(settings)
    names = ["kind", "dtype", "max_new_tokens", "answer_budget", "answer_floor", "temperature", "guided"]
    if settings.temperature > 0:
        names += ["top_p", "seed"]
    if settings.context is not None:
        names.append("context")
    own = {name: getattr(settings, name) for name in names}
    if settings.kind == "vllm":
        own |= {"quantization": settings.vllm.quantization, "engine_args": settings.vllm.engine_args}
        if settings.vllm.adapter is not None:
            own["adapter"] = models.identity(settings.vllm.adapter)
    return {**own, "model": models.identity(settings.model, settings.revision)}


def _served(settings: EngineSettings) -> dict[str, Any]:
    """The identity of a model that a server has: its name, and how it is asked."""
    names = ["kind", "max_new_tokens", "answer_budget", "answer_floor", "temperature"]
    if settings.temperature > 0:
        names += ["top_p", "seed"]
    own = {name: getattr(settings, name) for name in names}
    asked = {"json_answers": settings.openai.json_answers, "body": settings.openai.body}
    return {**own, **asked, "model": {"served": settings.model}}


def rows_at_once(settings: EngineSettings) -> int:
    """Rows that an engine works on at the same time, as far as settings say it."""
    if settings.kind == "openai":
        return settings.openai.concurrency
    return settings.vllm.rows if settings.kind == "vllm" else ROWS_AT_ONCE


def build(settings: EngineSettings) -> Engine:
    """The engine itself, its weights loaded. Raises `UserError` when that fails."""
    if settings.kind == "echo":
        from midb_ray.engines.echo import EchoEngine

        return EchoEngine(settings)
    if settings.kind == "vllm":
        from midb_ray.engines import vllm

        return vllm.load(settings)
    if settings.kind == "openai":
        from midb_ray.engines.openai import load as load_openai

        return load_openai(settings)
    from midb_ray.engines import transformers

    return transformers.load(settings)
