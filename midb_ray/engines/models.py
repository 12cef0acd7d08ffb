"""A model on disk or on a hub, looked at without loading its weights: is it whole, what can it do, which one is it."""

from __future__ import annotations

import json
from fnmatch import fnmatch
from pathlib import Path
from typing import Any, NamedTuple

import xxhash

from midb_ray.engines import hub
from midb_ray.engines.base import Bounds
from midb_ray.engines.encoding import PromptEncoder, load_tokenizer
from midb_ray.errors import UserError, one_line
from midb_ray.runs import tensors

_WEIGHTS, _INDEX = "model.safetensors", "model.safetensors.index.json"
_PICKLES = ("*.bin", "*.pt", "*.pth", "*.ckpt")
_BEHAVIOUR = (  # files that change what a model says; notes, logs and optimizer states beside them do not
    "config.json",
    "adapter_config.json",
    "generation_config.json",
    "tokenizer*",
    "special_tokens_map.json",
    "added_tokens.json",
    "vocab.*",
    "merges.txt",
    "*.model",
    "*.tiktoken",
    "chat_template*",
    "*.safetensors",
    _INDEX,
)
_END = 1 << 20  # bytes hashed at both ends of a weights file
_TENSORS, _SAMPLE = 512, 4096  # and of so many tensors so many bytes: training a few matrices leaves both ends alone


class ModelFacts(NamedTuple):
    """What is known of a model before its weights are loaded.

    `context` is the longest prompt and answer together in tokens, None when the model sets no bound; `weight_bytes` is
    0 for a hub id; `commit` is the resolved one of a hub id, None for a directory.
    """

    context: int | None
    vocabulary: int
    weight_bytes: int
    commit: str | None


def check(model: str, revision: str | None = None) -> ModelFacts:
    """The facts of a model directory or hub id. Raises `UserError` when something needed is missing or damaged."""
    folder = directory(model)
    commit, weight_bytes = None, 0
    if folder is None:
        commit = hub.commit(model, revision)
        names = hub.files(model, commit)
        refuse_adapter(model, names)
        choose_weights(model, names)
    else:
        if revision is not None:
            raise UserError(f"engine.revision is {revision!r} but {model} is a directory; only hub ids have revisions.")
        weight_bytes = check_files(folder)
    config = load_config(model, commit)
    encoder = PromptEncoder(load_tokenizer(model, commit))
    vocabulary = int(config.get_text_config().vocab_size)
    if encoder.end >= vocabulary:
        raise UserError(
            f"The tokenizer of {model} ends answers with token {encoder.end}, but the model knows only {vocabulary} "
            "tokens; tokenizer and weights belong to different models."
        )
    return ModelFacts(context_length(config), vocabulary, weight_bytes, commit)


def identity(model: str, revision: str | None = None) -> dict[str, Any]:
    """Which model this is, the same on every machine: commit of a hub id, or sizes and hashes of a directory's files.

    Weights are not read whole but in samples (both ends, the header, the beginning of up to 512 tensors), so that
    hundreds of gigabytes take seconds.
    """
    folder = directory(model)
    if folder is None:
        return {"hub": model, "commit": hub.commit(model, revision)}
    files = {}
    for path in sorted(folder.iterdir()):
        if path.is_file() and any(fnmatch(path.name, pattern) for pattern in _BEHAVIOUR):
            files[path.name] = digest(path)
    return {"files": files}


def directory(model: str) -> Path | None:
    """The model's directory, or None for a hub id. Raises `UserError` for what can be neither."""
    path = Path(model).expanduser()
    try:
        is_folder, is_there = path.is_dir(), path.exists()
    except OSError as error:
        raise UserError(f"Cannot read the model directory {model}: {error.strerror}.") from None
    if is_folder:
        return path
    if is_there:
        raise UserError(f"The model {model} is a file; expected the directory that it stands in.")
    parts = model.split("/")
    if len(parts) > 2 or not all(parts) or model.startswith((".", "~")) or "\\" in model:
        raise UserError(f"The model directory {model} does not exist on this machine.")
    return None


def load_config(model: str, revision: str | None = None) -> Any:
    """The model's configuration. Raises `UserError` when it cannot be read or is of no causal language model."""
    from transformers import MODEL_FOR_CAUSAL_LM_MAPPING

    config = read_config(str(directory(model) or model), model, revision)
    if type(config) not in MODEL_FOR_CAUSAL_LM_MAPPING:
        raise UserError(f"{model} is a {config.model_type!r} model; expected a causal language model.")
    return config


def read_config(place: str, model: str, revision: str | None = None) -> Any:
    """The configuration of any model that lies at `place`. Raises `UserError` for one that cannot be used."""
    from transformers import AutoConfig

    try:
        config = AutoConfig.from_pretrained(place, revision=revision, trust_remote_code=False)
    except Exception as error:  # the library raises a dozen kinds, all of them about this file
        raise UserError(f"Cannot use config.json of {model}: {one_line(error)}") from None
    if "/" in str(attention := getattr(config, "_attn_implementation", None)):  # compiled code, from the hub
        raise UserError(
            f"config.json of {model} asks for the attention {attention!r}, code that is not part of transformers; take "
            "attn_implementation out of it."
        )
    return config


def bounds(network: Any, context: int | None) -> Bounds:
    """What fits a loaded model of transformers, within the `context` of the settings."""
    own = context_length(network.config)
    known = [length for length in (own, context) if length is not None]
    return Bounds(network.get_input_embeddings().num_embeddings, min(known, default=None))


def context_length(config: Any) -> int | None:
    """Tokens that fit in the model's context, None without a bound."""
    length = getattr(config.get_text_config(), "max_position_embeddings", None)
    return int(length) if length else None


def check_files(folder: Path) -> int:
    """Look whether a directory holds a whole model; bytes of its weights."""
    try:
        names = [path.name for path in folder.iterdir()]
    except OSError as error:
        raise UserError(f"Cannot read the model directory {folder}: {error.strerror}.") from None
    if "config.json" not in names:
        if "adapter_config.json" in names:
            raise UserError(f"{folder} holds only an adapter; merge it with its base model and give that directory.")
        if "booster" in names:
            raise UserError(f"{folder} is the run folder of a train job; give the booster in it, {folder / 'booster'}.")
        raise UserError(f"{folder} is no model directory: it has no config.json.")
    refuse_adapter(str(folder), names)
    read_json(folder / "config.json")
    if choose_weights(str(folder), names) == _WEIGHTS:
        return check_safetensors(folder / _WEIGHTS)
    weight_map = read_json(folder / _INDEX).get("weight_map")
    if not isinstance(weight_map, dict) or not weight_map:
        raise UserError(f"{folder / _INDEX} has no weight_map, so the weights cannot be found; save the model again.")
    if missing := sorted(set(weight_map.values()) - set(names)):
        raise UserError(f"{folder} lacks {missing[0]}, which {_INDEX} names ({len(missing)} missing); copy it whole.")
    return sum(check_safetensors(folder / name) for name in sorted(set(weight_map.values())))


def refuse_adapter(model: str, names: list[str]) -> None:
    """Raises `UserError` where an adapter lies among a model's files."""
    if "adapter_config.json" in names:
        raise UserError(
            f"{model} holds an adapter (adapter_config.json) beside its model, which transformers would add without a word; "
            "merge them, or take it out."
        )


def choose_weights(model: str, names: list[str]) -> str:
    """The safetensors file to begin with. Raises `UserError` when there is none."""
    for name in (_WEIGHTS, _INDEX):
        if name in names:
            return name
    if pickles := sorted(name for name in names if any(fnmatch(name, pattern) for pattern in _PICKLES)):
        raise UserError(
            f"{model} has its weights only as {pickles[0]}, a format that can run code when loaded; convert them to "
            "safetensors (load and `save_pretrained` them where you trust them)."
        )
    raise UserError(f"{model} has no weights: expected {_WEIGHTS} or {_INDEX}.")


def check_safetensors(path: Path) -> int:
    """The size of a safetensors file in bytes. Raises `UserError` unless it is as long as its header says."""
    try:
        with path.open("rb") as file:
            end = tensors.length(file)
    except OSError as error:
        raise UserError(f"Cannot read {path}: {error.strerror}.") from None
    except ValueError:
        raise UserError(f"{path} is no safetensors file or a damaged one; copy or save the model again.") from None
    size = path.stat().st_size
    if size != end:
        raise UserError(f"{path} has {size} bytes but its header promises {end}; it was cut off, copy the model again.")
    return size


def digest(path: Path) -> str:
    """Size and hash of a model's file; of weights, the hash of samples of them."""
    found = _sampled_hash(path) if path.suffix == ".safetensors" else xxhash.xxh3_128(path.read_bytes())
    return f"{path.stat().st_size}:{found.hexdigest()}"


def _sampled_hash(path: Path) -> xxhash.xxh3_128:
    found = xxhash.xxh3_128()
    with path.open("rb") as file:
        header, start = tensors.header(file)
        file.seek(0)
        found.update(file.read(start + _END))
        offsets = sorted(tensor["data_offsets"][0] for _, tensor in tensors.tensors(header))
        for offset in offsets[:: len(offsets) // _TENSORS + 1]:
            file.seek(start + offset)
            found.update(file.read(_SAMPLE))
        file.seek(max(start, path.stat().st_size - _END))
        found.update(file.read(_END))
    return found


def read_json(path: Path) -> dict[str, Any]:
    """An object from a JSON file. Raises `UserError`."""
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UserError(f"Cannot read {path}: {error.strerror}.") from None
    except (ValueError, RecursionError) as error:
        raise UserError(f"{path} is not valid JSON: {one_line(error)}.") from None
    if not isinstance(value, dict):
        raise UserError(f"{path}: expected a JSON object, found {type(value).__name__}.")
    return value
