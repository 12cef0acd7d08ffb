"""DeepSpeed from a few typed settings: `deepspeed.initialize` directly in the worker's loop."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from midb_ray.errors import UserError
from midb_ray.runs import storage
from midb_ray.training.settings import TrainSettings
from midb_ray.training.steppers import MOMENTS, Fragment, fill_state, parameter_groups

if TYPE_CHECKING:
    import torch

FILE = "deepspeed.json"
_BUCKET = 500_000_000  # elements of gradients reduced at once, DeepSpeed's own limit: it makes room for so many

_OURS = ("train_batch_size", "train_micro_batch_size_per_gpu", "gradient_accumulation_steps", "scheduler")
"""What the loop decides, whatever a raw configuration says."""


def config(settings: TrainSettings, trained: int | None = None) -> dict[str, Any]:
    """DeepSpeed's configuration, for so many `trained` parameters. How many micro-batches a step has differs from step to
    step, so DeepSpeed is told at each whether it is the last, and that there is one. Raises `UserError` for a `zero.config`
    that cannot be used."""
    zero = settings.zero
    offload = {"device": "cpu", "pin_memory": settings.device == "cuda"}
    made: dict[str, Any] = {
        "train_micro_batch_size_per_gpu": 1,
        "gradient_accumulation_steps": 1,
        "gradient_clipping": settings.clip,
        "bf16": {"enabled": settings.dtype == "bfloat16"},
        "zero_optimization": {
            "stage": zero.stage,
            "overlap_comm": settings.device == "cuda",
            **({"reduce_bucket_size": min(trained, _BUCKET)} if trained else {}),
            **({"offload_optimizer": offload} if zero.offload_optimizer else {}),
            **({"offload_param": offload} if zero.offload_parameters else {}),
        },
        "steps_per_print": 1_000_000_000,
    }
    if settings.dtype == "bfloat16":
        made["data_types"] = {"grad_accum_dtype": "fp32"}
    return _merged(made, _raw(zero.config)) if zero.config else made


def check(settings: TrainSettings) -> None:
    """Raise `UserError` for a `zero.config` that DeepSpeed would not take."""
    merged = config(settings)
    if settings.zero.config is None:
        return
    import pydantic
    from deepspeed.runtime.zero.config import DeepSpeedZeroConfig

    try:
        DeepSpeedZeroConfig(**merged["zero_optimization"])
    except (pydantic.ValidationError, TypeError) as error:
        first = error.errors()[0] if isinstance(error, pydantic.ValidationError) else None
        place, why = (first["loc"], first["msg"]) if first else ((), str(error))
        key = ".".join(["zero_optimization", *map(str, place)])
        raise UserError(f"zero.config: {settings.zero.config}: {key}: {why.rstrip('.')}.") from None


def shared(settings: TrainSettings, run: str) -> TrainSettings:
    """The same settings with the user's own DeepSpeed settings where every worker finds them: in the run folder. Raises OSError."""
    if settings.zero.config is None:
        return settings
    place = storage.join(run, FILE)
    storage.write_bytes(place, json.dumps(_raw(settings.zero.config)).encode())
    return settings.model_copy(update={"zero": settings.zero.model_copy(update={"config": place})})


def _raw(path: str) -> dict[str, Any]:
    """DeepSpeed settings of the user's own. Raises `UserError`."""
    try:
        found = json.loads(storage.read_bytes(path))
    except OSError as error:
        raise storage.explain(error, path, "read the DeepSpeed configuration") from None
    except ValueError as error:
        raise UserError(f"zero.config: {path} is no JSON ({error}); expected DeepSpeed's settings.") from None
    if not isinstance(found, dict):
        raise UserError(
            f"zero.config: {path} holds {type(found).__name__}; expected a JSON object with DeepSpeed's settings."
        )
    if isinstance(split := found.get("zero_optimization"), dict) and "stage" in split:
        raise UserError(f"zero.config: {path} sets zero_optimization.stage; take it out there and set zero.stage.")
    if taken := [key for key in (*_OURS, "optimizer", "bf16", "fp16") if key in found]:
        raise UserError(
            f"zero.config: {path} sets {taken[0]}, which follows from batch_size, learning_rate, dtype and the like; "
            "take it out there and set those."
        )
    return found


def _merged(made: dict[str, Any], given: Mapping[str, Any]) -> dict[str, Any]:
    """`given` over `made`, level by level."""
    merged = dict(made)
    for key, value in given.items():
        below = made.get(key)
        merged[key] = _merged(below, value) if isinstance(value, Mapping) and isinstance(below, dict) else value
    return merged


class DeepSpeedStepper:
    """One worker of a DeepSpeed job; see `steppers.Stepper`. Needs an initialised process group."""

    def __init__(self, model: torch.nn.Module, settings: TrainSettings) -> None:
        import deepspeed
        import torch.distributed as dist

        groups = parameter_groups(model, settings.weight_decay)
        trained = sum(getattr(each, "ds_numel", each.numel()) for group in groups for each in group["params"])
        self._engine, *_ = deepspeed.initialize(
            model=model, optimizer=_optimizer(groups, settings), config=config(settings, trained)
        )
        self._settings = settings
        self.packing = settings.packing
        self.device: torch.device = self._engine.device
        self.module: torch.nn.Module = self._engine
        self.workers, self.rank = dist.get_world_size(), dist.get_rank()

    def compute(self) -> contextlib.AbstractContextManager[Any]:
        return contextlib.nullcontext()

    def backward(self, loss: torch.Tensor, last: bool) -> None:
        self._engine.set_gradient_accumulation_boundary(last)
        self._engine.backward(loss)

    def update(self, learning_rate: float) -> float:
        for group in self._engine.optimizer.param_groups:
            group["lr"] = learning_rate
        norm = self._plain_norm() if self._is_plain else None
        self._engine.step()
        return float(self._engine.get_global_grad_norm() or 0.0) if norm is None else norm

    def total(self, *values: float) -> list[float]:
        import torch
        import torch.distributed as dist

        summed = torch.tensor(values, dtype=torch.float64, device=self.device)
        dist.all_reduce(summed)
        return [float(value) for value in summed]

    def fragments(self) -> Iterator[Fragment]:
        optimizer = self._engine.optimizer
        for name, parameter in self._named():
            if self._is_plain:
                if self.rank == 0:
                    state = optimizer.state[parameter]
                    moments = {kind: state[kind].view(-1) for kind in MOMENTS}
                    yield Fragment(name, 0, parameter.data.view(-1), moments)
            elif hasattr(parameter, "ds_id"):
                yield from self._partition(name, parameter)
            elif (mapping := parameter._hp_mapping) is not None:
                # Not by way of the mapping: DeepSpeed 0.19 links the optimizer state of the first group only.
                flat = optimizer.optimizer.param_groups[mapping.param_group_index]["params"][0]
                place, state = mapping.get_hp_fragment_address(), optimizer.optimizer.state[flat]
                moments = {kind: state[kind].narrow(0, place.start, place.numel) for kind in MOMENTS}
                yield Fragment(name, mapping.lp_fragment_address.start, mapping.get_hp_fragment(), moments)

    def set_moments(self, step: int, read: Callable[[str, str, int, int], torch.Tensor]) -> None:
        optimizer = self._engine.optimizer
        if self._is_plain:
            trained = [parameter for _, parameter in self._named()]
            fill_state(optimizer, trained, step)
            for name, parameter in self._named():
                for kind in MOMENTS:
                    optimizer.state[parameter][kind].view(-1).copy_(read(name, kind, 0, parameter.numel()))
            return
        fill_state(optimizer.optimizer, self._flat(), step)
        for name, start, master, moments in self.fragments():
            for kind, tensor in {"master": master, **moments}.items():
                tensor.detach().copy_(read(name, kind, start, tensor.numel()))

    def weights(self, trained_only: bool = False) -> dict[str, torch.Tensor]:
        """ZeRO 3 gathers them one by one."""
        import deepspeed

        gathered = {}
        kept = set(self._engine.module.state_dict().keys())
        for name, parameter in self._engine.module.named_parameters():
            if trained_only and not parameter.requires_grad:
                continue
            with deepspeed.zero.GatheredParameters([parameter], enabled=hasattr(parameter, "ds_id")):
                if self.rank == 0:
                    gathered[name] = parameter.detach().to("cpu", copy=True)
        for name, buffer in self._engine.module.named_buffers():
            if self.rank == 0 and name in kept and not trained_only:
                gathered[name] = buffer.detach().to("cpu", copy=True)
        return gathered

    def close(self) -> None:
        """Free what the engine holds."""
        self._engine.destroy()

    @property
    def _is_plain(self) -> bool:
        """Whether DeepSpeed leaves parameters and optimizer as they are: stage 0 in float32."""
        return self._settings.zero.stage == 0

    def _named(self) -> Iterator[tuple[str, Any]]:
        return ((name, each) for name, each in self._engine.module.named_parameters() if each.requires_grad)

    def _flat(self) -> list[torch.Tensor]:
        """The flat float32 tensors that the optimizer works on."""
        optimizer = self._engine.optimizer
        if self._settings.zero.stage == 3:
            return list(optimizer.fp32_partitioned_groups_flat)
        return [tensor for group in optimizer.optimizer.param_groups for tensor in group["params"]]

    def _partition(self, name: str, parameter: Any) -> Iterator[Fragment]:
        """This worker's part of a parameter under ZeRO 3, without the padding at the end of the last worker's."""
        optimizer = self._engine.optimizer
        parts = {
            kind: optimizer._get_fp32_opt_state_partition(parameter, release_swap_buffers=False, optim_state_key=kind)[
                0
            ]
            for kind in (None, *MOMENTS)
        }
        start = parameter.ds_tensor.ds_numel * self.rank
        count = min(parts[None].numel(), parameter.ds_numel - start)
        if count > 0:
            moments = {kind: parts[kind][:count] for kind in MOMENTS}
            yield Fragment(name, start, parts[None][:count], moments)

    def _plain_norm(self) -> float:
        import torch

        return float(torch.nn.utils.get_total_norm([each.grad for _, each in self._named() if each.grad is not None]))


def _optimizer(groups: list[dict[str, Any]], settings: TrainSettings) -> Any:
    """AdamW: torch's; DeepSpeed's own where its state lies in CPU memory, which has to be compiled (see `tools`)."""
    import torch

    if settings.zero.offload_optimizer:
        from deepspeed.ops.adam import DeepSpeedCPUAdam

        return DeepSpeedCPUAdam(groups, settings.learning_rate, betas=settings.betas, adamw_mode=True)
    return torch.optim.AdamW(
        groups, settings.learning_rate, betas=settings.betas, fused=settings.device == "cuda" or None
    )
