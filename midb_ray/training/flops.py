"""Operations of training, and how many of them a device could do: model FLOPs utilisation (PaLM, Chowdhery et al. 2022)."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    import torch

_PEAKS = {  # dense bfloat16 operations per second, by what is in the device's name; makers' data sheets
    "GB200": 2.5e15,
    "B200": 2.25e15,
    "H200": 989e12,
    "H100 PCIe": 756e12,
    "H100 NVL": 835e12,
    "H100": 989e12,
    "A100": 312e12,
    "A10G": 70e12,
    "A10": 125e12,
    "A6000": 155e12,
    "L40S": 362e12,
    "L4": 121e12,
    "RTX 4090": 165e12,
    "RTX 3090": 71e12,
}


class Work(NamedTuple):
    """Operations of training, forward and backward: of each token in the layers, and of each answer token in the output layer.

    Attention between tokens is left out: it depends on the lengths of examples, and at 4,096 tokens and 8 billion parameters is
    a twentieth. Computing activations twice does not count: the model does not need it.
    """

    token: float
    answer_token: float

    def operations(self, tokens: int, answer_tokens: int) -> float:
        """Operations of so many tokens, some of which are in answers."""
        return self.token * tokens + self.answer_token * answer_tokens


def work(model: torch.nn.Module) -> Work:
    """Two operations per weight forward, two for the gradient of its input, two for its own gradient where it is trained."""
    output = model.get_output_embeddings()
    lookup = model.get_input_embeddings()
    outside = {id(parameter) for module in (output, lookup) if module is not None for parameter in module.parameters()}
    layers = sum(_cost(each) for each in model.parameters() if id(each) not in outside)
    head = sum(_cost(each) for each in output.parameters()) if output is not None else 0
    return Work(float(layers), float(head))


def peak(device: torch.device) -> float | None:
    """Dense bfloat16 operations per second of a device; None where nobody knows."""
    import torch

    if device.type != "cuda":
        return None
    words = set(re.split(r"\W+", torch.cuda.get_device_name(device)))
    return next((value for part, value in _PEAKS.items() if words.issuperset(part.split())), None)


def _cost(parameter: Any) -> int:
    count = int(getattr(parameter, "ds_numel", parameter.numel()))
    return count * (6 if parameter.requires_grad else 4)
