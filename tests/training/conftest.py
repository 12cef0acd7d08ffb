"""A small model to start from, examples of random tokens, and how training goes in plain PyTorch and in the grid of processes."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pytest

from tests.training import early
from tests.training import grid as processes
from tests.training.early import Running
from tests.training.grid import STEPS, schedule_of, settings


@pytest.fixture(scope="module")
def one_thread() -> Iterator[None]:
    """Threads that wait for each other cost more than these models on a busy machine."""
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def write_examples(path: Path, lengths: list[int], languages: list[str], seed: int = 0) -> Path:
    """Examples of random tokens in an Arrow file of several batches; a quarter of each is its prompt."""
    from midb_ray.training.examples import SCHEMA

    random = np.random.default_rng(seed)
    columns = {
        "row": [f"f:{number}" for number in range(len(lengths))],
        "source_id": [f"s{number}" for number in range(len(lengths))],
        "language": languages,
        "ids": [random.integers(2, 256, length).tolist() for length in lengths],
        "answer": [max(length // 4, 1) for length in lengths],
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    with pa.OSFile(str(path), "wb") as sink, pa.ipc.new_file(sink, SCHEMA) as writer:
        writer.write_table(pa.table(columns, schema=SCHEMA), max_chunksize=16)
    return path


SMALL_SIZES = {
    "vocab_size": 300,
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "initializer_range": 0.15,
}


def small_llama(**changes: Any) -> Any:
    """A Llama of two layers whose heads share keys and values."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    given = {
        **SMALL_SIZES,
        "max_position_embeddings": 128,
        "bos_token_id": None,
        "eos_token_id": 0,
        "pad_token_id": 1,
    }
    torch.manual_seed(1)
    return LlamaForCausalLM(LlamaConfig(**{**given, **changes}))


def save_start(folder: Path, model: Any) -> Path:
    """A model directory as training starts from: `model` and a tokenizer."""
    from midb_ray.training.model import fresh_tokenizer
    from midb_ray.training.settings import ScratchSettings

    fresh_tokenizer(["abc def ghi"], ScratchSettings(vocabulary=300)).save_pretrained(folder)
    model.save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the grid needs: start/, and run/examples/ with 40 training examples and, of two languages, 5 and 1 to validate on."""
    folder = tmp_path_factory.mktemp("grid")
    save_start(folder / "start", small_llama())
    lengths = np.random.default_rng(7).integers(9, 61, 40).tolist()
    write_examples(folder / "run" / "examples" / "train.arrow", lengths, ["de", "fr"] * 20)
    held_out = [20, 31, 12, 50, 9, 40]
    write_examples(folder / "run" / "examples" / "validation.arrow", held_out, ["de", "de", "fr", "de", "de", "de"], 1)
    return folder


@pytest.fixture
def examples(place: Path) -> Any:
    from midb_ray.training.examples import Examples

    return Examples(str(place / "run" / "examples" / "train.arrow"))


@pytest.fixture
def held_out(place: Path) -> Any:
    from midb_ray.training.examples import Examples

    return Examples(str(place / "run" / "examples" / "validation.arrow"))


@pytest.fixture
def begin(place: Path) -> Callable[..., Any]:
    """`begin(settings)` is the model as each worker begins with it, its adapters included."""

    def load(chosen: Any, start: Path | None = None) -> Any:
        from midb_ray.training import setup

        given = processes.task(place, chosen)
        return setup._model(given._replace(start=str(start or place / "start")), chosen, sharded=False).train()

    return load


class Reference(NamedTuple):
    """How training goes: losses and norms by step, validation by language, and the trained weights by the plain model's names."""

    losses: list[float]
    norms: list[float]
    validation: dict[str, float]
    weights: dict[str, Any]


@pytest.fixture(scope="session")
def reference(place: Path) -> Callable[[str], Reference]:
    """`reference(method)`: training in plain PyTorch, knowing nothing of steppers, packing, adapters or our loss."""
    made: dict[str, Reference] = {}

    def of(method: str) -> Reference:
        if method not in made:
            made[method] = _train_plainly(place, method)
        return made[method]

    return of


def _train_plainly(place: Path, method: str) -> Reference:
    import torch
    from transformers import AutoModelForCausalLM

    from midb_ray.training.examples import Examples

    chosen = settings(method=method)
    train, held_out = (
        Examples(str(place / "run" / "examples" / f"{split}.arrow")) for split in ("train", "validation")
    )
    schedule = schedule_of(train, chosen)
    model = AutoModelForCausalLM.from_pretrained(place / "start", attn_implementation="sdpa", dtype=torch.float32)
    base = {name: each.detach().clone() for name, each in model.named_parameters()}
    if method == "full":
        trained = {name: each.clone().requires_grad_() for name, each in base.items()}
    else:
        trained = {name: each.requires_grad_() for name, each in _first_adapters(place, chosen).items()}

    def weights() -> dict[str, Any]:
        if method == "full":
            return trained
        layers = {name.rpartition("|")[0] for name in trained}
        scale = chosen.lora.alpha / chosen.lora.rank
        return {
            **base,
            **{name: base[name] + scale * trained[f"{name}|B"] @ trained[f"{name}|A"] for name in layers},
        }

    def loss_of(examples: Any, indices: list[int]) -> Any:
        rows = [torch.tensor(examples.ids(index).astype(np.int64)) for index in indices]
        ids = torch.nn.utils.rnn.pad_sequence(rows, batch_first=True)
        mask = torch.nn.utils.rnn.pad_sequence([torch.ones_like(row) for row in rows], batch_first=True)
        labels = ids.masked_fill(mask == 0, -100)
        for place, index in enumerate(indices):
            labels[place, : examples.answers[index]] = -100
        given = {"input_ids": ids, "attention_mask": mask, "use_cache": False}
        logits = torch.func.functional_call(model, weights(), args=(), kwargs=given).logits
        return torch.nn.functional.cross_entropy(logits[:, :-1].transpose(1, 2), labels[:, 1:])

    matrices = [each for each in trained.values() if each.dim() == 2]
    vectors = [each for each in trained.values() if each.dim() == 1]
    optimizer = torch.optim.AdamW(
        [{"params": matrices, "weight_decay": chosen.weight_decay}, {"params": vectors, "weight_decay": 0.0}],
        betas=chosen.betas,
    )
    losses, norms = [], []
    for step in range(STEPS):
        warm = 3  # a tenth of the steps
        share = (
            (step + 1) / warm if step < warm else (1 + math.cos(math.pi * (step + 1 - warm) / (STEPS - warm + 1))) / 2
        )
        for group in optimizer.param_groups:
            group["lr"] = chosen.learning_rate * share
        loss = loss_of(train, schedule.indices(step).tolist())
        loss.backward()
        norms.append(float(torch.nn.utils.clip_grad_norm_(trained.values(), chosen.clip)))
        optimizer.step()
        optimizer.zero_grad()
        losses.append(float(loss.detach()))
    languages = held_out.column("language")
    with torch.no_grad():
        validation = {
            name: float(loss_of(held_out, [place for place, each in enumerate(languages) if each == name]))
            for name in set(languages)
        }
        return Reference(losses, norms, validation, {name: each.detach() for name, each in weights().items()})


def _first_adapters(place: Path, chosen: Any) -> dict[str, Any]:
    """The adapters' first values, which are chance: by the name of the weight that they change, and A or B."""
    from midb_ray.training import setup

    model = setup._model(processes.task(place, chosen), chosen, sharded=False)
    found = {}
    for name, each in model.named_parameters():
        layer, separator, rest = name.removeprefix("base_model.model.").partition(".lora_")
        if separator:
            found[f"{layer}.weight|{rest[0]}"] = each.detach().clone()
    return found


@pytest.fixture(scope="session")
def grid_running(place: Path) -> Iterator[Running]:
    yield from early.until_the_end(early.begin_grid(place, "whole"))


@pytest.fixture(scope="session")
def grid(place: Path, grid_running: Running) -> dict[str, dict[str, Any]]:
    return early.found_by_grid(place, "whole", grid_running)


@pytest.fixture(scope="session")
def static_parts_running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    yield from early.until_the_end(early.begin_static_parts(tmp_path_factory.mktemp("static")))


@pytest.fixture(scope="session", autouse=True)
def begin_early(request: pytest.FixtureRequest) -> None:
    """Start with the first test of this folder what later ones will wait for."""
    wanted = {name for item in request.session.items for name in getattr(item, "fixturenames", ())}
    for name in ("grid_running", "static_parts_running"):
        if name in wanted:
            request.getfixturevalue(name)
