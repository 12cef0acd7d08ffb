"""The cache of keys and values of a static batch, in memory with room for more.

The library's own cache is copied as a whole for each new token: with a hundred rows that is most of what a small model does.
"""

from __future__ import annotations

import inspect
from typing import Any

import torch
from transformers import DynamicCache
from transformers.cache_utils import DynamicIndexedLayer, DynamicLayer, DynamicSlidingWindowLayer

_SHRINKING = (
    DynamicLayer,
    DynamicSlidingWindowLayer,
    DynamicIndexedLayer,
)  # their heirs keep more than they take rows out of
_STEP = 128  # tokens for which there is room at least when there is none


def make(model: Any, tokens: int) -> DynamicCache | None:
    """A cache for `tokens` of each row, prompt and answer, from which rows can be taken out. Layers with a window stay the
    library's; None for models that keep something else than keys and values, or take no cache."""
    if (
        not model._supports_default_dynamic_cache()
        or "past_key_values" not in inspect.signature(model.forward).parameters
    ):
        return None
    cache = DynamicCache(config=model.config)
    if not all(type(layer) in _SHRINKING for layer in cache.layers):
        return None
    cache.layers = [RoomyLayer(tokens) if type(layer) is DynamicLayer else layer for layer in cache.layers]
    return cache


class RoomyLayer(DynamicLayer):
    """Keys and values, each (rows, heads, tokens, width), as the first part of tensors with room for tokens to come: half as many
    as there are, and never more than `tokens` foresees."""

    def __init__(self, tokens: int) -> None:
        super().__init__()
        self._tokens = tokens
        self._room: list[torch.Tensor] = []

    def update(
        self, key_states: torch.Tensor, value_states: torch.Tensor, *_: Any, **__: Any
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Write new tokens behind those that are there; returns all of them, as views that the next call makes longer."""
        if not self.is_initialized:
            self.lazy_initialization(key_states, value_states)
        begin = self.get_seq_length()
        end = begin + key_states.shape[-2]
        if not self._room or end > self._room[0].shape[-2]:
            self._make_room(key_states, value_states, max(end, min(self._tokens, end + max(end // 2, _STEP))))
        for room, new in zip(self._room, (key_states, value_states), strict=True):
            room[..., begin:end, :] = new
        self.keys, self.values = (room[..., :end, :] for room in self._room)
        return self.keys, self.values

    def batch_select_indices(self, indices: torch.Tensor) -> None:
        """Keep these rows alone."""
        super().batch_select_indices(indices)
        self._room = []

    def _make_room(self, key_states: torch.Tensor, value_states: torch.Tensor, tokens: int) -> None:
        length = self.get_seq_length()
        room = [new.new_empty((*new.shape[:-2], tokens, new.shape[-1])) for new in (key_states, value_states)]
        if length:
            for larger, old in zip(room, (self.keys, self.values), strict=True):
                larger[..., :length, :] = old
        self._room = room
