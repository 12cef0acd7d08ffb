"""Two texts are as near as their embeddings by the library's own words, whatever shares the batch and however long they are."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoModel, BertModel, T5Config, T5ForConditionalGeneration, XLMRobertaConfig, XLMRobertaModel

from midb_ray.engines import encoder
from midb_ray.engines.base import Comparison, EngineError
from tests.engines.encoders import (
    LONGEST,
    TEXTS,
    close,
    compare,
    cosines,
    pairs,
    sizes,
    states,
    tokenizer,
    write,
    write_pooling,
)


def test_without_a_recipe_the_embedding_is_the_mean_over_the_tokens(plain_encoder: Path) -> None:
    expected = cosines([states(plain_encoder, text).mean(dim=0) for text in TEXTS])
    assert min(expected) < 0.8  # else anything would do
    assert compare(plain_encoder, pairs(TEXTS)) == close(expected)


def test_the_first_token_goes_through_a_matrix_and_tanh(own_encoder: Path) -> None:
    weights = load_file(own_encoder / "2_Dense/model.safetensors")
    first = [states(own_encoder, text)[0] for text in TEXTS]
    expected = cosines([torch.tanh(weights["linear.weight"] @ one + weights["linear.bias"]) for one in first])
    assert expected != close(cosines(first))
    assert compare(own_encoder, pairs(TEXTS)) == close(expected)


@pytest.mark.parametrize("mode", [{"pooling_mode": "lasttoken"}, {"pooling_mode_lasttoken": True}])
def test_the_last_token_is_that_of_each_text(own_encoder: Path, mode: dict[str, Any]) -> None:
    write_pooling(own_encoder, **mode)
    assert compare(own_encoder, pairs(TEXTS)) == close(cosines([states(own_encoder, text)[-1] for text in TEXTS]))


def test_prompt_lower_case_and_dimensions_are_as_the_files_say(own_encoder: Path) -> None:
    write_pooling(own_encoder, pooling_mode="mean")
    description = json.loads((own_encoder / "tokenizer.json").read_text())
    description["normalizer"]["lowercase"] = False
    write(own_encoder / "tokenizer.json", description)
    write(own_encoder / "sentence_bert_config.json", {"max_seq_length": LONGEST, "do_lower_case": True})
    settings = {"prompts": {"q": "query: ", "p": "fish"}, "default_prompt_name": "q", "truncate_dim": 5}
    write(own_encoder / "config_sentence_transformers.json", settings)
    texts = TEXTS[:5]
    expected = cosines([states(own_encoder, f"query: {text.lower()}").mean(dim=0)[:5] for text in texts])
    assert compare(own_encoder, pairs([text.upper() for text in texts])) == close(expected)


def test_what_shares_the_batch_changes_nothing(plain_encoder: Path) -> None:
    rows = [Comparison(*TEXTS[:2]), Comparison("the big house " * 9, TEXTS[2]), Comparison(*TEXTS[4:6])]
    alone = [cosine for row in rows for cosine in compare(plain_encoder, [row])]
    assert compare(plain_encoder, rows) == close(alone)
    assert compare(plain_encoder, rows[::-1]) == close(alone[::-1])


def test_a_long_text_is_the_mean_of_its_pieces_by_their_tokens(plain_encoder: Path) -> None:
    words = ("the cat sat on the red mat in a big house " * 3).split()
    size = LONGEST - 2  # [CLS] and [SEP] stand in each piece
    parts = [" ".join(words[start : start + size]) for start in range(0, len(words), size)]
    assert len(parts[0].split()) != len(parts[-1].split())  # else weights would not matter
    mean = sum(states(plain_encoder, part).mean(dim=0) * len(part.split()) for part in parts)
    assert isinstance(mean, torch.Tensor)
    expected = cosines([mean, states(plain_encoder, TEXTS[0]).mean(dim=0)])[1]
    assert compare(plain_encoder, [Comparison(" ".join(words), TEXTS[0])]) == close([expected])


def test_a_gigantic_text_goes_through_in_batches(
    plain_encoder: Path, monkeypatch: pytest.MonkeyPatch, passes: list[torch.Size]
) -> None:
    monkeypatch.setattr("midb_ray.engines.encoder_pieces._BLOCK", 1000)
    found = compare(plain_encoder, [Comparison("the cat sat on the mat " * 3000, "the cat sat on the mat " * 6000)])
    assert found == pytest.approx([1], abs=1e-3)
    assert max(size.numel() for size in passes) <= 8192
    assert sum(size.numel() for size in passes) >= 6 * 9000


@pytest.fixture
def passes(monkeypatch: pytest.MonkeyPatch) -> list[torch.Size]:
    """Rows and width of each pass through a BERT."""
    seen: list[torch.Size] = []
    forward = BertModel.forward

    def watched(self: BertModel, input_ids: torch.Tensor, **options: Any) -> Any:
        seen.append(input_ids.shape)
        return forward(self, input_ids, **options)

    monkeypatch.setattr(BertModel, "forward", watched)
    return seen


def test_equal_texts_are_embedded_once(plain_encoder: Path, passes: list[torch.Size]) -> None:
    loaded = encoder.load(str(plain_encoder), None, "cpu")
    passes.clear()
    found = loaded.similarities([Comparison(TEXTS[0], TEXTS[1]), Comparison(TEXTS[1], TEXTS[0])] * 50)
    assert sum(size[0] for size in passes) == 2
    assert len({round(similarity.cosine, 6) for similarity in found}) == 1
    assert loaded.similarities([]) == []


@pytest.mark.parametrize("prompt", ["", "query: "])
@pytest.mark.parametrize("empty", ["", " \n\t", "\u200b"])
def test_without_text_there_is_no_similarity(own_encoder: Path, prompt: str, empty: str) -> None:
    write(own_encoder / "config_sentence_transformers.json", {"prompts": {"q": prompt}, "default_prompt_name": "q"})
    loaded = encoder.load(str(own_encoder), None, "cpu")
    found = loaded.similarities([Comparison(empty, "a cat"), Comparison("a cat", "a cat"), Comparison("a cat", empty)])
    for similarity in (found[0], found[2], *loaded.similarities([Comparison(empty, empty)])):
        assert math.isnan(similarity.cosine)
        assert similarity.error == "there is no text to compare"
    assert found[1] == (pytest.approx(1), None)


def test_lone_surrogates_and_special_tokens_are_text(plain_encoder: Path) -> None:
    rows = [Comparison("a cat \ud800", "a cat \ufffd"), Comparison("cat [SEP]", "the dog")]
    surrogate, special = compare(plain_encoder, rows)
    assert surrogate == pytest.approx(1)
    ids = tokenizer().convert_tokens_to_ids(["[CLS]", "cat", "[UNK]", "s", "##e", "##p", "[UNK]", "[SEP]"])
    with torch.inference_mode():
        found = AutoModel.from_pretrained(plain_encoder).eval()(torch.tensor([ids])).last_hidden_state[0]
    expected = cosines([found.mean(dim=0), states(plain_encoder, "the dog").mean(dim=0)])[1]
    assert special == close(expected)


def test_an_embedding_that_is_not_finite_costs_its_row_alone(own_encoder: Path) -> None:
    weights = load_file(own_encoder / "model.safetensors")
    unknown = tokenizer().convert_tokens_to_ids("fish")
    weights["embeddings.word_embeddings.weight"][unknown] = math.nan
    save_file(weights, own_encoder / "model.safetensors", metadata={"format": "pt"})
    rows = [Comparison("the cat", "a dog"), Comparison("a fish", "a dog")]
    good, bad = encoder.load(str(own_encoder), None, "cpu").similarities(rows)
    assert good.error is None
    assert math.isfinite(good.cosine)
    assert math.isnan(bad.cosine)
    assert bad.error == "the encoder gives no finite embedding"


def _failing(monkeypatch: pytest.MonkeyPatch, error: Exception, rows: int) -> list[int]:
    """Has BERT raise for more than so many rows; the rows of each pass."""
    seen: list[int] = []
    forward = BertModel.forward

    def failing(self: BertModel, input_ids: torch.Tensor, **options: Any) -> Any:
        seen.append(len(input_ids))
        if len(input_ids) > rows:
            raise error
        return forward(self, input_ids, **options)

    monkeypatch.setattr(BertModel, "forward", failing)
    monkeypatch.setattr("midb_ray.engines.devices.release_memory", lambda: None)  # long among a test run's objects
    return seen


def test_out_of_memory_halves_the_batches_from_then_on(plain_encoder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = [Comparison(f"the cat {letter}", f"a dog {letter}") for letter in "abcdefgh"]
    expected = compare(plain_encoder, rows)
    loaded = encoder.load(str(plain_encoder), None, "cpu")
    seen = _failing(monkeypatch, torch.OutOfMemoryError("out of memory"), 3)
    assert [similarity.cosine for similarity in loaded.similarities(rows)] == close(expected)
    assert seen[:3] == [16, 8, 4]
    seen.clear()
    assert [similarity.cosine for similarity in loaded.similarities(rows)] == close(expected)
    assert max(seen) <= 3


def test_out_of_memory_on_one_text_alone_is_raised(plain_encoder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    loaded = encoder.load(str(plain_encoder), None, "cpu")
    seen = _failing(monkeypatch, torch.OutOfMemoryError("out of memory"), 0)
    with pytest.raises(torch.OutOfMemoryError):
        loaded.similarities(pairs(TEXTS[:2]))
    assert seen == [2, 1]


def test_a_dead_device_is_the_end_of_the_engine(plain_encoder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    loaded = encoder.load(str(plain_encoder), None, "cpu")
    seen = _failing(monkeypatch, RuntimeError("CUDA error: an illegal memory access\n was met"), 0)
    with pytest.raises(EngineError, match="illegal memory access was met"):
        loaded.similarities(pairs(TEXTS[:2]))
    assert seen == [2]


def test_positions_behind_a_padding_index_are_not_overrun(tmp_path: Path) -> None:
    """XLM-R of 514 positions takes 512 tokens; here 18 and 16, and nothing else names a limit."""
    torch.manual_seed(7)
    XLMRobertaModel(XLMRobertaConfig(**sizes(max_position_embeddings=18), pad_token_id=1)).save_pretrained(tmp_path)
    unbounded = tokenizer()
    unbounded.model_max_length = 10**30
    unbounded.save_pretrained(tmp_path)
    long = "the cat sat on the mat in the big red house " * 4
    assert compare(tmp_path, [Comparison(long, long), Comparison(long, "dog")])[0] == pytest.approx(1)


def test_of_an_encoder_and_decoder_the_encoder_is_asked(tmp_path: Path) -> None:
    torch.manual_seed(7)
    config = T5Config(vocab_size=100, d_model=32, d_kv=8, d_ff=64, num_layers=2, num_heads=4, initializer_factor=3.0)
    whole = T5ForConditionalGeneration(config).eval()
    whole.save_pretrained(tmp_path)
    tokenizer().save_pretrained(tmp_path)
    with torch.inference_mode():
        vectors = [whole.encoder(**tokenizer()(text, return_tensors="pt")).last_hidden_state[0] for text in TEXTS[:3]]
    expected = cosines([vector.mean(dim=0) for vector in vectors])
    assert compare(tmp_path, pairs(TEXTS[:3])) == close(expected)
