"""A model that could not be used is refused before anything is started, and a changed one is another model."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from safetensors.torch import load_file, save_file
from transformers import BertConfig, LlamaForCausalLM

from midb_ray.engines import models
from midb_ray.errors import UserError


@pytest.fixture
def folder(model_folder: Path, tmp_path: Path) -> Path:
    """A copy to damage."""
    return Path(shutil.copytree(model_folder, tmp_path / "model"))


def test_the_facts_of_a_whole_model(folder: Path) -> None:
    facts = models.check(str(folder))
    assert facts == (256, 400, (folder / "model.safetensors").stat().st_size, None)


def test_a_model_in_several_files_is_read_through_its_index(
    folder: Path, tiny_llama: Callable[..., LlamaForCausalLM]
) -> None:
    (folder / "model.safetensors").unlink()
    tiny_llama().save_pretrained(folder, max_shard_size="60KB")
    parts = sorted(folder.glob("model-*.safetensors"))
    assert len(parts) > 1
    assert models.check(str(folder)).weight_bytes == sum(part.stat().st_size for part in parts)
    parts[-1].unlink()
    _refused(folder, f"lacks {parts[-1].name}, which model.safetensors.index.json names")


def _write(name: str, content: str) -> Callable[[Path], object]:
    return lambda folder: (folder / name).write_text(content)


def _truncate(folder: Path) -> None:
    weights = folder / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1])


def _only_pickle(folder: Path) -> None:
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")


def _only_adapter(folder: Path) -> None:
    (folder / "config.json").rename(folder / "adapter_config.json")


def _adapter_beside_the_model(folder: Path) -> None:
    (folder / "adapter_config.json").write_text(json.dumps({"r": 8}))


def _negative_offsets(folder: Path) -> None:
    header = json.dumps({"a": {"dtype": "F32", "shape": [1], "data_offsets": [-4, 0]}}).encode()
    (folder / "model.safetensors").write_bytes(len(header).to_bytes(8, "little") + header)


def _remote_code(folder: Path) -> None:
    config = {"model_type": "my_own", "auto_map": {"AutoConfig": "code.Config"}, "architectures": ["Mine"]}
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "code.py").write_text("raise SystemExit('code of a model was run')")


def _no_tokenizer(folder: Path) -> None:
    for path in folder.glob("tokenizer*"):
        path.unlink()


def _end_beyond_the_vocabulary(folder: Path) -> None:
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "vocab_size": 1}))


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (_truncate, "was cut off, copy the model again"),
        (_only_pickle, "only as pytorch_model.bin, a format that can run code"),
        (_only_adapter, "holds only an adapter; merge it"),
        (_adapter_beside_the_model, "holds an adapter .* beside its model"),
        (_remote_code, "Cannot use config.json"),
        (_no_tokenizer, "Cannot load a tokenizer"),
        (_end_beyond_the_vocabulary, "tokenizer and weights belong to different models"),
        (lambda folder: (folder / "config.json").unlink(), "has no config.json"),
        (lambda folder: (folder / "model.safetensors").unlink(), "has no weights: expected model.safetensors"),
        (_write("config.json", "{"), "is not valid JSON"),
        (_write("config.json", "[" * 100_000), "is not valid JSON"),
        (_negative_offsets, "is no safetensors file or a damaged one"),
        (_write("config.json", "[]"), "expected a JSON object, found list"),
        (_write("model.safetensors", ""), "is no safetensors file or a damaged one"),
        (_write("model.safetensors", "version https://git-lfs.github.com/spec/v1\n"), "is no safetensors file"),
        (_write("config.json", json.dumps(BertConfig().to_dict() | {"model_type": "vit"})), "a causal language model"),
    ],
)
def test_a_damaged_or_unfit_model_is_refused_in_one_sentence(
    folder: Path, damage: Callable[[Path], object], message: str
) -> None:
    damage(folder)
    _refused(folder, message)


def test_a_path_that_is_no_directory_is_refused(folder: Path) -> None:
    _refused(folder / "nowhere", "does not exist on this machine")
    _refused(folder / "config.json", "is a file; expected the directory")
    with pytest.raises(UserError, match="is a directory; only hub ids have revisions"):
        models.check(str(folder), "main")


def test_the_identity_is_that_of_the_files_wherever_they_lie(folder: Path, model_folder: Path) -> None:
    for name in ("README.md", "trainer_state.json", "optimizer.pt"):
        (folder / name).write_text("note")
    assert models.identity(str(folder)) == models.identity(str(model_folder))
    assert {"config.json", "tokenizer.json", "model.safetensors"} <= set(models.identity(str(folder))["files"])


@pytest.mark.parametrize(
    "name", ["model.embed_tokens.weight", "model.layers.0.mlp.up_proj.weight", "model.norm.weight"]
)
def test_one_trained_matrix_makes_another_model(folder: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(models, "_END", 1024)  # as small beside this file as a MiB is beside real weights
    before = models.identity(str(folder))["files"]
    weights = load_file(folder / "model.safetensors")
    weights[name] = weights[name] + 1
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    after = models.identity(str(folder))["files"]
    assert [file for file in before if before[file] != after[file]] == ["model.safetensors"]


def test_a_changed_chat_template_makes_another_model(folder: Path) -> None:
    before = models.identity(str(folder))
    (folder / "chat_template.jinja").write_text("{{ messages[0].content }}")
    assert models.identity(str(folder)) != before


def test_a_hub_id_is_checked_and_known_by_its_commit_also_from_the_cache_alone(
    model_folder: Path, tmp_path: Path
) -> None:
    """The cache of a hub as its library lays it out, in a process that may not use the network."""
    commit = "0123456789abcdef0123456789abcdef01234567"
    repository = tmp_path / "hub" / "models--someone--booster"
    shutil.copytree(model_folder, repository / "snapshots" / commit)
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text(commit)
    program = (
        "import json; from midb_ray.engines import registry as s\n"
        "e = s.EngineSettings(model='someone/booster')\n"
        "facts = s.check(e)\n"
        "print(json.dumps([facts, s.pinned(e, facts).revision, s.identity(e)['model']]))\n"
        "try: s.check(s.EngineSettings(model='someone/else'))\n"
        "except s.models.UserError as error: print(error)\n"
    )
    environment = {**os.environ, "HF_HUB_OFFLINE": "1", "HF_HUB_CACHE": str(tmp_path / "hub")}
    done = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=True)
    answer, refusal = done.stdout.splitlines()
    assert json.loads(answer) == [[256, 400, 0, commit], commit, {"hub": "someone/booster", "commit": commit}]
    assert refusal.startswith("someone/else is no directory here and cannot be had from the hub")


def _refused(model: Path, message: str) -> None:
    with pytest.raises(UserError, match=message) as caught:
        models.check(str(model))
    assert "\n" not in str(caught.value)
