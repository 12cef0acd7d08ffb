"""The model card tells what a booster was made from, how, and how it ended."""

from __future__ import annotations

from typing import Any

import pytest
import yaml

from midb_ray.training import model_card
from tests.training.grid import settings

FACTS = {
    "version": "9.8.7",
    "start": "somebody/base",
    "train_examples": 12_345,
    "validation_examples": 678,
    "languages": 13,
    "sources": "experts.jsonl",
    "dropped": 1234,
    "cut": 4,
    "selection_seed": 5,
    "steps": 1200,
    "workers": 8,
}


def card(loss: float | None = 1.25, validation: dict[str, float] | None = None, **changes: Any) -> str:
    return model_card.text(
        settings(**changes), FACTS, loss, {"fr": 1.5, "de": 1.23456} if validation is None else validation
    )


def test_it_begins_with_what_a_hub_reads() -> None:
    _, head, _ = card().split("---\n", 2)
    assert yaml.safe_load(head) == {"library_name": "transformers", "tags": ["midb", "instruction-data"]}


@pytest.mark.parametrize(
    "told",
    [
        "trained with midb_ray 9.8.7",
        "Start: somebody/base",
        "12,345 training and 678 validation examples in 13 languages",
        "experts.jsonl; 1,234 more were longer than 64 tokens, 4 were cut to them.",
        "the 30 % of each language with the largest edit distance, seed 5",
        "Template: `locale`",
        "Method: all weights",
        "4.375 epochs, 1,200 steps of 6 examples",
        "AdamW (0.9, 0.999), learning rate 0.01",
        "(cosine, warm-up 0.1)",
        "weight decay 0.1, gradient norm at most 1, float32, ZeRO stage",
        "3, 8 worker(s) at the end, seed 3",
        "Training, over the last steps: 1.2500",
        "| de | 1.2346 |\n| fr | 1.5000 |",
    ],
)
def test_it_tells(told: str) -> None:
    assert told in card()


def test_adapters_and_other_choices_are_told() -> None:
    text = card(
        method="lora",
        lora={"rank": 16, "alpha": 32, "dropout": 0.05, "targets": ["q_proj", "v_proj"]},
        batch_tokens=65_536,
        selection={"count": 500},
        zero={"stage": 1},
    )
    assert "Method: LoRA of rank 16, alpha 32, dropout 0.05 on q_proj, v_proj, merged" in text
    assert "steps of 65,536 tokens" in text
    assert "the 500 of each language" in text
    assert "ZeRO stage\n  1," in text


@pytest.mark.parametrize(("share", "told"), [(0.125, "12.5 %"), (0.004, "0.4 %")])
def test_a_share_is_told_as_it_was_set(share: float, told: str) -> None:
    assert f"the {told} of each language" in card(selection={"share": share})


def test_what_is_not_known_is_said() -> None:
    text = card(None, {})
    assert "Training, over the last steps: not known" in text
    assert "There was no validation set." in text
    assert "|" not in text.partition("## Loss")[2]
