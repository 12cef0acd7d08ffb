"""Control tokens, prompt wording and comments are found, and markup of ordinary text is not."""

from __future__ import annotations

import pytest

from midb_ray import prompts
from midb_ray.locales import load_locales
from midb_ray.signals.markers import comments, control_tokens, wording


@pytest.mark.parametrize(
    "token",
    [
        "<|im_end|>",
        "<|eot_id|>",
        "<｜end▁of▁sentence｜>",
        "</s>",
        "[INST]",
        "[/INST]",
        "<<SYS>>",
        "<0x0A>",
        "</think>",
        "\ufffd",
    ],
)
def test_control_tokens_are_found(token: str) -> None:
    assert control_tokens(f"Der Himmel ist blau.{token} Ja.") == {token}


def test_alpaca_headings_are_found() -> None:
    assert control_tokens("blau\n### Response:\nrot") == {"### Response:"}


@pytest.mark.parametrize(
    "text", ["a < b | c > d", "<div class='x'>", "[1] Müller", "| a | b |", "## Heading", "x |> f()"]
)
def test_ordinary_markup_is_no_control_token(text: str) -> None:
    assert control_tokens(text) == set()


@pytest.mark.parametrize("template", ["plain", "locale"])
def test_a_leaked_prompt_is_recognised(template: prompts.Template) -> None:
    for locale in load_locales():
        assert wording(prompts.instructions(template, locale))


def test_other_instructions_are_not_our_prompt() -> None:
    assert wording("Rewrite the pair of sentences so that it becomes shorter. Answer with the sentences.") == set()


@pytest.mark.parametrize("text", ["Here is the revised pair:\nBlau.", "Response: Blau.", "**Instruction:** Sag Blau."])
def test_what_a_model_says_about_its_task_is_found(text: str) -> None:
    assert comments(text)


@pytest.mark.parametrize("text", ["Here are some ideas:", "The response of the market was mild.", "A pair of shoes"])
def test_a_framing_sentence_is_no_comment(text: str) -> None:
    assert comments(text) == []
