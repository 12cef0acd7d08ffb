"""The booster as a plain Hugging Face directory: safetensors, tokenizer, generation config, a card that says what it is."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from midb_ray.errors import UserError
from midb_ray.runs import storage
from midb_ray.training.settings import TrainSettings

if TYPE_CHECKING:
    import torch

_RUST_OSERROR = re.compile(r"\(os error \d+\)")

CARD = """---
library_name: transformers
tags: [midb, instruction-data]
---
# Booster

A model that rewrites instruction pairs, trained with midb_ray {version}.

- Start: {start}
- Data: {examples} examples from {revisions} expert revisions in {languages} languages ({sources}); {left_out} longer than
  {max_tokens} tokens left out. The licence of the revisions and of the start model also binds this model.
- Template: `{template}`; boost with the same
- Settings: {epochs} epochs, {steps} steps of {batch_size} examples, learning rate {learning_rate} ({schedule}), {dtype},
  ZeRO stage {zero_stage}, {workers} worker(s), seed {seed}
- Loss per answer token at the end: {loss:.4f} (on the training data); {seconds:.0f} seconds
"""


@contextlib.contextmanager
def writing(output: str | Path) -> Iterator[None]:
    """Failures of the file system within the block as a `UserError` about the booster in `output`."""
    try:
        yield
    except UserError:
        raise
    except Exception as error:  # safetensors and tokenizers, written in Rust, have no OSError
        if not isinstance(error, OSError) and not _RUST_OSERROR.search(str(error)):
            raise
        raise storage.explain(error, str(output), "write the booster") from error


def write_model(target: str, start: str, revision: str | None, weights: dict[str, torch.Tensor]) -> None:
    """Write model and tokenizer to `target`. Raises OSError."""
    from transformers import AutoConfig, AutoModelForCausalLM, GenerationConfig

    from midb_ray.engines.encoding import PromptEncoder, load_tokenizer

    tokenizer = load_tokenizer(start, revision)
    config = AutoConfig.from_pretrained(start, revision=revision, trust_remote_code=False)
    config.dtype = next(iter(weights.values())).dtype
    model = AutoModelForCausalLM.from_config(config, trust_remote_code=False)
    missing = model.load_state_dict(weights, strict=False)
    absent = [name for name in missing.missing_keys if not (config.tie_word_embeddings and name == "lm_head.weight")]
    if absent or missing.unexpected_keys:
        raise AssertionError(f"weights do not fit the model: {absent or missing.unexpected_keys}")
    end = PromptEncoder(tokenizer).end
    model.generation_config = GenerationConfig(
        do_sample=False, eos_token_id=end, pad_token_id=tokenizer.pad_token_id or end
    )
    model.save_pretrained(target)
    tokenizer.save_pretrained(target)


def write_card(target: str, settings: TrainSettings, facts: dict[str, Any]) -> None:
    """Write the model card."""
    text = CARD.format(**{**settings.model_dump(), **facts})
    (Path(target) / "README.md").write_text(text, encoding="utf-8")


def verify(target: str) -> None:
    """Load what was written as an engine would. Raises `UserError` if it is not whole."""
    from midb_ray.engines import models

    facts = models.check(target)
    if facts.weight_bytes == 0:
        raise UserError(f"The booster in {target} has no weights.")
