"""What is vLLM's own: a core that dies, adapters, arguments that it does not know."""

from __future__ import annotations

import asyncio
import contextlib
import json
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
import torch
from safetensors.torch import save_file
from transformers import LlamaForCausalLM, PreTrainedTokenizerFast

from midb_ray.engines import registry
from midb_ray.engines.base import EngineError, Request
from midb_ray.engines.settings import EngineSettings
from midb_ray.errors import UserError

pytestmark = pytest.mark.vllm
RANK = 4
REQUESTS = [Request(None, [0, 20 + number, 30 + number], 12) for number in range(8)]


@pytest.fixture(scope="module")
def folder(
    tiny_llama: Callable[..., LlamaForCausalLM],
    tokenizer: PreTrainedTokenizerFast,
    tmp_path_factory: pytest.TempPathFactory,
) -> Path:
    path = tmp_path_factory.mktemp("vllm")
    tiny_llama(hidden_size=128, initializer_range=0.2).save_pretrained(path)
    tokenizer.save_pretrained(path)
    return path


@pytest.fixture(scope="module")
def adapter(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A LoRA adapter for the query projections, large enough to change answers."""
    path = tmp_path_factory.mktemp("adapter")
    config = {"peft_type": "LORA", "r": RANK, "lora_alpha": 8, "target_modules": ["q_proj"], "task_type": "CAUSAL_LM"}
    (path / "adapter_config.json").write_text(json.dumps(config))
    torch.manual_seed(3)
    weights = {}
    for layer in range(2):
        stem = f"base_model.model.model.layers.{layer}.self_attn.q_proj"
        weights[f"{stem}.lora_A.weight"] = torch.randn(RANK, 128)
        weights[f"{stem}.lora_B.weight"] = torch.randn(128, RANK)
    save_file(weights, path / "adapter_model.safetensors", metadata={"format": "pt"})
    return path


@pytest.fixture
def build(folder: Path) -> Iterator[Callable[..., Any]]:
    made = []

    def engine(**vllm: Any) -> Any:
        settings = {"kind": "vllm", "model": str(folder), "device": "cpu", "dtype": "float32"}
        made.append(registry.build(EngineSettings.model_validate({**settings, "vllm": {"cpu_cache": 1, **vllm}})))
        return made[-1]

    yield engine
    for one in made:
        one.close()


def cores() -> list[psutil.Process]:
    found = []
    for child in psutil.Process().children(recursive=True):
        with contextlib.suppress(psutil.NoSuchProcess):  # or a zombie, which is one of them
            if "EngineCore" in "".join(child.cmdline()):
                found.append(child)
    return found


def test_a_core_that_is_killed_fails_its_callers_at_once_and_all_later_ones(build: Callable[..., Any]) -> None:
    engine = build()

    async def disturbed() -> Any:
        waiting = asyncio.ensure_future(
            engine.generate([Request(None, [5, 6, 7 + number], 240) for number in range(64)])
        )
        await asyncio.sleep(0.2)
        (core,) = cores()
        core.kill()
        with pytest.raises(EngineError):
            await asyncio.wait_for(waiting, timeout=60)
        with pytest.raises(EngineError):
            await engine.generate(REQUESTS)

    asyncio.run(disturbed())
    engine.close()
    deadline = time.monotonic() + 30
    while cores() and time.monotonic() < deadline:
        time.sleep(0.1)
    assert cores() == []


def test_a_core_does_not_outlive_an_engine_that_is_killed(folder: Path, tmp_path: Path) -> None:
    settings = {"kind": "vllm", "model": str(folder), "device": "cpu", "dtype": "float32", "vllm": {"cpu_cache": 1}}
    (tmp_path / "engine.py").write_text(
        "import time\n"
        "from midb_ray.engines import registry\n"
        "from midb_ray.engines.settings import EngineSettings\n"
        "if __name__ == '__main__':\n"
        f"    engine = registry.build(EngineSettings.model_validate({settings!r}))\n"
        "    print('midb: loaded', flush=True)\n"
        "    time.sleep(3600)\n"
    )
    engine = subprocess.Popen([sys.executable, str(tmp_path / "engine.py")], stdout=subprocess.PIPE)
    assert engine.stdout is not None
    while b"midb: loaded" not in engine.stdout.readline():
        assert engine.poll() is None
    (core,) = cores()
    engine.kill()
    engine.wait(30)
    core.wait(30)


def test_an_adapter_answers_as_the_merged_model_does(
    build: Callable[..., Any], folder: Path, adapter: Path, tmp_path: Path
) -> None:
    from peft import PeftModel

    merged = PeftModel.from_pretrained(LlamaForCausalLM.from_pretrained(folder), adapter).merge_and_unload()
    place = Path(shutil.copytree(folder, tmp_path / "merged"))
    merged.save_pretrained(place)
    settings = EngineSettings(model=str(place), device="cpu", dtype="float32", batching="static")
    plain = registry.build(settings)
    expected = asyncio.run(plain.generate(REQUESTS))
    plain.close()
    bare = registry.build(settings.model_copy(update={"model": str(folder)}))
    assert asyncio.run(bare.generate(REQUESTS)) != expected
    bare.close()
    assert asyncio.run(build(adapter=str(adapter)).generate(REQUESTS)) == expected


def test_arguments_that_vllm_does_not_know_are_one_sentence(build: Callable[..., Any]) -> None:
    with pytest.raises(UserError, match=r"engine\.vllm\.engine_args: .*no_such_argument") as caught:
        build(engine_args={"no_such_argument": 1})
    assert "\n" not in str(caught.value)


def test_a_model_that_vllm_cannot_load_is_one_sentence(build: Callable[..., Any]) -> None:
    with pytest.raises(UserError, match=r"Cannot load .* with vllm: ") as caught:
        build(quantization="no_such_method")
    assert "\n" not in str(caught.value)
