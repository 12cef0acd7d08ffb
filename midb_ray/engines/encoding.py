"""Prompts and answers as token ids, the same way in training and in generation.

Text from data is never structure: any string that the tokenizer knows as an added token (`<|eot_id|>`, `</s>`, …) is
encoded as the plain characters it consists of. Only the frame (chat template or cue) brings control tokens in.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from midb_ray.errors import UserError
from midb_ray.prompts import REVISED

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

_CONTENT = "\x02content\x03"  # stands for the prompt while the frame is rendered; no template contains it


def load_tokenizer(model: str, revision: str | None = None) -> PreTrainedTokenizerBase:
    """The tokenizer of a model directory or hub id. Raises `UserError` if there is none or it has no end token."""
    from transformers import AutoTokenizer

    try:
        tokenizer = AutoTokenizer.from_pretrained(model, revision=revision, trust_remote_code=False)
    except Exception as error:  # the library raises a dozen kinds, all of them about this path
        raise UserError(f"Cannot load a tokenizer from {model!r}: {' '.join(str(error).split())[:300]}") from None
    if tokenizer.eos_token_id is None:
        raise UserError(f"The tokenizer of {model!r} has no end token (eos_token), so no answer could ever end.")
    return tokenizer


class PromptEncoder:
    """Token ids for one tokenizer's prompts and answers.

    With a chat template the prompt is the user's turn and the answer the assistant's; without one the prompt is followed by the
    cue `<|revised|>`. `end` are the ids after which generation stops.
    """

    def __init__(self, tokenizer: PreTrainedTokenizerBase) -> None:
        self._tokenizer = tokenizer
        added = sorted((token for token in tokenizer.get_added_vocab() if token.strip()), key=len, reverse=True)
        self._added = re.compile("|".join(map(re.escape, added))) if added else None
        before, after = _frame(tokenizer)
        self._before = list(tokenizer.encode(before, add_special_tokens=False))
        self._after = list(tokenizer.encode(after, add_special_tokens=False))
        if not tokenizer.chat_template and tokenizer.bos_token_id is not None:
            self._before.insert(0, tokenizer.bos_token_id)
        self.end: int = _end(tokenizer, self._after)

    def prompt(self, text: str) -> list[int]:
        """The framed prompt; generation goes on after its last id."""
        return [*self._before, *self.plain(text), *self._after]

    def answer(self, text: str) -> list[int]:
        """An answer as a model should give it, the end token included."""
        return [*self.plain(text), self.end]

    def plain(self, text: str) -> list[int]:
        """`text` as ids none of which is an added token, whatever the text contains."""
        pieces = self._pieces(text) if self._added is not None and self._added.search(text) else [text]
        ids: list[int] = []
        for piece in pieces:
            ids.extend(self._tokenizer.encode(piece, add_special_tokens=False))
        return ids

    def decode(self, ids: list[int]) -> str:
        """The text of generated ids. Control tokens stay visible: the guard must see what a model leaks."""
        return str(self._tokenizer.decode(ids, skip_special_tokens=False, clean_up_tokenization_spaces=False))

    def _pieces(self, text: str) -> list[str]:
        """`text` cut after the first character of every added token in it, so that no piece contains one."""
        assert self._added is not None
        pieces, start = [], 0
        while match := self._added.search(text, start):
            cut = match.start() + 1
            pieces.append(text[start:cut])
            start = cut
        return [*pieces, text[start:]]


def _frame(tokenizer: PreTrainedTokenizerBase) -> tuple[str, str]:
    """What stands before and after a prompt."""
    if not tokenizer.chat_template:
        return "", f"\n\n{REVISED}\n"
    turn = [{"role": "user", "content": _CONTENT}]
    whole = tokenizer.apply_chat_template(turn, tokenize=False, add_generation_prompt=True)
    before, _, after = str(whole).partition(_CONTENT)
    if not after:
        raise UserError("The chat template of the model does not end with a turn for the assistant.")
    return before, after


def _end(tokenizer: PreTrainedTokenizerBase, after: list[int]) -> int:
    """The id that ends an assistant's turn: where the chat template has one after the answer, that; else eos."""
    if not tokenizer.chat_template:
        return int(tokenizer.eos_token_id)
    turn = [{"role": "user", "content": "a"}, {"role": "assistant", "content": _CONTENT}]
    rest = str(tokenizer.apply_chat_template(turn, tokenize=False)).rpartition(_CONTENT)[2]
    ids = tokenizer.encode(rest.strip(), add_special_tokens=False) if rest.strip() else []
    added = set(tokenizer.get_added_vocab().values())
    return int(ids[0]) if ids and ids[0] in added else int(tokenizer.eos_token_id)
