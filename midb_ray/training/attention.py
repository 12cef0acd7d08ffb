"""Attention for packed examples: each example sees itself alone, and nothing is computed between examples.

A packed micro-batch is one long row; `cu_seq_lens_q` says where its examples begin and end (the standard argument that models
hand down to attention functions). Position ids that restart would do with a dense mask, at the price of a square of the whole row.
"""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Any

from midb_ray.errors import UserError

if TYPE_CHECKING:
    import torch

NAME = "midb_packed"


def register() -> None:
    """Make the function known to transformers under `NAME`; models load with `attn_implementation=NAME`."""
    from transformers import AttentionInterface
    from transformers.masking_utils import ALL_MASK_ATTENTION_FUNCTIONS

    AttentionInterface.register(NAME, packed_attention)
    ALL_MASK_ATTENTION_FUNCTIONS.register(NAME, _no_mask)


def check(config: Any) -> None:
    """Raise `UserError` for a model in which packed examples would see each other: one with a state, with attention of its own, or
    with layers of other kinds."""
    from transformers import MODEL_FOR_CAUSAL_LM_MAPPING

    kind: Any = MODEL_FOR_CAUSAL_LM_MAPPING[type(config)]
    layers = set(getattr(config.get_text_config(), "layer_types", None) or ())
    takes_ours = kind._supports_attention_backend and not kind._is_stateful
    if not takes_ours or not layers <= {"full_attention", "sliding_attention"}:
        raise UserError(
            f"packing: examples cannot be kept apart in {config.model_type} models, whose layers are not all plain attention; set "
            "packing to false."
        )


def packed_attention(
    module: torch.nn.Module,  # noqa: ARG001 - what transformers calls it with
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,  # noqa: ARG001
    scaling: float | None = None,
    dropout: float = 0.0,
    **options: Any,
) -> tuple[torch.Tensor, None]:
    """Causal attention within each example: (1, heads, tokens, width) for the query, fewer heads for key and value.

    Returns (1, tokens, heads, width). Raises `UserError` for models whose attention has parts that are not built here.
    """
    bounds = options.get("cu_seq_lens_q")
    if bounds is None or query.shape[0] != 1:
        raise AssertionError("packed attention takes one row and cu_seq_lens_q")
    if options.get("softcap") is not None or options.get("s_aux") is not None:
        raise UserError(
            "packing: the attention of this model (soft caps, sinks) cannot be packed; set packing to false."
        )
    window = options.get("sliding_window")
    query, key, value = _cast(query, key, value)
    if query.is_cuda and query.dtype != _float32() and not dropout:
        from torch.nn.attention.varlen import varlen_attn

        longest = options["max_length_q"]
        packed = varlen_attn(
            *(each[0].transpose(0, 1) for each in (query, key, value)),
            *(bounds, bounds, longest, longest),
            scale=scaling,
            window_size=(window - 1 if window else -1, 0),
            **({"enable_gqa": True} if key.shape[1] != query.shape[1] else {}),
        )
        return packed[None], None
    import torch

    # Split and not cut: the gradient of each cut would be as large as the whole row.
    sizes = [end - begin for begin, end in itertools.pairwise(bounds.tolist())]
    examples = zip(query.split(sizes, 2), key.split(sizes, 2), value.split(sizes, 2), strict=True)
    parts = [_one(*each, scaling=scaling, dropout=dropout, window=window).transpose(1, 2) for each in examples]
    return torch.cat(parts, dim=1), None


def _one(
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    scaling: float | None,
    dropout: float,
    window: int | None,
) -> torch.Tensor:
    """One example. Its own call of torch's fused attention: causal, without a mask where no window cuts it."""
    import torch

    tokens = query.shape[2]
    mask = None
    if window is not None and tokens > window:
        ones = torch.ones((tokens, tokens), dtype=torch.bool, device=query.device)
        mask = ones.tril().triu(1 - window)
    return torch.nn.functional.scaled_dot_product_attention(
        query,
        key,
        value,
        attn_mask=mask,
        dropout_p=dropout,
        is_causal=mask is None,
        scale=scaling,
        enable_gqa=key.shape[1] != query.shape[1],
    )


def _cast(*parts: torch.Tensor) -> tuple[torch.Tensor, ...]:
    """The same in autocast's type: rotary embeddings have made queries and keys float32, and only torch's own functions
    are cast by themselves."""
    import torch

    device = parts[0].device.type
    if not torch.is_autocast_enabled(device):
        return parts
    return tuple(part.to(torch.get_autocast_dtype(device)) for part in parts)


def _no_mask(*_: Any, **__: Any) -> None:
    return None


def _float32() -> torch.dtype:
    import torch

    return torch.float32
