"""What only the vLLM engine can be told."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BeforeValidator, Field, field_validator

from midb_ray.config import Settings
from midb_ray.mappings import mapping

_OURS = {
    "model": "engine.model",
    "tokenizer": "engine.model",
    "revision": "engine.revision",
    "dtype": "engine.dtype",
    "device": "engine.device",
    "seed": "engine.seed",
    "max_model_len": "engine.context",
    "gpu_memory_utilization": "engine.memory_share",
    "max_num_seqs": "engine.vllm.rows",
    "enable_prefix_caching": "engine.vllm.prefix_caching",
    "quantization": "engine.vllm.quantization",
    "enable_lora": "engine.vllm.adapter",
    "max_lora_rank": "engine.vllm.adapter",
    "speculative_config": "engine.vllm.lookup_tokens",
    "tensor_parallel_size": "pool.gpus_per_replica",
}
_NEVER = {
    "trust_remote_code": "code that comes with a model is never run",
    "load_format": "weights are loaded from safetensors alone",
    "skip_tokenizer_init": "prompts come as token ids",
    "generation_config": "how to generate is said in the engine's settings alone",
}
_TEXTS = {"attention_backend", "kv_cache_dtype", "mamba_cache_dtype", "prefix_caching_hash_algo", "scheduling_policy"}


class VllmSettings(Settings):
    """Settings of the vLLM engine."""

    rows: int = Field(default=256, ge=1)
    """Prompts that the engine works on at the same time."""
    quantization: str | None = None
    """Method by which the weights are quantised, such as awq, gptq or fp8; none takes what the model's config.json says."""
    prefix_caching: bool = True
    """Keep keys and values of beginnings that prompts share."""
    adapter: str | None = None
    """Directory of a LoRA adapter (safetensors) to run the model with, unmerged."""
    lookup_tokens: int = Field(default=0, ge=0, le=64)
    """n-gram speculative decoding: so many tokens are looked up in the prompt and checked at once; 0 is off. It changes no
    answer but for near ties."""
    cpu_cache: int = Field(default=4, ge=1)
    """GiB for keys and values where the model runs on a CPU."""
    engine_args: Annotated[dict[str, Any], BeforeValidator(mapping)] = Field(default_factory=dict)
    """Any other argument of vLLM's AsyncEngineArgs that is a number, a switch or a list of numbers, and some that are text, as a
    mapping; on the command line as JSON."""

    @field_validator("engine_args")
    @classmethod
    def _say_nothing_else_and_name_no_code(cls, value: dict[str, Any]) -> dict[str, Any]:
        for name, given in value.items():
            if name in _OURS:
                raise ValueError(f"{name} is said by {_OURS[name]}, set that")
            if name in _NEVER:
                raise ValueError(f"{name} cannot be set: {_NEVER[name]}")
            parts = given if isinstance(given, list) else [given]
            if name not in _TEXTS and not all(isinstance(part, (bool, int, float)) for part in parts):
                raise ValueError(
                    f"{name} has to be a number, a switch or a list of numbers: text and mappings can name code, files or secrets, "
                    f"so only {', '.join(sorted(_TEXTS))} may be text"
                )
            if name in _TEXTS and not isinstance(given, str):
                raise ValueError(f"{name} has to be text, found {given!r}")
        return value
