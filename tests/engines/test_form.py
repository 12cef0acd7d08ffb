"""Guided form: whatever a model wants to say comes out as a serialised pair, and what is one already comes out as it is."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

import pytest
import torch
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import LlamaForCausalLM, PreTrainedTokenizerFast

from midb_ray import prompts
from midb_ray.engines.base import Completion, Request
from midb_ray.engines.encoding import PromptEncoder
from midb_ray.engines.form import Form, Place, RowForm, follow
from midb_ray.engines.settings import EngineSettings
from midb_ray.engines.transformers import TransformersEngine
from midb_ray.errors import UserError
from midb_ray.pairs import Text
from midb_ray.prompts import INPUT, INSTRUCTION, RESPONSE

PAIRS = (
    Text("Nenne drei Städte.", "", "Berlin, Hamburg und Köln"),
    Text("Fasse zusammen.", "Paris\n\n東京です。", "Paris, 東京."),
    Text("", "x", ""),
    Text("Zwei\n", "\n", "\n\n"),
    Text("F#: xs <| f", "<|im_start|>user\n<|", "a <|im_end|> <|rest|> <|\n<|im\n< | <\n"),
    Text("<|response|>", "<|input|>\n<|instruction|>", "<\\|response|>\n<|revised|>"),
)
LETTERS = sorted(
    {character for text in map(prompts.serialise, PAIRS) for character in text} | set("abcdefghijklmnopqrstuv")
)


def marked() -> PreTrainedTokenizerFast:
    """A byte-level tokenizer to which a marker with the line breaks around it is one token."""
    backend = Tokenizer(models.BPE())
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    backend.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=330,
        special_tokens=["</s>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    backend.train_from_iterator([f"\n<|{name}|>\n" for name in ("input", "response")] * 9, trainer)
    return PreTrainedTokenizerFast(tokenizer_object=backend, eos_token="</s>")


def sentencepiece() -> PreTrainedTokenizerFast:
    """Characters and a few pieces, a space before every text, line breaks as a byte, and a marker as a control token."""
    pieces = ["<unk>", "</s>", "<0x0A>", "▁", "▁<", "<|", "|>", "▁Paris", "res", *LETTERS]
    vocabulary = {piece: number for number, piece in enumerate(dict.fromkeys(pieces)) if piece not in ("\n", " ")}
    vocabulary = {piece: number for number, piece in enumerate(vocabulary)}
    merges = [("▁", "<"), ("<", "|"), ("|", ">"), ("r", "e"), ("re", "s")]
    vocabulary |= {"re": len(vocabulary)}
    backend = Tokenizer(models.BPE(vocab=vocabulary, merges=merges, unk_token="<unk>", byte_fallback=True))
    backend.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="first", split=False)
    backend.decoder = decoders.Sequence(
        [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
    )
    backend.add_special_tokens([AddedToken("</s>"), AddedToken("<|response|>", normalized=False)])
    return PreTrainedTokenizerFast(tokenizer_object=backend, eos_token="</s>", unk_token="<unk>")


@pytest.fixture(params=["byte level", "with markers merged", "SentencePiece"])
def any_tokenizer(request: pytest.FixtureRequest, tokenizer: PreTrainedTokenizerFast) -> PreTrainedTokenizerFast:
    return {"byte level": lambda: tokenizer, "with markers merged": marked, "SentencePiece": sentencepiece}[
        request.param
    ]()


def write(
    encoder: PromptEncoder, favourites: Sequence[Sequence[int]], prompt: str = "no pair", limit: int = 250
) -> list[str]:
    """The answers, row by row in one batch, of models that always want the first of their favourite ids that they may have."""
    rows = RowForm(Form(encoder, [encoder.end]), [torch.tensor(encoder.prompt(prompt))] * len(favourites))
    scores = torch.zeros(len(favourites), len(encoder.pieces()))
    for row, ids in enumerate(favourites):
        scores[row, list(ids)] = torch.arange(len(ids), 0.0, -1.0)
    answers = torch.empty(len(favourites), 0, dtype=torch.long)
    for _ in range(limit):
        answers = torch.cat([answers, rows(answers, scores).argmax(-1, keepdim=True)], dim=1)
    ended = [[*ids, encoder.end] for ids in answers.tolist()]
    return [encoder.decode(ids[: ids.index(encoder.end)]) for ids in ended]


def test_an_answer_that_keeps_the_form_is_not_touched(any_tokenizer: PreTrainedTokenizerFast) -> None:
    encoder = PromptEncoder(any_tokenizer)
    form = Form(encoder, [encoder.end])
    for text in PAIRS:
        place: Place | None
        place, _ = form.start(encoder.prompt(prompts.serialise(text)))
        for token in encoder.answer(prompts.serialise(text)):
            assert place is not None
            assert not form.blocked(place, len(any_tokenizer), torch.device("cpu"))[token]
            place = form.after(place, token)
        assert place is None


@pytest.mark.parametrize("text", PAIRS[:4])
def test_half_a_marker_does_not_stay_behind_where_the_pair_has_none(
    any_tokenizer: PreTrainedTokenizerFast, text: Text
) -> None:
    encoder = PromptEncoder(any_tokenizer)
    favourites = [encoder.plain(f"xa\n{wish}") for wish in ("<|in", "<|respo", "<|", "|<", "<|revised|>")]
    for answer in write(encoder, favourites, prompt=prompts.serialise(text)):
        assert not any("<|" in section for section in prompts.parse(answer))


def test_no_answer_ends_before_its_response(any_tokenizer: PreTrainedTokenizerFast) -> None:
    encoder = PromptEncoder(any_tokenizer)
    (a,) = encoder.plain("xa")[-1:]
    (answer,) = write(encoder, [[encoder.end, a]], limit=60)
    assert answer.startswith(f"{INSTRUCTION}\naaaaaaaa")
    assert "|" not in answer[len(INSTRUCTION) :]


def test_a_response_begins_when_the_question_has_grown_too_long(any_tokenizer: PreTrainedTokenizerFast) -> None:
    encoder = PromptEncoder(any_tokenizer)
    (a,) = encoder.plain("xa")[-1:]
    pair = prompts.serialise(Text("Paris", "", "aaa" * 99))
    (answer,) = write(encoder, [[encoder.end, a]], prompt=f"x\n\n{pair}")
    text = prompts.parse(answer)
    assert set(text.instruction) == {"a"}
    assert text.response == ""
    allowance = 1.5 * len(encoder.plain(f"{INSTRUCTION}\nParis")) + 64  # of which the marker takes its own
    assert allowance - 20 <= len(text.instruction) <= allowance


def test_a_marker_stands_once() -> None:
    encoder = PromptEncoder(marked())
    (marker,) = encoder.plain(f"\n{RESPONSE}\n")
    (given,) = encoder.plain(f"\n{INPUT}\n")
    (a,) = encoder.plain("a")
    assert write(encoder, [[marker, encoder.end], [given, marker, encoder.end]]) == [
        prompts.serialise(Text("", "", "")),
        f"{INSTRUCTION}\n\n{INPUT}\n\n{RESPONSE}\n",
    ]
    (answer,) = write(encoder, [[given, marker, a]], limit=30)
    assert answer.rstrip("a") == f"{INSTRUCTION}\n\n{INPUT}\n\n{RESPONSE}\n"


def test_a_row_is_guided_by_itself(any_tokenizer: PreTrainedTokenizerFast) -> None:
    encoder = PromptEncoder(any_tokenizer)
    favourites = [encoder.plain(f"xa\n{text}") for text in ("<|r", "<|in", "Paris", f"{RESPONSE}", "", f"{INPUT}a")]
    pair = prompts.serialise(Text("a", "", "b"))
    together = write(encoder, favourites, prompt=pair)
    assert together == [write(encoder, [ids], prompt=pair)[0] for ids in favourites]
    assert all(prompts.parse(answer) for answer in together)


@pytest.mark.parametrize("temperature", [0.0, 1.0, 5.0])
def test_answers_of_a_model_without_sense_are_pairs(
    any_tokenizer: PreTrainedTokenizerFast, tiny_llama: Callable[..., LlamaForCausalLM], temperature: float
) -> None:
    encoder = PromptEncoder(any_tokenizer)
    pairs = [prompts.serialise(Text("a" * number, "", "b" * number)) for number in range(12)]
    requests = [Request(None, encoder.prompt(pair), 180) for pair in pairs]

    def run(requests: list[Request], guided: bool, batch_tokens: int) -> list[Completion]:
        network = tiny_llama(vocab_size=len(any_tokenizer), max_position_embeddings=1024, eos_token_id=encoder.end)
        settings = EngineSettings(model="tiny", temperature=temperature, guided=guided, batch_tokens=batch_tokens)
        engine = TransformersEngine(network, encoder, settings)
        try:
            return asyncio.run(engine.generate(requests))
        finally:
            engine.close()

    answers = run(requests, guided=True, batch_tokens=100_000)
    assert all(prompts.parse(answer.text) for answer in answers)
    assert answers[:3] == run(requests[:3], guided=True, batch_tokens=1)
    with pytest.raises(prompts.AnswerError):
        prompts.parse(run(requests[:1], guided=False, batch_tokens=100_000)[0].text)


def test_a_tokenizer_without_line_breaks_is_refused() -> None:
    backend = Tokenizer(models.BPE(vocab={letter: number for number, letter in enumerate("<|>abc")}, merges=[]))
    backend.decoder = decoders.Fuse()
    backend.add_special_tokens([AddedToken("</s>")])
    encoder = PromptEncoder(PreTrainedTokenizerFast(tokenizer_object=backend, eos_token="</s>"))
    with pytest.raises(UserError, match=r"engine.guided: the tokenizer has no token for '\\n'"):
        Form(encoder, [encoder.end])


@pytest.mark.parametrize(
    ("place", "text", "found"),
    [
        (Place(INSTRUCTION, ""), "abc", Place(INSTRUCTION, "")),
        (Place(INSTRUCTION, ""), "abc\n", Place(INSTRUCTION, "\n")),
        (Place(INSTRUCTION, "\n"), "<|", Place(INSTRUCTION, "\n<|")),
        (Place(INSTRUCTION, "\n<|"), "im_start|>", Place(INSTRUCTION, "")),
        (Place(INSTRUCTION, "\n<|"), "res", Place(INSTRUCTION, "\n<|res")),
        (Place(INSTRUCTION, "\n<|"), "resp", Place(RESPONSE, "", "onse|>\n")),
        (Place(INSTRUCTION, "\n<|res"), "t|>", Place(INSTRUCTION, "")),
        (Place(INSTRUCTION, "\n<|in"), "pu", Place(INPUT, "", "t|>\n")),
        (Place(INSTRUCTION, "\n<|"), "inst", None),
        (Place(INSTRUCTION, "\n<|"), "revised|>", None),
        (Place(INSTRUCTION, "<|"), "resp", None),  # not on a line of its own
        (Place(INSTRUCTION, ""), f"{RESPONSE}\n", None),
        (Place(INSTRUCTION, ""), f"\n{RESPONSE}", Place(RESPONSE, "", "\n")),
        (Place(INSTRUCTION, ""), f"a\n{INPUT}\nb\n{RESPONSE}\nc\n", Place(RESPONSE, "\n")),
        (Place(INSTRUCTION, ""), f"a\n{RESPONSE} b", None),
        (Place(INPUT, ""), f"{RESPONSE}\n", None),  # the line break belongs to the input's marker
        (Place(INPUT, "\n<|"), "inpu", None),
        (Place(RESPONSE, "\n<|"), "response", None),
        (Place(RESPONSE, ""), "x <|response", None),
        (Place(RESPONSE, ""), "<\\|response|>", Place(RESPONSE, "")),
        (Place(RESPONSE, "", "nse|>\n"), "nse|>\n\n", Place(RESPONSE, "\n")),
        (Place(RESPONSE, "", "nse|>\n"), "n", Place(RESPONSE, "", "se|>\n")),
        (Place(RESPONSE, "", "nse|>\n"), "x", None),
        (Place(RESPONSE, "", "nse|>\n"), "", None),
        (Place(RESPONSE, "", ">\n"), f">\n\n{RESPONSE}\n", None),
        (Place("", "", f"{INSTRUCTION}\n"), f"{INSTRUCTION}\na", Place(INSTRUCTION, "")),
        (Place(INSTRUCTION, "\n<", free=False), "|", Place(INSTRUCTION, "\n<|", free=False)),
        (Place(INSTRUCTION, "\n<|", free=False), "im", None),
        (Place(INSTRUCTION, "\n<|", free=False), "r", Place(RESPONSE, "", "esponse|>\n", free=False)),
        (Place(INSTRUCTION, "", free=False), f"a <| b\n{RESPONSE}\n", None),
        (Place(INSTRUCTION, "a <", free=False), "|", None),
        (Place(INPUT, "\n<", free=False), "|", Place(RESPONSE, "", "response|>\n", free=False)),
        (Place(RESPONSE, "\n<", free=False), "|", None),
    ],
)
def test_markers_are_followed_through_any_cut_of_the_text(place: Place, text: str, found: Place | None) -> None:
    assert follow(place, text) == found
