"""Tiny encoders with random weights, as directories, and what the library's own model says of a text by itself."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
from transformers import AutoModel, AutoTokenizer, BertConfig, BertModel, PreTrainedTokenizerFast

from midb_ray.engines import encoder
from midb_ray.engines.base import Comparison

TEXTS = (
    "the cat sat",
    "a dog eats bread",
    "Paris sings",
    "in the big red house",
    "x",
    "small dogs , cats ?",
    "a " * 13,
)
LONGEST = 16
_WORDS = "the cat dog sat on mat in house big small red blue sings eats fish bread query paris ##s ##ing"


def tokenizer() -> PreTrainedTokenizerFast:
    """WordPiece of letters and a few words."""
    letters = "abcdefghijklmnopqrstuvwxyz.,?:"
    pieces = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", *letters, *(f"##{letter}" for letter in letters), *_WORDS.split()]
    made = Tokenizer(models.WordPiece({piece: i for i, piece in enumerate(pieces)}, unk_token="[UNK]"))
    made.normalizer = normalizers.BertNormalizer()
    made.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    made.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=made,
        unk_token="[UNK]",
        pad_token="[PAD]",
        cls_token="[CLS]",
        sep_token="[SEP]",
        model_max_length=LONGEST,
    )


def sizes(**changes: Any) -> dict[str, Any]:
    """Of a model, for its configuration."""
    usual = {"vocab_size": 100, "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4}
    return {**usual, "intermediate_size": 64, "max_position_embeddings": 64, "initializer_range": 0.4, **changes}


def save_plain(folder: Path) -> Path:
    """An encoder without the files of sentence-transformers."""
    torch.manual_seed(7)
    BertModel(BertConfig(**sizes())).save_pretrained(folder)
    tokenizer().save_pretrained(folder)
    return folder


def add_recipe(folder: Path) -> Path:
    """Pooling by the first token, and a matrix with tanh."""
    write_modules(folder, "models.Transformer", "models.Pooling", "models.Dense")
    write(folder / "1_Pooling/config.json", {"pooling_mode_cls_token": True, "pooling_mode_mean_tokens": False})
    write(folder / "2_Dense/config.json", {"activation_function": "torch.nn.modules.activation.Tanh"})
    torch.manual_seed(8)
    weights = {"linear.weight": torch.randn(8, 32) / 4, "linear.bias": torch.randn(8)}
    save_file(weights, folder / "2_Dense/model.safetensors")
    return folder


def write(path: Path, value: Any) -> None:
    """JSON."""
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(value))


def write_modules(folder: Path, *kinds: str) -> None:
    """A list of modules, by their names in the package."""
    listed = []
    for i, kind in enumerate(kinds):
        path = "" if i == 0 else f"{i}_{kind.rpartition('.')[2]}"
        listed.append({"idx": i, "name": str(i), "path": path, "type": f"sentence_transformers.{kind}"})
    write(folder / "modules.json", listed)


def write_pooling(folder: Path, **config: Any) -> None:
    """A recipe of pooling alone, with names as in new versions."""
    write_modules(folder, "base.modules.transformer.Transformer", "sentence_transformer.modules.pooling.Pooling")
    write(folder / "1_Pooling/config.json", config)


def pairs(texts: Sequence[str]) -> list[Comparison]:
    """Each text with each."""
    return [Comparison(one, other) for one in texts for other in texts]


def compare(folder: Path, rows: Sequence[Comparison]) -> list[float]:
    """The cosines by an encoder of ours, without an error."""
    found = encoder.load(str(folder), None, "cpu").similarities(rows)
    assert [similarity.error for similarity in found] == [None] * len(rows)
    return [similarity.cosine for similarity in found]


@torch.inference_mode()
def states(folder: Path, text: str) -> torch.Tensor:
    """What the library's model says of each token of a text by itself."""
    given = AutoTokenizer.from_pretrained(folder)(text, return_tensors="pt")
    found: torch.Tensor = AutoModel.from_pretrained(folder).eval()(**given).last_hidden_state[0]
    return found


def cosines(vectors: Sequence[torch.Tensor]) -> list[float]:
    """Each vector with each."""
    return [float(torch.cosine_similarity(one, other, dim=0)) for one in vectors for other in vectors]


def close(numbers: Any) -> Any:
    """Equal up to rounding."""
    return pytest.approx(numbers, abs=1e-5)
