"""Train a booster: read revisions, make examples, fit on Ray Train, export, commit."""

from __future__ import annotations

import json
import logging
import math
import os
import tempfile
from pathlib import Path
from typing import Any

import xxhash

import midb_ray
from midb_ray.engines import registry as engines
from midb_ray.engines.encoding import PromptEncoder, load_tokenizer
from midb_ray.engines.settings import EngineSettings
from midb_ray.errors import UserError
from midb_ray.locales import Locales, load_locales
from midb_ray.pairs import Revision
from midb_ray.runs import cluster, inputs, storage
from midb_ray.training import examples, export, model, revisions
from midb_ray.training.settings import TrainSettings
from midb_ray.training.worker import train_worker

logger = logging.getLogger("midb_ray")

_RECORD = "train.json"  # what made the booster; its presence says that the directory is whole
_PLACES = ("output", "address", "log_steps", "workers", "cpus_per_worker", "gpus_per_worker")


def train(settings: TrainSettings) -> Path:
    """Run the job; returns the model directory. Does nothing if the same job has finished there before.

    Raises `UserError` for what the user can mend.
    """
    output = _place(settings.output)
    settings = _pinned(settings)
    made_of = _fingerprint(settings)
    if _is_finished(output, made_of):
        logger.info("The booster in %s is finished; nothing to do.", output)
        return output
    locales = load_locales(settings.locales)
    found = revisions.read(settings.revisions, locales)
    with export.writing(output):
        output.parent.mkdir(parents=True, exist_ok=True)
        folder = tempfile.TemporaryDirectory(prefix=f".{output.name}-", dir=output.parent)
    with folder as scratch:
        with export.writing(output):
            task, facts = _prepare(settings, found, locales, output, Path(scratch))
        with cluster.connected(settings.address, dashboard=True):
            _fit(settings, task, scratch)
        with export.writing(output):
            facts.update(json.loads(Path(task["measured"]).read_text()))
            export.write_card(task["target"], settings, facts)
            export.verify(task["target"])
            record = {"made_of": made_of, "settings": settings.model_dump(mode="json"), **facts}
            (Path(task["target"]) / _RECORD).write_text(json.dumps(record, ensure_ascii=False, indent=1))
            Path(task["target"]).rename(output)
    logger.info(
        "Booster: %s (loss %.4f after %d steps, %.0f s)", output, facts["loss"], facts["steps"], facts["seconds"]
    )
    return output


def _place(output: str) -> Path:
    """Where the booster goes. Raises `UserError` for what is no path."""
    if not storage.is_local(output):
        raise UserError(f"The output {output} is no path; the train job writes to a folder that every node sees.")
    cluster.refuse_lost(output)
    return Path(storage.absolute(output))


def _pinned(settings: TrainSettings) -> TrainSettings:
    """The same settings for workers elsewhere and jobs later: see `engines.registry.pinned`. Raises `UserError` for a start
    model that could not be used."""
    if settings.model is None:
        return settings
    start = EngineSettings(model=settings.model, revision=settings.revision)
    start = engines.pinned(start, engines.check(start))
    return settings.model_copy(update={"model": start.model, "revision": start.revision})


def _prepare(
    settings: TrainSettings, found: list[Revision], locales: Locales, output: Path, scratch: Path
) -> tuple[dict[str, Any], dict[str, Any]]:
    """What the workers need, and what the card says of it. Raises OSError."""
    rendered = examples.texts(found, locales, settings.template, settings.unchanged_share, settings.seed)
    if settings.model is None:
        start = str(scratch / "start")
        tokenizer = model.fresh_tokenizer((text for pair in rendered for text in pair), settings.fresh)
        tokenizer.save_pretrained(start)
        model.fresh_model(tokenizer, settings.fresh, settings.seed).save_pretrained(start)
    else:
        start = settings.model
        tokenizer = load_tokenizer(start, settings.revision)
    encoded = examples.encode(PromptEncoder(tokenizer), rendered, settings.max_tokens)
    if not encoded:
        raise UserError(f"All {len(rendered)} examples are longer than max_tokens ({settings.max_tokens}); raise it.")
    steps = max(math.ceil(settings.epochs * len(encoded) / settings.batch_size), 1)
    languages = sorted({revision.pair.language for revision in found})
    facts = {
        "version": midb_ray.__version__,
        "start": settings.model or "random weights, tokenizer trained on the revisions",
        "examples": len(encoded),
        "revisions": len(found),
        "languages": len(languages),
        "sources": ", ".join(settings.revisions),
        "left_out": len(rendered) - len(encoded),
    }
    task = {
        "settings": settings.model_dump(mode="json"),
        "model": start,
        "examples": [(example.ids, example.answer) for example in encoded],
        "steps": steps,
        "output": str(output),
        "target": str(scratch / "booster"),
        "measured": str(scratch / "measured.json"),
    }
    logger.info("Training on %d examples in %d languages, %d steps.", len(encoded), len(languages), steps)
    return task, facts


def _fit(settings: TrainSettings, task: dict[str, Any], scratch: str) -> None:
    from ray.train import RunConfig, ScalingConfig
    from ray.train.torch import TorchConfig, TorchTrainer

    os.environ.setdefault("RAY_TRAIN_ENABLE_PRINT_PATCH", "0")
    resources = {
        "CPU": settings.cpus_per_worker,
        **({"GPU": settings.gpus_per_worker} if settings.gpus_per_worker else {}),
    }
    trainer = TorchTrainer(
        train_worker,
        train_loop_config=task,
        torch_config=TorchConfig(backend="nccl" if settings.gpus_per_worker else "gloo"),
        scaling_config=ScalingConfig(
            num_workers=settings.workers, use_gpu=settings.gpus_per_worker > 0, resources_per_worker=resources
        ),
        run_config=RunConfig(name="train", storage_path=str(Path(scratch) / "ray")),
    )
    try:
        result = trainer.fit()
    except Exception as error:
        raise cluster.original(error) from error
    if result.error is not None:
        raise cluster.original(result.error)


def _fingerprint(settings: TrainSettings) -> dict[str, Any]:
    """What the booster depends on, files by their content. Raises `UserError` for files that cannot be read."""
    chosen = {
        key: value for key, value in settings.model_dump(mode="json").items() if key not in (*_PLACES, "revisions")
    }
    if settings.locales is not None:
        chosen["locales"] = _content(settings.locales, settings.locales)
    return {
        **chosen,
        "revisions": {file.name: _content(file.name, file.uri) for file in inputs.find(settings.revisions)},
    }


def _content(name: str, uri: str) -> str:
    try:
        content = storage.read_bytes(uri)
    except OSError as error:
        raise storage.explain(error, name, "read") from None
    return f"{len(content)}:{xxhash.xxh3_128_hexdigest(content)}"


def _is_finished(output: Path, made_of: dict[str, Any]) -> bool:
    if not os.path.lexists(output):
        return False
    try:
        before = json.loads((output / _RECORD).read_text())["made_of"]
    except (OSError, ValueError, KeyError, TypeError):
        raise UserError(f"The output {output} exists and is no booster of this job; give another --output.") from None
    changed = [key for key in sorted({*before, *made_of}) if before.get(key) != made_of.get(key)]
    if changed:
        shown = "; ".join(f"{key} was {before.get(key)!r}, is now {made_of.get(key)!r}" for key in changed)
        raise UserError(
            f"The booster in {output} was trained with other settings: {shown[:600]}. Give another --output."
        )
    return True
