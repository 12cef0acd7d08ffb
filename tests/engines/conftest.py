"""A model of our own making: a byte-level BPE trained here on a few sentences and a tiny Llama with random weights."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from tests.engines.encoders import add_recipe, save_plain

SENTENCES = (
    "Below is an instruction pair. Rewrite it until a native expert would sign it.",
    "<|instruction|>\nNenne drei Städte.\n<|response|>\nBerlin, Hamburg und Köln",
    "Quelle est la capitale de la France ? La capitale de la France est Paris.",
    "日本の首都はどこですか。東京です。",
    "Какой город является столицей России? Москва.",
)
CHAT_TEMPLATE = (
    "{{ bos_token }}{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content | trim }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


def byte_level() -> Tokenizer:
    """A byte-level BPE of 400 tokens with special and ordinary added tokens."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=390,
        special_tokens=["<s>", "</s>", "<|eot_id|>", "<|im_start|>", "<|im_end|>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(SENTENCES * 4, trainer)
    tokenizer.add_tokens([AddedToken("<think>", special=False, normalized=False), AddedToken("Paris", special=False)])
    return tokenizer


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> Iterator[None]:
    """Threads that wait for each other cost more than these models on a busy machine."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="session")
def tokenizer() -> PreTrainedTokenizerFast:
    """Without a chat template and without a padding token."""
    return PreTrainedTokenizerFast(tokenizer_object=byte_level(), bos_token="<s>", eos_token="</s>")


@pytest.fixture(scope="session")
def chat_tokenizer() -> PreTrainedTokenizerFast:
    return PreTrainedTokenizerFast(
        tokenizer_object=byte_level(), bos_token="<s>", eos_token="</s>", chat_template=CHAT_TEMPLATE
    )


def _tiny_llama(**changes: Any) -> LlamaForCausalLM:
    """Random weights, large enough that different prompts have different answers; the same ones each time."""
    torch.manual_seed(7)
    config = LlamaConfig(
        **{
            "vocab_size": 400,
            "hidden_size": 32,
            "intermediate_size": 64,
            "num_hidden_layers": 2,
            "num_attention_heads": 4,
            "num_key_value_heads": 2,
            "max_position_embeddings": 256,
            "initializer_range": 0.4,
            "bos_token_id": 0,
            "eos_token_id": 1,
            **changes,
        }
    )
    return LlamaForCausalLM(config).eval()


@pytest.fixture(scope="session")
def tiny_llama() -> Callable[..., LlamaForCausalLM]:
    """Makes models; keyword arguments change the configuration."""
    return _tiny_llama


@pytest.fixture(scope="session")
def model_folder(tmp_path_factory: pytest.TempPathFactory, tokenizer: PreTrainedTokenizerFast) -> Path:
    """The tiny model as a directory; tests that change it work on a copy."""
    folder = tmp_path_factory.mktemp("model")
    _tiny_llama().save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def plain_encoder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A sentence encoder without the files of sentence-transformers."""
    return save_plain(tmp_path_factory.mktemp("encoder"))


@pytest.fixture
def own_encoder(plain_encoder: Path, tmp_path: Path) -> Path:
    """A copy with those files, which a test may damage."""
    return add_recipe(Path(shutil.copytree(plain_encoder, tmp_path / "model")))
