"""The loss is torch's cross entropy and has its gradient, in less memory."""

from __future__ import annotations

import math

import pytest
import torch

from midb_ray.training import losses
from midb_ray.training.losses import answer_loss

pytestmark = pytest.mark.usefixtures("one_thread")


def made(tokens: int, vocabulary: int = 37, dtype: torch.dtype = torch.float32) -> tuple[torch.Tensor, torch.Tensor]:
    torch.manual_seed(tokens)
    logits = (4 * torch.randn(tokens, vocabulary)).to(dtype).requires_grad_()
    return logits, torch.randint(0, vocabulary, (tokens,))


@pytest.mark.parametrize("tokens", [1, losses._ROWS - 1, losses._ROWS, losses._ROWS + 1, 3 * losses._ROWS + 7])
def test_loss_and_gradient_are_those_of_cross_entropy(tokens: int) -> None:
    logits, targets = made(tokens)
    expected = torch.nn.functional.cross_entropy(logits, targets, reduction="sum")
    (slope,) = torch.autograd.grad(3 * expected, logits)
    found = answer_loss(logits, targets)
    (own,) = torch.autograd.grad(3 * found, logits)
    torch.testing.assert_close(found, expected, rtol=1e-6, atol=0)
    torch.testing.assert_close(own, slope, rtol=1e-5, atol=1e-6)


def test_known_numbers() -> None:
    logits = torch.log(torch.tensor([[0.5, 0.25, 0.25], [0.1, 0.1, 0.8]])).requires_grad_()
    found = answer_loss(logits, torch.tensor([0, 1]))
    assert float(found.detach()) == pytest.approx(math.log(2) + math.log(10))
    found.backward()
    assert logits.grad is not None
    torch.testing.assert_close(logits.grad, torch.tensor([[-0.5, 0.25, 0.25], [0.1, -0.9, 0.8]]))


def test_bfloat16_logits_are_summed_in_float32_and_get_a_bfloat16_gradient() -> None:
    logits, targets = made(1500, dtype=torch.bfloat16)
    found = answer_loss(logits, targets)
    assert found.dtype == torch.float32
    expected = torch.nn.functional.cross_entropy(logits.detach().float(), targets, reduction="sum")
    assert float(found.detach()) == pytest.approx(float(expected), rel=1e-6)
    found.backward()
    assert logits.grad is not None
    assert logits.grad.dtype == torch.bfloat16
    exact = logits.detach().float().requires_grad_()
    torch.nn.functional.cross_entropy(exact, targets, reduction="sum").backward()
    assert exact.grad is not None
    torch.testing.assert_close(logits.grad, exact.grad.bfloat16())


def test_large_logits_do_not_overflow() -> None:
    logits = torch.tensor([[1000.0, 0.0], [-1000.0, 1000.0]], requires_grad=True)
    found = answer_loss(logits, torch.tensor([1, 1]))
    assert float(found.detach()) == 1000
    found.backward()
    assert logits.grad is not None
    assert logits.grad.tolist() == [[1, -1], [0, 0]]


def test_without_targets_the_loss_is_zero_and_so_is_its_gradient() -> None:
    weight = torch.ones(5, 7, requires_grad=True)
    found = answer_loss(torch.zeros(0, 5) @ weight, torch.zeros(0, dtype=torch.int64))
    assert float(found.detach()) == 0
    found.backward()
    assert weight.grad is not None
    assert weight.grad.tolist() == torch.zeros(5, 7).tolist()
