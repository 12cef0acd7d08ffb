"""Every shipped YAML file: valid, free of settings that do nothing, and true to what its comments promise."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from midb_ray import config
from midb_ray.boosting.settings import BoostSettings
from midb_ray.errors import UserError
from midb_ray.training import rehearsal, remedies, sizes
from midb_ray.training.settings import TrainSettings

CONFIGS = Path(__file__).resolve().parents[2] / "configs"
SHIPPED = sorted(CONFIGS.rglob("*.yaml"))
REQUIRED: dict[type[config.Settings], dict[str, str]] = {
    TrainSettings: {"revisions": "a", "output": "b"},
    BoostSettings: {"input": "a", "output": "b", "engine.model": "c"},
}
every_file = pytest.mark.parametrize("path", SHIPPED, ids=lambda path: str(path.relative_to(CONFIGS)))


def kind(path: Path) -> type[config.Settings]:
    return TrainSettings if path.parent.name == "train" else BoostSettings


def load(path: Path, *arguments: str) -> tuple[Any, config.Origins]:
    """As the command line does it, with what a file leaves to it."""
    return _load(kind(path), path, arguments)


def _load(settings: type[config.Settings], path: Path, arguments: Sequence[str] = ()) -> tuple[Any, config.Origins]:
    given = [f"--{key}={value}" for key, value in REQUIRED[settings].items()]
    return config.load(settings, "midb-ray", ["--config", str(path), *given, *arguments])


def leaves(path: Path) -> dict[str, Any]:
    def walk(values: dict[str, Any], above: str = "") -> dict[str, Any]:
        found: dict[str, Any] = {}
        for key, value in values.items():
            found |= walk(value, f"{above}{key}.") if isinstance(value, dict) else {f"{above}{key}": value}
        return found

    return walk(config.read_yaml(str(path)))


def train_settings(name: str) -> TrainSettings:
    settings, _ = load(CONFIGS / "train" / name)
    assert isinstance(settings, TrainSettings)
    return settings


def test_the_shipped_files_are_those_that_the_documentation_names() -> None:
    assert [str(path.relative_to(CONFIGS)) for path in SHIPPED] == [
        "boost.yaml",
        "quickstart.yaml",
        "train/llama-3.1-8b-full.yaml",
        "train/llama-3.1-8b-lora.yaml",
        "train/quickstart.yaml",
        "train/single-gpu.yaml",
    ]


@every_file
def test_shipped_settings_are_valid_and_arrive_as_they_are_written(path: Path) -> None:
    settings, origins = load(path)
    values, written = config.flat(settings), leaves(path)
    assert written
    assert set(written) <= {key for key, _ in config.options(kind(path))}
    for key, value in written.items():
        assert values[key] == (value if not isinstance(values[key], list) or isinstance(value, list) else [value]), key
        assert type(values[key]) is not str or isinstance(value, str), key
        assert origins[key] == str(path)


@every_file
def test_a_slip_in_any_key_of_a_shipped_file_is_found(path: Path, tmp_path: Path) -> None:
    for key in leaves(path):
        slipped = f"{key[:-1]}{'x' if key[-1] != 'x' else 'y'}"
        (tmp_path / "slipped.yaml").write_text(f"{path.read_text()}\n{slipped}: 1\n")
        with pytest.raises(UserError, match="Unknown setting"):
            _load(kind(path), tmp_path / "slipped.yaml")


@pytest.mark.parametrize("settings", [TrainSettings, BoostSettings])
def test_every_setting_has_a_description(settings: type[config.Settings]) -> None:
    assert [key for key, field in config.options(settings) if not field.description] == []


@pytest.mark.parametrize("path", sorted((CONFIGS / "train").glob("*.yaml")), ids=lambda path: path.name)
def test_no_shipped_setting_is_ignored(path: Path) -> None:
    settings, origins = load(path)
    assert rehearsal.ignored(settings, origins) == []


def test_the_papers_settings_are_the_papers() -> None:
    paper = train_settings("llama-3.1-8b-lora.yaml")
    assert (paper.method, paper.lora.rank, paper.lora.alpha, paper.lora.targets) == ("lora", 64, 32, ("all-linear",))
    assert (paper.schedule, paper.warmup, paper.max_tokens, paper.dtype) == ("cosine", 0.1, 4096, "bfloat16")
    assert (paper.zero.stage, paper.selection.share, paper.learning_rate) == (3, 0.3, 2e-4)
    assert (paper.epochs, paper.batch_size, paper.workers) == (3, 128, (8,))


def test_the_quickstart_learns_all_its_revisions() -> None:
    quickstart = train_settings("quickstart.yaml")
    assert (quickstart.selection.share, quickstart.selection.validation, quickstart.card_rows) == (1.0, 0, 0)
    assert (quickstart.device, quickstart.model, quickstart.scratch.hidden_size) == ("cpu", None, 128)
    assert (quickstart.final_learning_rate, quickstart.betas, quickstart.epochs) == (0.1, (0.9, 0.95), 25)
    assert quickstart.max_tokens <= quickstart.scratch.positions


def llama(hidden: int, layers: int, heads: int, inner: int, tied: bool) -> Any:
    from transformers import LlamaConfig

    return LlamaConfig(
        hidden_size=hidden,
        num_hidden_layers=layers,
        num_attention_heads=heads,
        num_key_value_heads=8,
        head_dim=128,
        intermediate_size=inner,
        vocab_size=128256,
        tie_word_embeddings=tied,
    )


LLAMA_8B, LLAMA_3B = (4096, 32, 32, 14336, False), (3072, 28, 24, 8192, True)


@pytest.mark.parametrize(
    ("name", "arguments", "model", "card"),
    [
        ("llama-3.1-8b-lora.yaml", (), LLAMA_8B, 80),
        ("llama-3.1-8b-lora.yaml", ("--gradient-checkpointing",), LLAMA_8B, 24),
        ("llama-3.1-8b-full.yaml", (), LLAMA_8B, 40),
        ("single-gpu.yaml", (), LLAMA_3B, 24),
    ],
)
def test_the_cards_that_a_file_names_are_large_enough(
    name: str, arguments: tuple[str, ...], model: tuple[int, int, int, int, bool], card: int
) -> None:
    settings, _ = load(CONFIGS / "train" / name, *arguments)
    form = llama(*model)
    needed = sizes.memory(sizes.parameters(form, settings), form, settings, settings.workers[0])
    assert remedies.smallest_card(needed.total) == card


def test_offload_takes_as_much_of_the_machines_as_the_file_says() -> None:
    settings, _ = load(CONFIGS / "train" / "llama-3.1-8b-full.yaml", "--zero.offload-optimizer")
    form = llama(*LLAMA_8B)
    needed = sizes.memory(sizes.parameters(form, settings), form, settings, 4)
    assert 4 * needed.cpu == pytest.approx(130e9, rel=0.02)
