"""Where a model runs, and in which type of numbers."""

from __future__ import annotations

import gc

import torch

from midb_ray.engines.settings import EngineSettings
from midb_ray.errors import UserError


def device(settings: EngineSettings) -> str:
    """`cuda` or `cpu`. Raises `UserError` for a CUDA device that this process does not see."""
    if settings.device == "cuda" and not torch.cuda.is_available():
        raise UserError("engine.device is cuda but this process sees no usable CUDA device; ask for a GPU or set cpu.")
    if settings.device == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    return settings.device


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


def _computes_in_bfloat16() -> bool:
    """Whether this CPU has instructions for bfloat16; without them it is two to three times slower than float32."""
    capabilities = torch.cpu.get_capabilities() if hasattr(torch.cpu, "get_capabilities") else {}  # older torch
    return bool(capabilities.get("avx512_bf16") or capabilities.get("amx_bf16"))
