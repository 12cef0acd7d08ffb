"""Continuous batching is used where it is right, and noticed where it is not."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
import torch

from midb_ray.engines import paged, registry
from midb_ray.engines.base import Continuation, Engine, Likelihood, Request
from midb_ray.engines.continuous import ContinuousEngine
from midb_ray.engines.settings import EngineSettings
from midb_ray.engines.transformers import TransformersEngine
from midb_ray.errors import UserError

REQUESTS = [Request(None, list(range(5, 30)), 10), Request(None, [7, 8], 10)]


def build(folder: Path, **more: Any) -> Engine:
    return registry.build(EngineSettings(model=str(folder), device="cpu", dtype="float32", **more))


def blind(query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, *_: object) -> torch.Tensor:
    """An attention that sees the first token alone."""
    groups = query.shape[1] // value.shape[1]
    return value[:, :, :1].repeat_interleave(groups, 1).expand_as(query)


def test_it_is_the_default_for_greedy_answers(model_folder: Path) -> None:
    engine = build(model_folder)
    assert isinstance(engine, ContinuousEngine)
    assert engine.is_proven
    engine.close()


@pytest.mark.parametrize("settings", [{"temperature": 0.7}, {"guided": True}, {"batching": "static"}])
def test_what_it_cannot_do_is_batched_statically(model_folder: Path, settings: dict[str, Any]) -> None:
    engine = build(model_folder, **settings)
    assert isinstance(engine, TransformersEngine)
    engine.close()


def test_wrong_answers_are_noticed_before_the_first_row(model_folder: Path, monkeypatch) -> None:
    right = build(model_folder, batching="static")
    expected = asyncio.run(right.generate(REQUESTS))
    right.close()
    monkeypatch.setattr(paged, "_one", blind)
    engine = build(model_folder)
    assert isinstance(engine, TransformersEngine)
    assert asyncio.run(engine.generate(REQUESTS)) == expected
    engine.close()
    with pytest.raises(UserError, match=r"Batched continuously, .* gives other answers than by itself"):
        build(model_folder, batching="continuous")


def test_a_version_without_the_paged_cache_is_batched_statically(model_folder: Path, monkeypatch) -> None:
    monkeypatch.setattr(paged, "is_supported", lambda _: False)
    engine = build(model_folder)
    assert isinstance(engine, TransformersEngine)
    engine.close()
    with pytest.raises(UserError, match="cannot be batched continuously with transformers"):
        build(model_folder, batching="continuous")


def test_a_caller_that_leaves_before_it_is_inside_holds_nobody_up(model_folder: Path) -> None:
    engine = build(model_folder, batching="continuous")
    assert isinstance(engine, ContinuousEngine)

    async def leave() -> list[Likelihood]:
        engine._judging += 1  # as while others judge: nobody gets in
        leaving = asyncio.ensure_future(engine.generate(REQUESTS))
        await asyncio.sleep(0.1)
        leaving.cancel()
        with pytest.raises(asyncio.CancelledError):
            await leaving
        with engine._quiet:
            engine._judging -= 1
            engine._quiet.notify_all()
        return await asyncio.wait_for(engine.loglikelihood([Continuation([5, 6], [7])]), 60)

    (found,) = asyncio.run(leave())
    assert found.error is None
    engine.close()
