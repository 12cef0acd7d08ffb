"""The core of a vLLM engine is killed for real in the middle of a shard; the actor leaves, another one takes over."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

import pytest
import torch
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from tests.boosting.jobs import below, wait_until
from tests.engines.conftest import byte_level

pytestmark = pytest.mark.vllm
ROWS, SHARD_ROWS = 96, 12


@pytest.fixture
def booster(tmp_path: Path) -> Path:
    """Random weights, with heads as wide as vLLM's kernels ask for."""
    folder = tmp_path / "booster"
    torch.manual_seed(1)
    config = LlamaConfig(
        vocab_size=400,
        hidden_size=64,
        intermediate_size=128,
        num_hidden_layers=2,
        num_attention_heads=2,
        max_position_embeddings=1024,
        bos_token_id=0,
        eos_token_id=1,
    )
    LlamaForCausalLM(config).save_pretrained(folder)
    PreTrainedTokenizerFast(tokenizer_object=byte_level(), bos_token="<s>", eos_token="</s>").save_pretrained(folder)
    return folder


def test_a_core_killed_in_mid_shard_costs_time_and_nothing_else(
    tmp_path, make_corpus, books, booster, start, tell
) -> None:
    corpus, output = make_corpus(ROWS), tmp_path / "run"
    job = start(
        [
            *(sys.executable, "-m", "midb_ray.cli", "boost"),
            *("--input", str(corpus), "--output", str(output), "--shard-rows", str(SHARD_ROWS)),
            *("--engine.kind", "vllm", "--engine.model", str(booster), "--engine.vllm.cpu-cache", "1"),
            *("--engine.dtype", "float32", "--engine.max-new-tokens", "128", "--pool.shards-in-flight", "2"),
        ]
    )

    def committed() -> int:
        return len(list((output / "pairs").glob("part-*.parquet")))

    wait_until(lambda: committed() >= 2, job, 400)
    (core,) = below(job, "EngineCore")
    core.kill()
    killed = time.monotonic()
    before = committed()
    wait_until(lambda: committed() > before + 2, job, 400)  # what was on its way when the core died may still come
    tell(f"From the kill of a core to the next commit: {time.monotonic() - killed:.0f} s")
    assert before < ROWS // SHARD_ROWS - 2
    assert job.wait(timeout=240) == 0
    run = books(output)
    assert run.rows == sorted(f"{corpus}:{line}" for line in range(1, ROWS + 1))
    assert "engine_crash" not in json.dumps(run.summary)
    assert run.left_over == []
