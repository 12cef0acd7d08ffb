"""Impossible engine settings are refused by name, and an identity is what changes an output and nothing else."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest

from midb_ray import config
from midb_ray.config import Settings
from midb_ray.engines import registry as engines
from midb_ray.engines.echo import EchoEngine
from midb_ray.engines.settings import EngineSettings
from midb_ray.errors import UserError


class Job(Settings):
    """A job with an engine."""

    engine: EngineSettings


@pytest.mark.parametrize(
    ("engine", "message"),
    [
        ({"kind": "transformers"}, "engine.model: the transformers engine needs a model directory or a hub id"),
        ({}, "engine.model: the transformers engine needs"),
        ({"kind": "transformers", "model": ""}, "engine.model: the transformers engine needs"),
        ({"kind": "echo", "model": "m"}, "engine.model: the echo engine has no model"),
        ({"kind": "echo", "revision": "main"}, "engine.revision: the echo engine has no model"),
        ({"model": "m", "top_p": 0.9}, "engine.top_p: it has no effect at temperature 0"),
        ({"kind": "echo", "guided": True}, "engine.guided: the echo engine writes no tokens"),
        ({"model": "m", "echo_delay": 1}, "engine.echo_delay: this belongs to the echo engine"),
        ({"model": "m", "echo_crash_on": "x"}, "engine.echo_crash_on: this belongs to the echo engine"),
        (
            {"kind": "vlm", "model": "m"},
            "engine.kind: input should be 'echo', 'transformers', 'vllm' or 'openai', found 'vlm'",
        ),
        ({"kind": "vllm"}, "engine.model: the vllm engine needs a model directory or a hub id"),
        ({"kind": "vllm", "model": "m", "guided": True}, "engine.guided: the vllm engine cannot guide answers"),
        ({"kind": "vllm", "model": "m", "batching": "static"}, "engine.batching: only the transformers engine has"),
        ({"model": "m", "batching": "continuous", "temperature": 1}, "engine.temperature: .* needs static batches"),
        ({"model": "m", "batching": "continuous", "guided": True}, "engine.guided: .* need static batches"),
        ({"model": "m", "vllm": {"rows": 5}}, "engine.vllm: this belongs to the vllm engine"),
        (
            {"kind": "vllm", "model": "m", "vllm": {"engine_args": {"trust_remote_code": True}}},
            "engine.vllm.engine_args: trust_remote_code cannot be set: code that comes with a model is never run",
        ),
        (
            {"kind": "vllm", "model": "m", "vllm": {"engine_args": '{"max_num_seqs": 4}'}},
            "engine.vllm.engine_args: max_num_seqs is said by engine.vllm.rows",
        ),
        (
            {"kind": "vllm", "model": "m", "vllm": {"engine_args": "{"}},
            "engine.vllm.engine_args: expected a mapping as JSON, found '{'",
        ),
        *(
            (
                {"kind": "vllm", "model": "m", "vllm": {"engine_args": {name: value}}},
                f"engine.vllm.engine_args: {name} has to be",
            )
            for name, value in (
                ("distributed_executor_backend", "package.Executor"),
                ("model_class_overrides", {"Llama": "module:Class"}),
                ("compilation_config", {"backend": "package.function"}),
                ("spec_method", "medusa"),
                ("hf_token", "secret"),
                ("cudagraph_capture_sizes", [1, "2"]),
                ("kv_cache_dtype", {"a": 1}),
            )
        ),
        ({"model": "m", "max_new_tokens": 2**24 + 1}, "engine.max_new_tokens: .* found 16777217"),
        ({"model": "m", "max_new_tokens": 0}, "engine.max_new_tokens: .* found 0"),
        ({"model": "m", "batch_token": 1}, "did you mean 'engine.batch_tokens'"),
    ],
)
def test_an_impossible_setting_is_refused_in_one_sentence_that_names_it(engine: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message) as caught:
        config.validate(Job, {"engine": engine})
    assert "\n" not in str(caught.value)


def test_echo_needs_no_model_and_is_built_from_its_settings() -> None:
    settings = EngineSettings(kind="echo", echo_delay=0.5)
    assert engines.check(settings).context is None
    assert isinstance(engines.build(settings), EchoEngine)
    assert engines.pinned(settings, engines.check(settings)) == settings


def test_where_and_how_fast_an_engine_runs_is_not_part_of_its_identity(model_folder: Path) -> None:
    plain = EngineSettings(model=str(model_folder))
    moved = EngineSettings(model=str(model_folder), device="cpu", batch_tokens=77, threads=1, seed=5)
    assert engines.identity(plain) == engines.identity(moved)
    assert engines.identity(EngineSettings(kind="echo")) == engines.identity(
        EngineSettings(kind="echo", echo_fail_on="x", echo_delay=1, echo_crash_on="y")
    )


@pytest.mark.parametrize(
    "change",
    [
        {"dtype": "float32"},
        {"max_new_tokens": 100},
        {"answer_budget": 3},
        {"answer_floor": 0},
        {"temperature": 0.5},
        {"guided": True},
    ],
)
def test_what_changes_an_answer_changes_the_identity(model_folder: Path, change: dict[str, Any]) -> None:
    plain, changed = EngineSettings(model=str(model_folder)), EngineSettings(model=str(model_folder), **change)
    assert engines.identity(plain) != engines.identity(changed)


def test_the_seed_counts_only_when_sampling(model_folder: Path) -> None:
    one, other = (
        engines.identity(EngineSettings(model=str(model_folder), temperature=0.7, seed=seed)) for seed in (1, 2)
    )
    assert one != other


def test_a_pinned_directory_is_absolute(model_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.copytree(model_folder, tmp_path / "model")
    monkeypatch.chdir(tmp_path)
    settings = EngineSettings(model="model")
    pinned = engines.pinned(settings, engines.check(settings))
    assert pinned.model == str(tmp_path / "model")
    assert engines.identity(pinned) == engines.identity(settings)


def test_settings_can_be_hashed_and_have_a_help_text_each() -> None:
    assert hash(EngineSettings(kind="echo")) == hash(EngineSettings(kind="echo"))
    assert all(field.description for _, field in config.options(EngineSettings))


def test_numbers_switches_and_some_text_go_through_to_vllm() -> None:
    given = {"block_size": 32, "enforce_eager": True, "cudagraph_capture_sizes": [1, 2], "kv_cache_dtype": "fp8"}
    settings = EngineSettings.model_validate({"kind": "vllm", "model": "m", "vllm": {"engine_args": given}})
    assert settings.vllm.engine_args == given
