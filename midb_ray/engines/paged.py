"""Attention for transformers' continuous batching, with torch's own kernels: no separate attention package is needed.

All rows of a step lie one after the other in one long row; `cu_seq_lens_q` says where each row's new tokens begin, and
`cu_seq_lens_k` where everything that it has said so far begins, once the paged cache has brought it together.
"""

from __future__ import annotations

import inspect
import itertools
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch

NAME = "midb_flash"
"""transformers makes no masks, and records CUDA graphs, for attention with `flash` in its name."""


def is_supported(model: Any) -> bool:
    """Whether the installed transformers has the paged cache that this attention is written for, and the model attention
    that can be exchanged: plain layers, without soft caps or sinks."""
    try:
        from transformers.generation.continuous_batching import ContinuousBatchingManager  # noqa: F401
        from transformers.generation.continuous_batching import PagedAttentionCache as Cache
    except ImportError:
        return False
    config = model.config.get_text_config()
    layers = set(getattr(config, "layer_types", None) or ())
    return (
        "kwargs" in inspect.signature(Cache.update).parameters
        and bool(model._supports_attention_backend)
        and not model._is_stateful
        and layers <= {"full_attention", "sliding_attention"}
        and getattr(config, "attn_logit_softcapping", None) is None
        and not any(hasattr(layer, "sinks") for layer in model.modules())
    )


def use(model: Any) -> None:
    """Let a model attend in this way from now on."""
    from transformers import AttentionInterface

    AttentionInterface.register(NAME, paged_attention)
    model.config._attn_implementation = NAME  # the public setter looks for a package of that name


def paged_attention(
    module: torch.nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,  # noqa: ARG001 - what transformers calls it with
    scaling: float | None = None,
    sliding_window: int | None = None,
    cache: Any = None,
    **options: Any,
) -> tuple[torch.Tensor, None]:
    """Causal attention of each row to itself: (1, heads, tokens, width) for the query, fewer heads for key and value, which
    `cache` completes; without one, rows are whole. Returns (1, tokens, heads, width)."""
    import torch

    if cache is not None:
        key, value = cache.update(key_states=key, value_states=value, layer_idx=module.layer_idx, kwargs=options)
    begins, key_begins = options["cu_seq_lens_q"], options["cu_seq_lens_k"]
    if query.is_cuda and query.dtype != torch.float32:
        from torch.nn.attention.varlen import varlen_attn

        grouped = {}
        if (group := query.shape[1] // key.shape[1]) > 1:
            if "enable_gqa" in inspect.signature(varlen_attn).parameters:
                grouped = {"enable_gqa": True}
            else:
                key, value = key.repeat_interleave(group, 1), value.repeat_interleave(group, 1)
        packed = varlen_attn(
            *(part[0].transpose(0, 1).contiguous() for part in (query, key, value)),
            *(begins.to(torch.int32), key_begins.to(torch.int32)),
            *(options["max_length_q"], options["max_length_k"]),
            scale=scaling,
            window_size=(sliding_window - 1 if sliding_window else -1, 0),
            **grouped,
        )
        return packed[None], None
    found = torch.zeros_like(query)
    spans = zip(itertools.pairwise(begins.tolist()), itertools.pairwise(key_begins.tolist()), strict=False)
    for (begin, end), (key_begin, key_end) in spans:
        if end > begin:
            found[:, :, begin:end] = _one(
                query[:, :, begin:end],
                key[:, :, key_begin:key_end],
                value[:, :, key_begin:key_end],
                scaling,
                sliding_window,
            )
    return found.transpose(1, 2), None


def _one(
    query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, scaling: float | None, window: int | None
) -> torch.Tensor:
    """One row: its last tokens to all of it."""
    import torch

    new, all_ = query.shape[2], key.shape[2]
    mask = None
    if new > 1 or (window is not None and all_ > window):
        mask = torch.ones((new, all_), dtype=torch.bool, device=query.device).tril(all_ - new)
        if window is not None:
            mask = mask.triu(all_ - new + 1 - window)
    return torch.nn.functional.scaled_dot_product_attention(
        query, key, value, attn_mask=mask, scale=scaling, enable_gqa=key.shape[1] != query.shape[1]
    )
