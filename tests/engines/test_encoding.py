"""Text from data never becomes structure, in any kind of tokenizer, and a frame is the same in training and generation."""

from __future__ import annotations

import json
import pickle
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tokenizers import AddedToken, Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

from midb_ray.engines.encoding import PromptEncoder, load_tokenizer
from midb_ray.errors import UserError

CONTROL = ("<s>", "</s>", "<|eot_id|>", "<|im_start|>", "<|im_end|>", "<think>", "Paris", "<unk>", "<", "|>")
ANY_TEXT = st.lists(st.one_of(st.text(), st.sampled_from(CONTROL)), max_size=8).map("".join)
SAMPLES = (
    "a <|eot_id|> b </s><think> <unk>",
    "</s>",
    "Paris, <s>naïve café\n\n日本語 ☃ 🙂",
    "double  spaces\tand tabs",
)


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(text=ANY_TEXT)
def test_any_text_comes_back_from_plain_ids_without_an_added_token(
    tokenizer: PreTrainedTokenizerFast, text: str
) -> None:
    encoder = _cached(tokenizer)
    ids = encoder.plain(text)
    assert encoder.decode(ids) == text
    assert set(tokenizer.get_added_vocab().values()).isdisjoint(ids)


@pytest.mark.parametrize("text", SAMPLES)
@pytest.mark.parametrize("kind", ["prepend", "first", "always"])
def test_sentencepiece_tokenizers_keep_spaces_around_control_tokens_in_data(kind: str, text: str) -> None:
    tokenizer = _sentencepiece(kind)
    ids = PromptEncoder(tokenizer).plain(text)
    assert PromptEncoder(tokenizer).decode(ids) == text
    assert set(tokenizer.get_added_vocab().values()).isdisjoint(ids)


@pytest.mark.parametrize("kind", ["prepend", "first", "always"])
def test_text_without_control_tokens_is_encoded_as_the_tokenizer_itself_would(
    kind: str, tokenizer: PreTrainedTokenizerFast
) -> None:
    for own in (tokenizer, _sentencepiece(kind)):
        text = "Die Hauptstadt ist\n\nBerlin; 日本 <|x|> ☃"
        assert PromptEncoder(own).plain(text) == own.encode(text, add_special_tokens=False)


def test_a_control_token_that_merges_can_build_is_still_out_of_reach() -> None:
    vocabulary = {piece: number for number, piece in enumerate(["<", "/", "s", ">", "</", "s>", "</s>", "x"])}
    backend = Tokenizer(models.BPE(vocab=vocabulary, merges=[("<", "/"), ("s", ">"), ("</", "s>")]))
    backend.decoder = decoders.Fuse()
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=backend, eos_token="</s>")
    encoder = PromptEncoder(tokenizer)
    assert backend.model.token_to_id("</s>") in tokenizer.encode("x</s>", add_special_tokens=False)
    assert tokenizer.convert_ids_to_tokens(encoder.plain("x</s>")) == ["x", "</", "s>"]


def test_a_unigram_piece_that_is_a_control_token_is_out_of_reach() -> None:
    pieces = [("<unk>", 0.0), ("</s>", 0.0), ("<", -5.0), ("/", -5.0), ("s", -5.0), (">", -5.0)]
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=Tokenizer(models.Unigram(pieces, unk_id=0)), eos_token="</s>", unk_token="<unk>"
    )
    assert PromptEncoder(tokenizer).plain("</s>") == [2, 3, 4, 5]


def test_without_a_chat_template_a_prompt_begins_with_bos_and_ends_with_the_cue(
    tokenizer: PreTrainedTokenizerFast,
) -> None:
    encoder = PromptEncoder(tokenizer)
    assert encoder.decode(encoder.prompt("Hi </s>")) == "<s>Hi </s>\n\n<|revised|>\n"
    assert encoder.prompt("Hi")[0] == tokenizer.bos_token_id
    assert tokenizer.eos_token_id not in encoder.prompt("Hi </s>")
    assert encoder.end == tokenizer.eos_token_id
    assert encoder.answer("Hi") == [*encoder.plain("Hi"), tokenizer.eos_token_id]
    assert encoder.frame == len(encoder.prompt(""))


def test_with_a_chat_template_a_prompt_is_the_users_turn_and_the_answer_ends_the_assistants(
    chat_tokenizer: PreTrainedTokenizerFast,
) -> None:
    encoder = PromptEncoder(chat_tokenizer)
    prompt = encoder.prompt("Hi<|im_end|>")
    assert encoder.decode(prompt) == "<s><|im_start|>user\nHi<|im_end|><|im_end|>\n<|im_start|>assistant\n"
    im_end = chat_tokenizer.convert_tokens_to_ids("<|im_end|>")
    assert prompt.count(im_end) == 1
    assert encoder.end == im_end


def test_a_question_is_framed_like_a_prompt_and_never_asks_for_a_revision(
    tokenizer: PreTrainedTokenizerFast, chat_tokenizer: PreTrainedTokenizerFast
) -> None:
    texts = [*SAMPLES, ""]
    assert PromptEncoder(chat_tokenizer).questions(texts) == PromptEncoder(chat_tokenizer).prompts(texts)
    plain = PromptEncoder(tokenizer)
    assert [plain.decode(ids) for ids in plain.questions(["Hi </s>", ""])] == ["<s>Hi </s>\n\n", "<s>\n\n"]
    assert plain.questions(["Hi </s>"])[0].count(tokenizer.eos_token_id) == 0


def test_prompts_of_many_texts_are_those_of_each(chat_tokenizer: PreTrainedTokenizerFast) -> None:
    encoder = PromptEncoder(chat_tokenizer)
    assert encoder.prompts(SAMPLES) == [encoder.prompt(text) for text in SAMPLES]
    assert encoder.prompts([]) == []


def test_a_template_that_names_the_day_names_the_same_one_every_day(tokenizer: PreTrainedTokenizerFast) -> None:
    template = (
        "{% if date_string is not defined %}{% set date_string = strftime_now('%s') %}{% endif %}"
        "{{ date_string }}|{{ strftime_now('%s') }}|{{ enable_thinking }}|{{ messages[0].content }}<|im_end|>"
    )
    chat = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer.backend_tokenizer, eos_token="</s>", chat_template=template
    )
    encoder = PromptEncoder(chat)
    assert encoder.decode(encoder.prompt("Hi")) == "26 Jul 2024|26 Jul 2024|False|Hi<|im_end|>"


@pytest.mark.parametrize(
    "template",
    ["{{ raise_exception('only for tools') }}", "{{ messages[0].content }}", "<|im_start|>", "{% broken"],
    ids=["raises", "no assistant's turn", "no content", "no template"],
)
def test_a_chat_template_that_cannot_frame_a_prompt_is_named(tokenizer: PreTrainedTokenizerFast, template: str) -> None:
    chat = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer.backend_tokenizer, eos_token="</s>", chat_template=template
    )
    with pytest.raises(UserError, match=r"chat template of .* cannot be used"):
        PromptEncoder(chat)


def test_a_pickled_encoder_gives_the_same_ids_in_a_process_without_transformers_and_torch(
    chat_tokenizer: PreTrainedTokenizerFast,
) -> None:
    encoder, text = PromptEncoder(chat_tokenizer), "Die Hauptstadt </s> <|im_end|> 日本 ☃"
    program = (
        "import json, pickle, sys; encoder = pickle.load(sys.stdin.buffer); text = sys.argv[1]; ids = encoder.prompt(text);"
        "print(json.dumps([ids, encoder.decode(ids), encoder.end, sorted({'torch', 'transformers'} & set(sys.modules))]))"
    )
    found = subprocess.run(
        [sys.executable, "-c", program, text], input=pickle.dumps(encoder), capture_output=True, check=True
    )
    ids = encoder.prompt(text)
    assert json.loads(found.stdout) == [ids, encoder.decode(ids), encoder.end, []]


def test_what_a_model_leaks_stays_visible(tokenizer: PreTrainedTokenizerFast) -> None:
    leaked = tokenizer.convert_tokens_to_ids("<|eot_id|>")
    encoder = PromptEncoder(tokenizer)
    assert encoder.decode([*encoder.plain("A ."), leaked, *encoder.plain(" B")]) == "A .<|eot_id|> B"


def test_a_tokenizer_read_from_a_directory_gives_the_same_ids(
    model_folder: Path, tokenizer: PreTrainedTokenizerFast
) -> None:
    read = PromptEncoder(load_tokenizer(str(model_folder)))
    assert [read.prompt(text) for text in SAMPLES] == [PromptEncoder(tokenizer).prompt(text) for text in SAMPLES]


def test_a_tokenizer_without_an_end_token_or_without_files_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="Cannot load a tokenizer"):
        load_tokenizer(str(tmp_path))
    backend = Tokenizer(models.WordLevel({"a": 0, "b": 1}, unk_token="a"))
    PreTrainedTokenizerFast(tokenizer_object=backend).save_pretrained(tmp_path)
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "llama"}))
    with pytest.raises(UserError, match="no end token"):
        load_tokenizer(str(tmp_path))


_ENCODERS: dict[int, PromptEncoder] = {}


def _cached(tokenizer: PreTrainedTokenizerFast) -> PromptEncoder:
    return _ENCODERS.setdefault(id(tokenizer), PromptEncoder(tokenizer))


def _sentencepiece(kind: str) -> PreTrainedTokenizerFast:
    """A BPE with byte fallback and the three ways there are to put a space before the first word."""
    backend = Tokenizer(models.BPE(byte_fallback=True, unk_token="<unk>", fuse_unk=True))
    if kind == "prepend":
        backend.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    else:
        backend.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme=kind, split=False)
    backend.decoder = decoders.Sequence(
        [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
    )
    bytes_ = [f"<0x{byte:02X}>" for byte in range(256)]
    trainer = trainers.BpeTrainer(
        vocab_size=400, special_tokens=["<unk>", "<s>", "</s>", "<|eot_id|>", *bytes_], show_progress=False
    )
    backend.train_from_iterator([*SAMPLES, "the quick brown fox"], trainer)
    definition = json.loads(backend.to_str())  # bytes are ordinary pieces in such models
    definition["added_tokens"] = [token for token in definition["added_tokens"] if token["content"] not in bytes_]
    backend = Tokenizer.from_str(json.dumps(definition))
    backend.add_tokens([AddedToken("<think>", special=False, normalized=False)])
    return PreTrainedTokenizerFast(tokenizer_object=backend, bos_token="<s>", eos_token="</s>", unk_token="<unk>")
