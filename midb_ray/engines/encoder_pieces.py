"""Texts as pieces that a sentence encoder takes: nothing of a text is cut off."""

from __future__ import annotations

from array import array
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from midb_ray.engines.encoder_files import EncoderFiles
from midb_ray.engines.encoding import without_added_tokens
from midb_ray.errors import UserError
from midb_ray.pairs import writable

_BLOCK = 1 << 17  # characters of a text that become tokens at once: 16 for each token of the longest piece
_BLOCKS = 16  # at once; the tokenizer needs a hundred bytes for a token


class Piece(NamedTuple):
    """Token ids, special ones included, of the text with number `owner`; `weight` is their number without those."""

    owner: int
    ids: array[int]
    weight: int


class Cutter:
    """Cuts texts where they have more than `longest` tokens. Special tokens in them are plain text;
    the encoder's prompt stands before every text (and so in the first piece of a long one)."""

    def __init__(self, files: EncoderFiles, longest: int) -> None:
        from tokenizers import normalizers

        tokenizer = without_added_tokens(files.tokenizer, framed=True)
        self._special: int = tokenizer.num_special_tokens_to_add(False)
        self._prompt = files.recipe.prompt
        if files.recipe.lowercase:
            own = [tokenizer.normalizer] if tokenizer.normalizer is not None else []
            tokenizer.normalizer = normalizers.Sequence([normalizers.Lowercase(), *own])
        self._nothing: list[int] = tokenizer.encode(self._prompt).ids
        if longest <= len(self._nothing):
            raise UserError(
                f"{files.folder} takes at most {longest} tokens, too few for any text; see max_seq_length in "
                "sentence_bert_config.json and model_max_length in tokenizer_config.json."
            )
        tokenizer.enable_truncation(longest)
        self._tokenizer = tokenizer

    def cut(self, texts: Sequence[str]) -> list[Piece]:
        """The pieces of all texts; none of a text without tokens."""
        blocks = [(owner, part) for owner, text in enumerate(texts) if text.strip() for part in self._blocks(text)]
        pieces = []
        for start in range(0, len(blocks), _BLOCKS):
            group = blocks[start : start + _BLOCKS]
            encodings = self._tokenizer.encode_batch([block for _, block in group])
            for (owner, _), encoding in zip(group, encodings, strict=True):
                for part in (encoding, *encoding.overflowing):
                    weight = len(part.ids) - self._special
                    if weight > 0 and part.ids != self._nothing:
                        pieces.append(Piece(owner, array("i", part.ids), weight))
        return pieces

    def _blocks(self, text: str) -> Iterator[str]:
        """A text in parts that are far longer than a piece, cut at a space where there is one."""
        text = self._prompt + writable(text)
        start = 0
        while len(text) - start > _BLOCK:
            end = start + _BLOCK
            space = max(text.rfind(" ", start + 1, end), text.rfind("\n", start + 1, end))
            end = space if space > start else end
            yield text[start:end]
            start = end
        yield text[start:]


def take(waiting: list[Piece], tokens: int) -> list[Piece]:
    """Takes pieces, sorted by length, off the end: as many as have so many tokens when padded, and one in any case."""
    count = max(1, tokens // len(waiting[-1].ids))
    batch = waiting[-count:]
    del waiting[-count:]
    return batch
