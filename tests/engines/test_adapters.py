"""A directory without a usable adapter is told before anything is started."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from midb_ray.engines import adapters, registry
from midb_ray.engines.settings import EngineSettings
from midb_ray.errors import UserError


@pytest.fixture
def adapter(tmp_path: Path) -> Path:
    (tmp_path / "adapter_config.json").write_text(json.dumps({"r": 8}))
    save_file({"a": torch.zeros(2)}, tmp_path / "adapter_model.safetensors")
    return tmp_path


def test_the_rank_of_an_adapter(adapter: Path) -> None:
    assert adapters.rank(str(adapter)) == 8


@pytest.mark.parametrize("content", [None, "{", "{}", '{"r": null}', "[]"])
def test_a_directory_without_a_rank_is_refused(adapter: Path, content: str | None) -> None:
    (adapter / "adapter_config.json").unlink()
    if content is not None:
        (adapter / "adapter_config.json").write_text(content)
    with pytest.raises(UserError, match=r"engine.vllm.adapter: .* expected an adapter_config.json with a rank"):
        adapters.rank(str(adapter))


def test_an_adapter_in_another_format_is_refused(adapter: Path) -> None:
    (adapter / "adapter_model.safetensors").rename(adapter / "adapter_model.bin")
    with pytest.raises(UserError, match=r"lacks adapter_model.safetensors"):
        adapters.rank(str(adapter))


def test_a_missing_adapter_is_refused_before_the_model_is_looked_at(tmp_path: Path) -> None:
    settings = EngineSettings.model_validate(
        {"kind": "vllm", "model": "no/model", "vllm": {"adapter": str(tmp_path / "none")}}
    )
    with pytest.raises(UserError, match=r"engine\.vllm\.adapter"):
        registry.check(settings)


def test_an_adapter_is_part_of_what_an_engine_is(adapter: Path, model_folder: Path) -> None:
    plain = {"kind": "vllm", "model": str(model_folder)}
    adapted = {**plain, "vllm": {"adapter": str(adapter)}}
    first = registry.identity(EngineSettings.model_validate(adapted))
    assert first != registry.identity(EngineSettings.model_validate(plain))
    (adapter / "adapter_config.json").write_text(json.dumps({"r": 9}))
    assert registry.identity(EngineSettings.model_validate(adapted)) != first
