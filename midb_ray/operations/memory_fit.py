"""Whether a model and its cache of keys and values fit into the memory of a machine's GPUs."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from midb_ray.errors import UserError
from midb_ray.operations.prices import Machine

RESERVE = 1.5e9  # bytes of each GPU for CUDA, activations and the batch's own tensors
_BYTES = {"float32": 4, "bfloat16": 2, "float16": 2}

Verdict = Literal["fits", "tight", "too small", "unknown"]


@dataclass(frozen=True)
class Footprint:
    """A model in memory: bytes of its weights and of the keys and values of one token."""

    weights: float
    token: float


@dataclass(frozen=True)
class Demand:
    """What the engine of a replica should hold: so many rows at once, of so many tokens on average and at most."""

    rows: int
    mean: float
    longest: float


@dataclass(frozen=True)
class Fit:
    """Whether it fits, how many tokens and rows of mean length there is room for, and why."""

    verdict: Verdict
    tokens: float
    rows: int
    words: str


def footprint(engine: dict[str, Any], on_gpu: bool) -> Footprint:
    """The footprint of the model that a run's settings name, in its directory or in the cache of what was had from a hub; no hub is
    asked. Raises `UserError` where it lies in neither."""
    from midb_ray.engines import models

    model = engine.get("model")
    if engine.get("kind") not in ("transformers", "vllm") or not model:
        raise UserError(f"the {engine.get('kind')} engine has no model of its own")
    place = models.directory(model) or _cached(model, engine.get("revision"))
    if place is None:
        raise UserError(f"{model} lies neither in a directory nor in the hub's cache here")
    config = models.load_config(str(place))
    return of(config, models.check_files(place), str(engine.get("dtype", "auto")), on_gpu, _quantised(engine, config))


def of(config: Any, file_bytes: int, dtype: str, on_gpu: bool, quantised: bool = False) -> Footprint:
    """The footprint of a model with this configuration, whose weights are so many bytes on disk."""
    text = config.get_text_config()
    saved = str(getattr(config, "dtype", None) or "float32").removeprefix("torch.")
    computed = dtype if dtype in _BYTES else ("bfloat16" if on_gpu else "float32")
    size = _BYTES[computed]
    heads = int(text.num_attention_heads)
    width = int(getattr(text, "head_dim", None) or text.hidden_size // heads)
    shared = int(getattr(text, "num_key_value_heads", None) or heads)
    weights = file_bytes if quantised else file_bytes * size / _BYTES.get(saved, size)
    return Footprint(float(weights), 2.0 * int(text.num_hidden_layers) * shared * width * size)


def fit(found: Footprint, demand: Demand, machine: Machine, gpus: float, share: float, replicas: int) -> Fit:
    """Whether a replica with so many GPUs (0: on the CPUs, with `replicas` on a node) of this machine holds what it should, with
    `share` of the memory for the engine."""
    room = machine.gpu_gigabytes * 1e9 * gpus * share if gpus else machine.gigabytes * 1e9 * share / max(replicas, 1)
    left = room - found.weights - RESERVE * max(gpus, 1 if gpus else 0)
    tokens = max(left / found.token, 0.0) if found.token else 0.0
    rows = int(tokens / max(demand.mean, 1))
    words = f"{found.weights / 1e9:.1f} GB of weights in {room / 1e9:.1f} GB, room for {tokens:,.0f} tokens"
    if left <= 0 or tokens < demand.longest:
        return Fit("too small", tokens, rows, words)
    if rows < demand.rows:
        return Fit("tight", tokens, rows, f"{words}: {rows:,} of {demand.rows:,} rows at once")
    return Fit("fits", tokens, rows, words)


def _cached(model: str, revision: str | None) -> Path | None:
    from huggingface_hub import try_to_load_from_cache

    found = try_to_load_from_cache(model, "config.json", revision=revision)
    return Path(found).parent if isinstance(found, str) else None


def _quantised(engine: dict[str, Any], config: Any) -> bool:
    return bool(engine.get("vllm", {}).get("quantization")) or hasattr(config, "quantization_config")
