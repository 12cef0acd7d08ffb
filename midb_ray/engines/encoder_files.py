"""A sentence encoder on disk or on a hub, looked at without loading its weights: is it whole, and what do its files say?"""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

from midb_ray.engines import encoder_recipe, hub, models
from midb_ray.engines.encoder_recipe import WEIGHTS, Dense, Recipe
from midb_ray.engines.encoding import fast_tokenizer
from midb_ray.errors import UserError
from midb_ray.runs import tensors

_DESCRIPTIONS = ("*.json", "*.model", "*.txt")  # what is fetched from a hub without the weights


class EncoderFacts(NamedTuple):
    """What is known of an encoder before its weights are loaded: their bytes, 0 for a hub id; the resolved commit of a hub id, None
    for a directory."""

    weight_bytes: int
    commit: str | None


class EncoderFiles(NamedTuple):
    """A whole encoder: where its files lie, and what they say. `config` and `tokenizer` are of transformers."""

    folder: Path
    recipe: Recipe
    config: Any
    tokenizer: Any
    facts: EncoderFacts


def check(model: str, revision: str | None = None) -> EncoderFacts:
    """The facts of an encoder's directory or hub id. Raises `UserError` when something needed is missing, damaged or unknown."""
    return look(model, revision).facts


def identity(model: str, revision: str | None = None) -> dict[str, Any]:
    """Which encoder this is, the same on every machine: as `models.identity`, with the files that say how vectors come of it."""
    known, folder = models.identity(model, revision), models.directory(model)
    if folder is not None:
        for path in encoder_recipe.files(folder):
            known["files"][path.relative_to(folder).as_posix()] = models.digest(path)
    return known


def look(model: str, revision: str | None = None) -> EncoderFiles:
    """All that can be known without the weights. Raises `UserError`."""
    folder, commit = models.directory(model), None
    if folder is not None:
        if revision is not None:
            raise UserError(f"The revision is {revision!r} but {model} is a directory; only hub ids have revisions.")
        names = [path.relative_to(folder).as_posix() for path in folder.glob("*/*")]
        weight_bytes = models.check_files(folder)
    else:
        commit, weight_bytes = hub.commit(model, revision), 0
        names = hub.files(model, commit)
        models.refuse_adapter(model, names)
        models.choose_weights(model, [name for name in names if "/" not in name])
        folder = hub.fetch(model, commit, _DESCRIPTIONS)
    recipe = encoder_recipe.read(folder)
    for step in recipe.steps:
        if isinstance(step, Dense):
            inside = f"{step.folder}/"
            models.choose_weights(
                f"{model}/{step.folder}", [n.removeprefix(inside) for n in names if n.startswith(inside)]
            )
            weight_bytes += _check_dense(folder / step.folder / WEIGHTS) if commit is None else 0
    config, tokenizer = _config(folder, model), fast_tokenizer(str(folder), model)
    if (vocabulary := getattr(config.get_text_config(), "vocab_size", None)) is not None:
        check_vocabulary(model, tokenizer, vocabulary)
    return EncoderFiles(folder, recipe, config, tokenizer, EncoderFacts(weight_bytes, commit))


def fetch_weights(model: str, files: EncoderFiles) -> None:
    """Put a hub id's weights beside its other files. Raises `UserError`."""
    if files.facts.commit is not None:
        dense = [f"{step.folder}/{WEIGHTS}" for step in files.recipe.steps if isinstance(step, Dense)]
        hub.fetch(model, files.facts.commit, ("model*.safetensors", *dense))
        for name in dense:
            _check_dense(files.folder / name)


def check_vocabulary(model: str, tokenizer: Any, vocabulary: int) -> None:
    """Raises `UserError` for a tokenizer with ids beyond a model's embeddings: on a GPU they would be its end."""
    last = max(tokenizer.get_vocab().values(), default=0)
    if last >= vocabulary:
        raise UserError(
            f"The tokenizer of {model} has ids up to {last}, but the model knows only {vocabulary} tokens; tokenizer and "
            "weights belong to different models."
        )


def _check_dense(path: Path) -> int:
    size = models.check_safetensors(path)
    with path.open("rb") as file:
        names = {name for name, _ in tensors.tensors(tensors.header(file)[0])}
    if "linear.weight" not in names or names - {"linear.weight", "linear.bias"}:
        raise UserError(f"{path} holds {', '.join(sorted(names))}; expected linear.weight and perhaps linear.bias.")
    return size


def _config(folder: Path, model: str) -> Any:
    from transformers import MODEL_FOR_TEXT_ENCODING_MAPPING, MODEL_MAPPING

    config = models.read_config(str(folder), model)
    known = MODEL_FOR_TEXT_ENCODING_MAPPING if getattr(config, "is_encoder_decoder", False) else MODEL_MAPPING
    if type(config) not in known:
        raise UserError(f"{model} is a {config.model_type!r} model; expected an encoder of texts.")
    return config
