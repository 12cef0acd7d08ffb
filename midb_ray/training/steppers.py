"""How gradients are made and applied: what the loop asks of a stepper, and the plain one, which needs no other process."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from midb_ray.training.settings import TrainSettings

if TYPE_CHECKING:
    import torch

MOMENTS = ("exp_avg", "exp_avg_sq")
"""AdamW's two means, by torch's names."""


class Fragment(NamedTuple):
    """The part of a trained parameter that one worker keeps in float32, flat, from its element `start` on: `master`, its value, and
    `moments`, by the names in `MOMENTS`. All are the optimizer's own tensors: writing to them changes it."""

    name: str
    start: int
    master: torch.Tensor
    moments: dict[str, torch.Tensor]


class Stepper(Protocol):
    """One worker's model and optimizer."""

    device: torch.device
    module: torch.nn.Module
    workers: int
    rank: int
    packing: bool

    def compute(self) -> contextlib.AbstractContextManager[Any]:
        """The block in which a forward pass stands."""
        ...

    def backward(self, loss: torch.Tensor, last: bool) -> None:
        """Add the gradients of a micro-batch's loss; `last` of its step."""
        ...

    def update(self, learning_rate: float) -> float:
        """Apply the gradients, averaged over the workers; returns their norm before clipping."""
        ...

    def total(self, *values: float) -> list[float]:
        """Each value summed over all workers. Every worker must call it."""
        ...

    def fragments(self) -> Iterator[Fragment]:
        """What this worker has to write into a checkpoint; together the workers' fragments are everything that is trained."""
        ...

    def set_moments(self, step: int, read: Any) -> None:
        """Go on after `step` steps: `read(name, kind, start, count)` gives what a checkpoint has for a stretch of a parameter."""
        ...

    def weights(self, trained_only: bool = False) -> dict[str, torch.Tensor]:
        """Weights on the CPU, on the first worker; nothing elsewhere. Every worker must call it."""
        ...


def parameter_groups(model: torch.nn.Module, weight_decay: float) -> list[dict[str, Any]]:
    """Trained parameters for AdamW: matrices with weight decay, vectors (norms, biases) without."""
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    matrices = [parameter for parameter in trained if _dimensions(parameter) > 1]
    vectors = [parameter for parameter in trained if _dimensions(parameter) <= 1]
    groups = [{"params": matrices, "weight_decay": weight_decay}, {"params": vectors, "weight_decay": 0.0}]
    return [group for group in groups if group["params"]]


def _dimensions(parameter: torch.Tensor) -> int:
    return len(getattr(parameter, "ds_shape", parameter.shape))  # ZeRO 3 leaves nothing of the shape but a note


class PlainStepper:
    """AdamW in one process, without DeepSpeed. Weights stay in float32; with dtype bfloat16 the model computes under autocast."""

    workers, rank = 1, 0

    def __init__(self, model: torch.nn.Module, settings: TrainSettings, device: str = "cpu") -> None:
        import torch

        self.device = torch.device(device)
        self.module = model.to(self.device)
        self.packing = settings.packing
        self._settings = settings
        self._optimizer = torch.optim.AdamW(
            parameter_groups(model, settings.weight_decay),
            settings.learning_rate,
            betas=settings.betas,
            fused=self.device.type == "cuda",
        )

    def compute(self) -> contextlib.AbstractContextManager[Any]:
        import torch

        context: contextlib.AbstractContextManager[Any] = torch.autocast(
            self.device.type, torch.bfloat16, enabled=self._settings.dtype == "bfloat16"
        )
        return context

    def backward(self, loss: torch.Tensor, last: bool) -> None:
        loss.backward()

    def update(self, learning_rate: float) -> float:
        import torch

        for group in self._optimizer.param_groups:
            group["lr"] = learning_rate
        norm = torch.nn.utils.clip_grad_norm_(self.module.parameters(), self._settings.clip)
        self._optimizer.step()
        self._optimizer.zero_grad(set_to_none=True)
        return float(norm)

    def total(self, *values: float) -> list[float]:
        return list(values)

    def fragments(self) -> Iterator[Fragment]:
        for name, parameter in self.module.named_parameters():
            if parameter.requires_grad:
                state = self._optimizer.state[parameter]
                yield Fragment(name, 0, parameter.data.view(-1), {kind: state[kind].view(-1) for kind in MOMENTS})

    def set_moments(self, step: int, read: Any) -> None:
        fill_state(self._optimizer, (each for group in self._optimizer.param_groups for each in group["params"]), step)
        for name, _, _, moments in self.fragments():
            for kind, tensor in moments.items():
                tensor.copy_(read(name, kind, 0, tensor.numel()))

    def weights(self, trained_only: bool = False) -> dict[str, torch.Tensor]:
        import torch

        kind = getattr(torch, self._settings.dtype)
        trained = {name for name, parameter in self.module.named_parameters() if parameter.requires_grad}
        return {
            name: tensor.detach().to("cpu", kind if tensor.is_floating_point() else None, copy=True)
            for name, tensor in self.module.state_dict().items()
            if not trained_only or name in trained
        }


def fill_state(optimizer: torch.optim.Optimizer, parameters: Iterable[torch.Tensor], step: int) -> None:
    """Give AdamW the state that it makes for itself at its first step, with zeros for means."""
    import torch

    fused = any(group.get("fused") for group in optimizer.param_groups)
    counts_tensors = isinstance(optimizer, torch.optim.AdamW)  # DeepSpeed's own for the CPU counts in plain numbers
    for parameter in parameters:
        state = optimizer.state[parameter]
        counter = torch.tensor(float(step), device=parameter.device if fused else "cpu")
        state["step"] = counter if counts_tensors else step
        for kind in MOMENTS:
            state[kind] = torch.zeros_like(parameter)
