"""Where a model runs, and in which type of numbers."""

from __future__ import annotations

import gc
import re

import torch

from midb_ray.engines.settings import EngineSettings
from midb_ray.errors import UserError

_NO_MEMORY = re.compile(r"out of memory|can't allocate memory|not enough memory|_STATUS_ALLOC_FAILED", re.IGNORECASE)
_DEAD_DEVICE = re.compile(r"(CUDA|HIP|NCCL|cuDNN) error|CUBLAS_STATUS|CUDNN_STATUS|device-side assert", re.IGNORECASE)


def device(wanted: str, setting: str = "engine.device") -> str:
    """`cuda` or `cpu`, where auto is also wanted. Raises `UserError`, naming the setting, for a CUDA device that this process does
    not see."""
    if wanted == "cuda" and not torch.cuda.is_available():
        raise UserError(
            f"{setting} is cuda but this process sees no usable CUDA device; ask for a GPU (pool.gpus_per_replica) or set cpu."
        )
    if wanted == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    return wanted


def dtype(settings: EngineSettings, place: str) -> torch.dtype:
    """The type of the weights on that device."""
    if settings.dtype != "auto":
        named: torch.dtype = getattr(torch, settings.dtype)
        return named
    return torch.bfloat16 if place == "cuda" or _computes_in_bfloat16() else torch.float32


def release_memory() -> None:
    """Give back what the allocators keep."""
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()


def is_out_of_memory(error: Exception) -> bool:
    """Whether a model raised this because memory ran out: with less of it at once it may go well."""
    if isinstance(error, (torch.OutOfMemoryError, MemoryError)):
        return True
    return isinstance(error, RuntimeError) and _NO_MEMORY.search(str(error)) is not None


def is_dead(error: Exception) -> bool:
    """Whether the device is gone: a CUDA context that once failed answers every later call with an error."""
    return isinstance(error, torch.AcceleratorError) or (
        isinstance(error, RuntimeError) and _DEAD_DEVICE.search(str(error)) is not None
    )


def _computes_in_bfloat16() -> bool:
    """Whether this CPU has instructions for bfloat16; without them it is two to three times slower than float32."""
    capabilities = torch.cpu.get_capabilities() if hasattr(torch.cpu, "get_capabilities") else {}  # older torch
    return bool(capabilities.get("avx512_bf16") or capabilities.get("amx_bf16"))
