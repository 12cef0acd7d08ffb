"""Any sentence encoder of Hugging Face: texts compared by the cosine of their embeddings.

Nothing is cut off. A text longer than the encoder takes goes through it in pieces, and its embedding is their mean, weighted by
their tokens.
"""

from __future__ import annotations

import logging
import math
import traceback
from collections.abc import Sequence
from typing import Any, Literal

import torch
from safetensors.torch import load_file
from torch.nn import functional

from midb_ray.engines import devices, encoder_files, encoder_pieces, encoder_recipe, models, weights
from midb_ray.engines.base import Comparison, EngineError, Similarity
from midb_ray.engines.encoder_files import EncoderFiles
from midb_ray.engines.encoder_pieces import Cutter, Piece
from midb_ray.engines.encoder_recipe import Dense, Recipe
from midb_ray.errors import UserError, one_line

NOT_FINITE = "the encoder gives no finite embedding"
_log = logging.getLogger(__name__)
_TOKENS = 8192  # padded, in a pass; no piece is longer either
_UNBOUNDED = 512  # the longest piece for an encoder that names no limit
_ACTIVATIONS = {
    "Tanh": torch.tanh,
    "Identity": lambda vectors: vectors,
    "ReLU": torch.relu,
    "GELU": functional.gelu,
}


def load(model: str, revision: str | None, place: str) -> Encoder:
    """The encoder with its weights on a device, `cuda` or `cpu`. Raises `UserError` when it cannot be loaded or does not work."""
    from transformers import AutoModel, AutoModelForTextEncoding

    files = encoder_files.look(model, revision)
    encoder_files.fetch_weights(model, files)
    whole = getattr(files.config, "is_encoder_decoder", False)  # of which the encoder is enough
    network = weights.load(
        AutoModelForTextEncoding if whole else AutoModel,
        str(files.folder),
        model,
        place,
        torch.bfloat16 if place == "cuda" else torch.float32,
        without="pooler",
    )
    encoder_files.check_vocabulary(model, files.tokenizer, network.get_input_embeddings().num_embeddings)
    try:
        encoder = Encoder(network, files)
        (found,) = encoder.similarities([Comparison("a", "b")])
    except (EngineError, UserError):
        raise
    except Exception as error:  # whatever a model of another kind says to a text
        raise UserError(f"{model} gives no embeddings of texts on {place}: {one_line(error)}") from error
    if found.error == NOT_FINITE:
        raise UserError(
            f"{model} gives no finite embedding of a text on {place}; its weights are damaged, save them again."
        )
    return encoder


class Encoder:
    """Compares texts on the thread of whoever asks, who asks one thing at a time."""

    def __init__(self, network: Any, files: EncoderFiles) -> None:
        network.config.use_cache = False
        self._network, self._recipe = network, files.recipe
        self._device = network.device
        self._steps = [_step(files, step, network.device) for step in files.recipe.steps]
        self._budget = _TOKENS
        self._pad: int = files.tokenizer.pad_token_id or 0
        self._cutter = Cutter(files, _longest(network, files))

    def similarities(self, rows: Sequence[Comparison]) -> list[Similarity]:
        """Cosines in the order of `rows`, NaN with an error where there is none. Raises `EngineError` when the device is dead,
        or what the model raised for these rows."""
        texts = list(dict.fromkeys(text for row in rows for text in row))
        places = {text: place for place, text in enumerate(texts)}
        pieces = self._cutter.cut(texts)
        empty = set(range(len(texts))) - {piece.owner for piece in pieces}
        sides = [(places[row.one], places[row.other]) for row in rows]
        cosines = self._cosines(pieces, len(texts), sides) if pieces else []
        return [
            Similarity(math.nan, "there is no text to compare") if empty.intersection(side) else _similarity(cosine)
            for side, cosine in zip(sides, cosines or [math.nan] * len(sides), strict=True)
        ]

    def close(self) -> None:
        """Release the model; it is not used afterwards."""
        self._network, self._steps = None, []
        devices.release_memory()

    def _cosines(self, pieces: list[Piece], texts: int, sides: Sequence[tuple[int, int]]) -> list[float]:
        sums: torch.Tensor | None = None
        waiting = sorted(pieces, key=lambda piece: len(piece.ids))  # from the end: the longest first
        while waiting:
            batch = encoder_pieces.take(waiting, self._budget)
            vectors = self._run(batch).double()
            sums = vectors.new_zeros(texts, vectors.shape[1]) if sums is None else sums
            shares = vectors.new_tensor([piece.weight for piece in batch])
            sums.index_add_(0, torch.tensor([piece.owner for piece in batch]), vectors * shares[:, None])
        assert sums is not None  # nobody asks without pieces
        units = sums / sums.norm(dim=1, keepdim=True)
        one, other = torch.tensor(sides).unbind(dim=1)
        return [float(cosine) for cosine in (units[one] * units[other]).sum(dim=1).clamp(-1, 1)]

    def _run(self, batch: Sequence[Piece]) -> Any:
        """Vectors of pieces in float32 on the CPU; in smaller batches where memory runs out."""
        try:
            return self._forward(batch)
        except Exception as error:
            if devices.is_dead(error) and not devices.is_out_of_memory(error):
                raise EngineError(one_line(error)) from error
            if not devices.is_out_of_memory(error):
                raise
            traceback.clear_frames(error.__traceback__)  # they hold the tensors that filled the memory
            if len(batch) == 1:
                devices.release_memory()
                raise
        devices.release_memory()
        self._budget = min(self._budget, len(batch) * max(len(piece.ids) for piece in batch) // 2)
        _log.warning("Out of memory with %d texts; at most %d tokens together from now on.", len(batch), self._budget)
        half = len(batch) // 2
        return torch.cat([self._run(batch[:half]), self._run(batch[half:])])

    @torch.inference_mode()  # type: ignore[untyped-decorator]
    def _forward(self, batch: Sequence[Piece]) -> Any:
        width = max(len(piece.ids) for piece in batch)
        ids = torch.tensor([[*piece.ids, *[self._pad] * (width - len(piece.ids))] for piece in batch])
        lengths = torch.tensor([len(piece.ids) for piece in batch])
        mask = torch.arange(width) < lengths[:, None]
        ids, mask, lengths = ids.to(self._device), mask.to(self._device), lengths.to(self._device)
        states = self._network(input_ids=ids, attention_mask=mask.long(), return_dict=True).last_hidden_state.float()
        vectors = _pooled(states, mask, lengths, self._recipe)
        for step in self._steps:
            vectors = step(vectors)
        return vectors[:, : self._recipe.dimensions].cpu()


def _similarity(cosine: float) -> Similarity:
    return Similarity(cosine, None if math.isfinite(cosine) else NOT_FINITE)


def _pooled(states: Any, mask: Any, lengths: Any, recipe: Recipe) -> Any:
    if recipe.pooling == "cls":
        return states[:, 0]
    if recipe.pooling == "lasttoken":
        return states[torch.arange(len(states), device=states.device), lengths - 1]
    return states.masked_fill(~mask[:, :, None], 0).sum(dim=1) / lengths[:, None]


def _step(files: EncoderFiles, step: Dense | Literal["normalize"], device: Any) -> Any:
    if not isinstance(step, Dense):
        return functional.normalize
    tensors = load_file(files.folder / step.folder / encoder_recipe.WEIGHTS, device=str(device))
    weight, bias = tensors["linear.weight"].float(), tensors.get("linear.bias")
    activation = _ACTIVATIONS[step.activation]
    return lambda vectors: activation(functional.linear(vectors, weight, None if bias is None else bias.float()))


def _longest(network: Any, files: EncoderFiles) -> int:
    """Tokens in the longest piece, special ones included. Where positions count from behind a padding index, fewer fit than the
    configuration says."""
    limits = [files.recipe.longest, files.tokenizer.model_max_length, models.context_length(files.config)]
    for name, module in network.named_modules():
        if name.endswith("position_embeddings") and getattr(module, "padding_idx", None) is not None:
            limits.append(module.num_embeddings - module.padding_idx - 1)
    known = [limit for limit in limits if limit is not None and 0 < limit < 1 << 30]  # 10**30 stands for none
    return min(_TOKENS, *known) if known else _UNBOUNDED
