"""Operations of training: golden numbers for models whose sizes are known."""

from __future__ import annotations

import types

import pytest
import torch

from midb_ray.training import flops, lora
from midb_ray.training.flops import Work
from midb_ray.training.settings import LoraSettings
from tests.training.conftest import small_llama

# hidden 32, keys and values 16, inner 64, vocabulary 300, two layers
LAYERS = 2 * (2 * 32 * 32 + 2 * 32 * 16 + 3 * 32 * 64)
NORMS = 5 * 32
HEAD = 300 * 32


def test_six_operations_for_each_weight_and_token() -> None:
    assert flops.work(small_llama()) == Work(6 * (LAYERS + NORMS), 6 * HEAD)


def test_a_tied_output_layer_counts_and_the_lookup_does_not() -> None:
    assert flops.work(small_llama(tie_word_embeddings=True)) == Work(6 * (LAYERS + NORMS), 6 * HEAD)


def test_frozen_weights_have_no_gradient_of_their_own() -> None:
    model = lora.apply(small_llama(), LoraSettings(rank=4))
    adapters = 2 * 4 * (2 * 64 + 2 * 48 + 3 * 96)
    assert flops.work(model) == Work(4 * (LAYERS + NORMS) + 6 * adapters, 4 * HEAD)


def test_a_parameter_split_by_zero_3_counts_whole() -> None:
    model = small_llama()
    for each in model.parameters():
        each.ds_numel = each.numel()
        each.data = torch.zeros(0)
    assert flops.work(model) == Work(6 * (LAYERS + NORMS), 6 * HEAD)


def test_the_output_layer_works_for_answer_tokens_alone() -> None:
    assert Work(10, 7).operations(100, 30) == 1210


@pytest.mark.parametrize(
    ("name", "peak"),
    [
        ("NVIDIA H100 80GB HBM3", 989e12),
        ("NVIDIA H100 PCIe", 756e12),
        ("NVIDIA H100 NVL", 835e12),
        ("NVIDIA H200", 989e12),
        ("NVIDIA B200", 2.25e15),
        ("NVIDIA GB200", 2.5e15),
        ("NVIDIA A100-SXM4-80GB", 312e12),
        ("NVIDIA A100 80GB PCIe", 312e12),
        ("NVIDIA A10G", 70e12),
        ("NVIDIA A10", 125e12),
        ("NVIDIA L40S", 362e12),
        ("NVIDIA L4", 121e12),
        ("NVIDIA RTX A6000", 155e12),
        ("NVIDIA GeForce RTX 4090", 165e12),
        ("Tesla T4", None),
        ("NVIDIA L40", None),
        ("NVIDIA RTX A1000", None),
    ],
)
def test_the_peak_of_a_device_by_its_name(monkeypatch: pytest.MonkeyPatch, name: str, peak: float | None) -> None:
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: name)
    assert flops.peak(types.SimpleNamespace(type="cuda")) == peak  # type: ignore[arg-type]


def test_nobody_knows_the_peak_of_a_cpu() -> None:
    assert flops.peak(torch.device("cpu")) is None
