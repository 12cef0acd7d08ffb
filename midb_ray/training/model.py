"""The model to train: loaded, or a small Llama with random weights and a tokenizer of its own."""

from __future__ import annotations

import math
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from midb_ray.errors import UserError, one_line
from midb_ray.runs import transfer
from midb_ray.training import attention
from midb_ray.training.settings import ScratchSettings, TrainSettings

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

_LONGEST = 8  # characters of a text for each position: what is longer cannot be learnt from, and one endless word takes BPE minutes
_END, _PAD = "<|end|>", "<|pad|>"


def fresh_tokenizer(texts: Iterable[str], settings: ScratchSettings) -> PreTrainedTokenizerBase:
    """A byte-level BPE tokenizer (Sennrich et al. 2016; bytes as in GPT-2) trained on `texts`: any text has ids."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=settings.vocabulary,
        special_tokens=[_END, _PAD],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, eos_token=_END, pad_token=_PAD, model_max_length=settings.positions
    )


def fresh_model(tokenizer: PreTrainedTokenizerBase, settings: ScratchSettings, seed: int) -> PreTrainedModel:
    """A Llama with random weights, embeddings tied, in float32."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(seed)
    return LlamaForCausalLM(
        LlamaConfig(
            vocab_size=len(tokenizer),
            hidden_size=settings.hidden_size,
            intermediate_size=settings.hidden_size * 8 // 3 // 32 * 32 or 32,
            num_hidden_layers=settings.layers,
            num_attention_heads=settings.heads,
            max_position_embeddings=settings.positions,
            initializer_range=1 / math.sqrt(settings.hidden_size),
            tie_word_embeddings=True,
            bos_token_id=None,
            eos_token_id=tokenizer.eos_token_id,
            pad_token_id=tokenizer.pad_token_id,
        )
    )


def write_fresh(uri: str, texts: Iterable[str], settings: TrainSettings) -> None:
    """Make a small model and its tokenizer and write them to `uri`. Raises OSError."""
    from transformers.utils.logging import disable_progress_bar

    disable_progress_bar()
    longest = _LONGEST * settings.scratch.positions
    tokenizer = fresh_tokenizer((text[:longest] for text in texts), settings.scratch)
    with tempfile.TemporaryDirectory(prefix="midb-start-") as scratch:
        tokenizer.save_pretrained(scratch)
        fresh_model(tokenizer, settings.scratch, settings.seed).save_pretrained(scratch)
        transfer.upload(Path(scratch), uri, last=lambda name: name == "config.json")


def load_model(path: str, revision: str | None, dtype: str, packing: bool = True) -> PreTrainedModel:
    """A model to train, from safetensors. Raises `UserError` if it cannot be loaded."""
    import torch
    from transformers import AutoModelForCausalLM

    attention.register()
    try:
        return AutoModelForCausalLM.from_pretrained(
            path,
            revision=revision,
            dtype=getattr(torch, dtype),
            attn_implementation=attention.NAME if packing else None,
            use_safetensors=True,
            trust_remote_code=False,
        )
    except (OSError, ValueError) as error:
        raise UserError(f"Cannot load the model {path!r}: {one_line(error)}") from None
