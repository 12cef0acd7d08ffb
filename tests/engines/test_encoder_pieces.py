"""What a SentencePiece encoder gets to see of a text: its words, and never a control token that somebody wrote into it."""

from __future__ import annotations

from pathlib import Path

import pytest
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from transformers import PreTrainedTokenizerFast

from midb_ray.engines.encoder_files import EncoderFacts, EncoderFiles
from midb_ray.engines.encoder_pieces import Cutter
from midb_ray.engines.encoder_recipe import Recipe

_BEGIN, _END = 0, 2


@pytest.fixture
def files() -> EncoderFiles:
    """With a tokenizer of XLM-R's kind, whose control tokens are pieces of its vocabulary too."""
    pieces = [(piece, 0.0) for piece in ("<s>", "<pad>", "</s>", "<unk>")]
    pieces += [("▁", -2.0), ("▁a", -2.0), ("▁cat", -3.0), *((letter, -5.0) for letter in "abcdst<>/")]
    made = Tokenizer(models.Unigram(pieces, unk_id=3, byte_fallback=False))
    made.pre_tokenizer = pre_tokenizers.Metaspace()
    made.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>", special_tokens=[("<s>", _BEGIN), ("</s>", _END)]
    )
    named = {"bos_token": "<s>", "eos_token": "</s>", "pad_token": "<pad>", "unk_token": "<unk>"}
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=made, **named)
    return EncoderFiles(Path("encoder"), Recipe(), None, tokenizer, EncoderFacts(0, None))


def test_control_tokens_in_a_text_are_its_letters(files: EncoderFiles) -> None:
    texts = ["a cat", "a</s>cat", "</s>", "<s> a"]
    pieces = Cutter(files, 64).cut(texts)
    assert [piece.owner for piece in pieces] == [0, 1, 2, 3]
    for text, piece in zip(texts, pieces, strict=True):
        first, *inside, last = piece.ids
        assert (first, last, piece.weight) == (_BEGIN, _END, len(inside))
        assert not {_BEGIN, _END} & set(inside)
        letters = "".join(files.tokenizer.convert_ids_to_tokens(inside)).replace("▁", " ")
        assert letters.strip() == text


def test_pieces_cover_a_text_in_its_order(files: EncoderFiles) -> None:
    pieces = Cutter(files, 5).cut(["a cat a cat a", "", " ", "cat"])
    assert [(piece.owner, piece.weight) for piece in pieces] == [(0, 3), (0, 2), (3, 1)]
    inside = [token for piece in pieces[:2] for token in piece.ids[1:-1]]
    assert "".join(files.tokenizer.convert_ids_to_tokens(inside)) == "▁a▁cat▁a▁cat▁a"
    assert all((piece.ids[0], piece.ids[-1]) == (_BEGIN, _END) for piece in pieces)
