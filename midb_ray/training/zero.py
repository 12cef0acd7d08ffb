"""DeepSpeed from a few typed settings: `deepspeed.initialize` directly in the worker's loop."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from midb_ray.training.settings import TrainSettings

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel


def config(settings: TrainSettings) -> dict[str, Any]:
    """DeepSpeed's configuration. The optimizer is torch's AdamW: DeepSpeed's own would have to be compiled first."""
    return {
        "train_micro_batch_size_per_gpu": settings.batch_size // settings.workers,
        "gradient_accumulation_steps": 1,
        "gradient_clipping": settings.clip,
        "bf16": {"enabled": settings.dtype == "bfloat16"},
        "zero_optimization": {"stage": settings.zero_stage},
        "optimizer": {
            "type": "AdamW",
            "params": {
                "lr": settings.learning_rate,
                "betas": [0.9, 0.95],
                "weight_decay": settings.weight_decay,
                "torch_adam": True,
            },
        },
        "steps_per_print": 1_000_000_000,
    }


class DeepSpeedStepper:
    """One step of one worker of a DeepSpeed job; see `loop.Stepper`. Needs an initialised process group."""

    def __init__(self, model: PreTrainedModel, settings: TrainSettings) -> None:
        import deepspeed

        # DeepSpeed would compile its shared-memory all-reduce, which only tensor-parallel inference on CPUs uses.
        deepspeed.ops.__compatible_ops__["deepspeed_shm_comm"] = False
        deepspeed.init_distributed(dist_backend="nccl" if settings.gpus_per_worker else "gloo")
        self._engine, *_ = deepspeed.initialize(model=model, config=config(settings))
        self.device: torch.device = self._engine.device
        self.module: torch.nn.Module = self._engine

    def backward(self, loss: torch.Tensor) -> None:
        self._engine.backward(loss)

    def update(self, learning_rate: float) -> None:
        for group in self._engine.optimizer.param_groups:
            group["lr"] = learning_rate
        self._engine.step()

    def weights(self) -> dict[str, torch.Tensor]:
        """All weights on the CPU, on rank 0; nothing elsewhere. Every rank must call it: ZeRO 3 gathers them one by one."""
        import deepspeed

        gathered = {}
        first = self._engine.global_rank == 0
        for name, parameter in self._engine.module.named_parameters():
            with deepspeed.zero.GatheredParameters([parameter], enabled=hasattr(parameter, "ds_id")):
                if first:
                    gathered[name] = parameter.detach().to("cpu", copy=True)
        for name, buffer in self._engine.module.named_buffers():
            if first and name in self._engine.module.state_dict():
                gathered[name] = buffer.detach().to("cpu", copy=True)
        return gathered
