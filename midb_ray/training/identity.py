"""What makes a training run the one that it is: what its booster depends on, and what may change while it goes on."""

from __future__ import annotations

from typing import Any

import xxhash

from midb_ray import config
from midb_ray.engines import models
from midb_ray.engines import registry as engines
from midb_ray.engines.settings import EngineSettings
from midb_ray.errors import UserError
from midb_ray.locales import Locales
from midb_ray.runs import inputs, storage
from midb_ray.training import attention
from midb_ray.training.settings import TrainSettings

# What changes nothing in the booster but its last digits, and what stands in the fingerprint by its content.
_PLACES = {"output", "address", "accept", "fresh", "dry_run", "log_steps", "tensorboard", "card_rows", "max_failures"}
_PLACES |= {"workers", "cpus_per_worker", "gpus_per_worker", "micro_tokens", "packing", "gradient_checkpointing"}
_PLACES |= {"checkpoint", "zero", "label_selector"}
_CONTENT = {"revisions", "model", "revision", "locales"}

# What made the examples, or where a step begins: it cannot change while a run goes on.
DATA = {"revisions", "selection", "seed", "template", "locales", "model", "scratch", "max_tokens", "overlong"}
DATA |= {"batch_size", "batch_tokens"}


def refuse_data(accept: tuple[str, ...]) -> None:
    """Raise `UserError` for a setting that is to change in a run that goes on, and made its examples."""
    for key in accept:
        if key.partition(".")[0] in DATA:
            raise UserError(
                f"--accept {key}: {key} made the examples of the run and cannot change in it; start over with --fresh, or give "
                "another --output."
            )


def pinned(settings: TrainSettings) -> TrainSettings:
    """The same settings for workers elsewhere and jobs later: see `engines.registry.pinned`. Raises `UserError` for a start
    model that could not be used, and for examples that are longer than it can take."""
    if settings.model is None:
        positions: int | None = settings.scratch.positions
    else:
        start = EngineSettings(model=settings.model, revision=settings.revision)
        facts = engines.check(start)
        start = engines.pinned(start, facts)
        settings = settings.model_copy(update={"model": start.model, "revision": start.revision})
        form = models.load_config(str(start.model), start.revision)
        positions = models.context_length(form)
        if settings.packing:
            attention.check(form)
    if positions is not None and settings.max_tokens > positions:
        raise UserError(
            f"max_tokens is {settings.max_tokens}, but the model knows only {positions} positions; set max_tokens to at most that."
        )
    return settings


def fingerprint(settings: TrainSettings, locales: Locales) -> dict[str, Any]:
    """What the booster depends on, files by their content. Raises `UserError` for files that cannot be read."""
    pointless = {"scratch"} if settings.model is not None else set()
    pointless |= {"lora"} if settings.method == "full" else set()
    left_out = _PLACES | _CONTENT | pointless
    chosen = {key: value for key, value in config.flat(settings).items() if key.partition(".")[0] not in left_out}
    model = {} if settings.model is None else models.identity(settings.model, settings.revision)
    files = inputs.find(settings.revisions, leave_out=settings.output)
    return {
        **chosen,
        "model": model,
        "locales": locales.fingerprint(),
        "revisions": {file.name: _content(file.name, file.uri) for file in files},
    }


def _content(name: str, uri: str) -> str:
    try:
        content = storage.read_bytes(uri)
    except OSError as error:
        raise storage.explain(error, name, "read") from None
    return f"{len(content)}:{xxhash.xxh3_128_hexdigest(content)}"
