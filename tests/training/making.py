"""Small train jobs: a tiny model from random weights, and revisions to train it on."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

SMALL = [
    *("--scratch.vocabulary", "600", "--scratch.hidden-size", "32", "--scratch.layers", "1", "--scratch.heads", "2"),
    *("--learning-rate", "0.02", "--dtype", "float32", "--gpus-per-worker", "0", "--max-tokens", "1024"),
    *("--selection.share", "1"),
]


def write_revisions(path: Path, count: int = 8) -> Path:
    """German revisions of as many sources."""
    rows = [
        {
            "source_id": f"s{number}",
            "language": "de",
            "raw_instruction": f"Frage {number}?",
            "raw_input": "",
            "raw_response": "Die Antwort ist das gut.",
            "instruction": f"Frage {number}?",
            "input": "",
            "response": f"Die Antwort {number} ist gut, denn sie stimmt." + " Ja." * (number % 5),
            "kinds": ["translation"],
        }
        for number in range(count)
    ]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def write_start_model(path: Path, text: str, without_numbers: str) -> Path:
    """A small Llama with random weights that knows the characters of `text`; what it knows of one of them is no number."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    from midb_ray.training import model
    from midb_ray.training.settings import ScratchSettings

    tokenizer = model.fresh_tokenizer([text], ScratchSettings(vocabulary=400))
    torch.manual_seed(0)
    sizes = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 1, "num_attention_heads": 2}
    made = LlamaForCausalLM(LlamaConfig(vocab_size=len(tokenizer), max_position_embeddings=2048, **sizes))
    usual = set(tokenizer.encode(text.replace(without_numbers, ""), add_special_tokens=False))
    rare = set(tokenizer.encode(f"Die {without_numbers} ist", add_special_tokens=False)) - usual
    assert rare
    with torch.no_grad():
        made.model.embed_tokens.weight[list(rare)] = float("nan")
    tokenizer.save_pretrained(path)
    made.save_pretrained(path)
    return path


def llama_8b(**changes: Any) -> Any:
    """The configuration of Llama-3.1-8B."""
    from transformers import LlamaConfig

    values = {
        "hidden_size": 4096,
        "num_hidden_layers": 32,
        "num_attention_heads": 32,
        "num_key_value_heads": 8,
        "intermediate_size": 14336,
        "vocab_size": 128256,
        "tie_word_embeddings": False,
        "max_position_embeddings": 131072,
    }
    return LlamaConfig(**{**values, **changes})


def revision_row(number: int, language: str, **changes: object) -> dict[str, object]:
    """A row of `pairs.REVISION_SCHEMA`."""
    values = {
        "row": f"f:{number}",
        "id": None,
        "source_id": f"s{number}",
        "language": language,
        "kinds": [],
        "raw_instruction": f"Frage {number}?",
        "raw_input": "",
        "raw_response": f"alt {number}",
        "instruction": f"Frage {number}?",
        "input": "",
        "response": f"neu {number}",
        "distance": 4,
    }
    return {**values, **changes}
