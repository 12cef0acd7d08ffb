"""Low-rank adapters (Hu et al. 2021), with peft."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from midb_ray.errors import UserError, one_line
from midb_ray.runs import tensors
from midb_ray.training.settings import LoraSettings

if TYPE_CHECKING:
    import torch

ALL_LINEAR = "all-linear"
CONFIG, WEIGHTS = "adapter_config.json", "adapter_model.safetensors"
_NAME = "default"  # peft's, of a model's only adapter
_PREFIX = "base_model.model."


def apply(model: torch.nn.Module, settings: LoraSettings) -> Any:
    """The model with fresh adapters, all else frozen; it learns nothing at first: the second matrix is zero.

    Raises `UserError` for targets that the model does not have.
    """
    from peft import LoraConfig, get_peft_model

    targets: str | list[str] = list(settings.targets)
    if settings.targets == (ALL_LINEAR,):
        targets = ALL_LINEAR
    else:
        refuse_absent(model, settings.targets)
        _refuse_tied(model, settings.targets)
    config = LoraConfig(
        r=settings.rank,
        lora_alpha=settings.alpha,  # peft says int, and only divides by it
        lora_dropout=settings.dropout,
        target_modules=targets,
        bias="none",
        task_type="CAUSAL_LM",
    )
    return get_peft_model(model, config)


def refuse_absent(model: torch.nn.Module, targets: tuple[str, ...]) -> None:
    """Raise `UserError` for a target that names no linear layer of the model."""
    import torch
    from transformers.pytorch_utils import Conv1D  # a linear layer whose weight is kept transposed (GPT-2)

    kinds = (torch.nn.Linear, Conv1D)
    linear = {name.rpartition(".")[2] for name, module in model.named_modules() if isinstance(module, kinds)}
    if absent := [target for target in targets if target not in linear]:
        raise UserError(
            f"lora.targets: the model has no linear layer {absent[0]!r}; it has {', '.join(sorted(linear))}, or say {ALL_LINEAR}."
        )


def _refuse_tied(model: Any, targets: tuple[str, ...]) -> None:
    """Raise `UserError` for the output layer where it shares its weight with the embedding: merging would change both."""
    output = model.get_output_embeddings()
    if output is None or output.weight is not model.get_input_embeddings().weight:
        return
    name = next(name for name, module in model.named_modules() if module is output).rpartition(".")[2]
    if name in targets:
        raise UserError(f"lora.targets: {name} shares its weight with the embedding in this model; leave it out.")


class Adapter(NamedTuple):
    """How an adapted layer's weight is made of its parts: base + scale x (B A), transposed where the layer keeps it so."""

    scale: float
    transposed: bool


def adapters(model: torch.nn.Module) -> dict[str, Adapter]:
    """The adapted layers of a model by name."""
    from peft.tuners.lora import LoraLayer

    return {
        name: Adapter(float(module.scaling[_NAME]), bool(getattr(module, "fan_in_fan_out", False)))
        for name, module in model.named_modules()
        if isinstance(module, LoraLayer)
    }


def merge(weights: dict[str, torch.Tensor], adapted: dict[str, Adapter]) -> dict[str, torch.Tensor]:
    """The weights of the plain model: adapters added to the layers that they belong to, in float32, one after the other, and
    named as they were before there were adapters. Takes the weights out of what it is given, so that no two copies stand."""
    for name, (scale, transposed) in adapted.items():
        down = weights.pop(f"{name}.lora_A.{_NAME}.weight").float()
        up = weights.pop(f"{name}.lora_B.{_NAME}.weight").float()
        base = weights[f"{name}.base_layer.weight"]
        change = scale * (up @ down)
        weights[f"{name}.base_layer.weight"] = (base.float() + (change.T if transposed else change)).to(base.dtype)
    return {name.removeprefix(_PREFIX).replace(".base_layer.", "."): weights.pop(name) for name in list(weights)}


def write(folder: Path, model: Any, weights: dict[str, torch.Tensor], base: str, revision: str | None) -> None:
    """Write the adapter alone as peft does; `weights` are the trained ones. Raises OSError."""
    folder.mkdir(parents=True, exist_ok=True)
    config = copy.deepcopy(model.peft_config[_NAME])
    config.base_model_name_or_path, config.revision, config.inference_mode = base, revision, True
    config.save_pretrained(folder)
    plain = {name.replace(f".{_NAME}.", "."): tensor.contiguous() for name, tensor in weights.items()}
    tensors.save(plain, folder / WEIGHTS)


def check(folder: Path) -> None:
    """Raise `UserError` unless the adapter in a folder is whole: both matrices of every layer, of the rank that it states, and
    neither empty, nor without effect, nor with anything but numbers."""
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        rank = int(json.loads((folder / CONFIG).read_text(encoding="utf-8"))["r"])
        weights = load_file(folder / WEIGHTS)
    except (OSError, ValueError, KeyError, TypeError, SafetensorError) as error:
        raise UserError(f"The adapter in {folder} is damaged: {one_line(error)}; export it again.") from None
    downs = {name.removesuffix(".lora_A.weight") for name in weights if name.endswith(".lora_A.weight")}
    ups = {name.removesuffix(".lora_B.weight") for name in weights if name.endswith(".lora_B.weight")}
    if not downs or downs != ups:
        raise UserError(
            f"The adapter in {folder} is not whole: it has {len(downs)} first and {len(ups)} second matrices."
        )
    for name in sorted(downs):
        down, up = weights[f"{name}.lora_A.weight"], weights[f"{name}.lora_B.weight"]
        if down.dim() != 2 or up.dim() != 2 or down.shape[0] != rank or up.shape[1] != rank:
            shapes = f"{tuple(down.shape)} and {tuple(up.shape)}"
            raise UserError(
                f"The adapter in {folder} is not whole: {name} has shapes {shapes}, and its rank is {rank}."
            )
        if not (down.isfinite().all() and up.isfinite().all()):
            raise UserError(f"The adapter in {folder} cannot be used: {name} has values that are no numbers.")
        if not (down.any() and up.any()):
            raise UserError(f"The adapter in {folder} is empty: {name} changes nothing, so nothing was trained there.")
