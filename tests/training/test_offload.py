"""Optimizer state and weights in CPU memory change nothing in what is learnt. DeepSpeed has to compile its optimizer for that."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.training import early
from tests.training.grid import KEPT

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("one_thread")]

BOUND = 1e-4


@pytest.fixture(scope="module")
def offloaded(place: Path) -> dict[str, Any]:
    return early.found_by_grid(place, "offload", early.begin_grid(place, "offload"))["offload-0"]


@pytest.mark.parametrize("stage", [1, 2, 3])
def test_training_with_offload_is_plain_pytorchs(
    offloaded: dict[str, Any], reference: Callable[[str], Any], stage: int
) -> None:
    found, expected = offloaded[f"offload-{stage}"], reference("full")
    assert found["losses"] == pytest.approx(expected.losses, rel=BOUND)
    assert found["norms"] == pytest.approx(expected.norms, rel=10 * BOUND)
    assert found["validation"] == pytest.approx(expected.validation, rel=BOUND)
    assert found["difference"] < BOUND
    assert offloaded[f"offload-{stage}-on"]["losses"] == pytest.approx(expected.losses[KEPT:], rel=BOUND)
