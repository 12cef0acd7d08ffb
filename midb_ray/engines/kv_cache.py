"""The cache of keys and values of a static batch, in memory that is there from the beginning.

The library's own cache is copied as a whole for each new token: with a hundred rows that is most of what a small model does.
"""

from __future__ import annotations

from typing import Any

import torch
from transformers import DynamicCache
from transformers.cache_utils import DynamicLayer


def make(model: Any, tokens: int) -> DynamicCache | None:
    """A cache for `tokens` of each row, prompt and answer, from which rows can be taken out. Layers with a window stay the
    library's; None for models that keep something else than keys and values."""
    if not model._supports_default_dynamic_cache():
        return None
    cache = DynamicCache(config=model.config)
    if not all(isinstance(layer, DynamicLayer) for layer in cache.layers):
        return None
    cache.layers = [RoomyLayer(tokens) if type(layer) is DynamicLayer else layer for layer in cache.layers]
    return cache


class RoomyLayer(DynamicLayer):
    """Keys and values, each (rows, heads, tokens, width), as the first part of tensors with room for all tokens to come."""

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
            self._make_room(key_states, value_states, max(end, self._tokens))
        for room, new in zip(self._room, (key_states, value_states), strict=True):
            room[..., begin:end, :] = new
        self.keys, self.values = (room[..., :end, :] for room in self._room)
        return self.keys, self.values

    def batch_select_indices(self, indices: torch.Tensor) -> None:
        """Keep these rows alone."""
        length = self.get_seq_length()
        self._room = [room[indices] for room in self._room]
        self.keys, self.values = (room[..., :length, :] for room in self._room)

    def _make_room(self, key_states: torch.Tensor, value_states: torch.Tensor, tokens: int) -> None:
        length = self.get_seq_length()
        room = [new.new_empty((*new.shape[:-2], tokens, new.shape[-1])) for new in (key_states, value_states)]
        if length:
            for larger, old in zip(room, (self.keys, self.values), strict=True):
                larger[..., :length, :] = old
        self._room = room
