"""Low-rank adapters (Hu et al. 2021), with peft."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from midb_ray.errors import UserError
from midb_ray.training.settings import LoraSettings

if TYPE_CHECKING:
    import torch

ALL_LINEAR = "all-linear"


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
    config = LoraConfig(
        r=settings.rank,
        lora_alpha=settings.alpha,  # peft's annotation says int; it only ever divides by it
        lora_dropout=settings.dropout,
        target_modules=targets,
        bias="none",
        task_type="CAUSAL_LM",
    )
    return get_peft_model(model, config)


def refuse_absent(model: torch.nn.Module, targets: tuple[str, ...]) -> None:
    """Raise `UserError` for a target that names no linear layer of the model."""
    import torch

    linear = {name.rpartition(".")[2] for name, module in model.named_modules() if isinstance(module, torch.nn.Linear)}
    if absent := [target for target in targets if target not in linear]:
        raise UserError(
            f"lora.targets: the model has no linear layer {absent[0]!r}; it has {', '.join(sorted(linear))}, or say {ALL_LINEAR}."
        )
