"""Prompts and answers as token ids, the same way in training and in generation.

Text from data is never structure: any string that the tokenizer knows as an added token (`<|eot_id|>`, `</s>`, …) is
encoded as the plain characters it consists of. Only the frame (chat template or cue) brings control tokens in.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from midb_ray.errors import UserError, one_line
from midb_ray.prompts import REVISED

if TYPE_CHECKING:
    from tokenizers import Tokenizer
    from transformers import PreTrainedTokenizerBase

_CONTENT = "\x02content\x03"  # stands for the prompt while the frame is rendered; no template contains it
_DATE = "26 Jul 2024"  # some templates name the day; training and every resumed run must see the same one
_VARIABLES = {"date_string": _DATE, "enable_thinking": False, "thinking": False}  # answers begin at once


def load_tokenizer(model: str, revision: str | None = None) -> PreTrainedTokenizerBase:
    """The tokenizer of a model directory or hub id, with which answers are generated.

    Raises `UserError` if there is none, if it has no end token or if it has no fast form (tokenizer.json).
    """
    tokenizer = fast_tokenizer(model, model, revision)
    if tokenizer.eos_token_id is None:
        raise UserError(f"The tokenizer of {model!r} has no end token (eos_token), so no answer could ever end.")
    return tokenizer


def fast_tokenizer(place: str, model: str, revision: str | None = None) -> PreTrainedTokenizerBase:
    """The tokenizer of any model that lies at `place`. Raises `UserError` if there is none, or none of the fast form."""
    from transformers import AutoTokenizer

    try:
        tokenizer = AutoTokenizer.from_pretrained(place, revision=revision, trust_remote_code=False)
    except Exception as error:  # the library raises a dozen kinds, all of them about these files
        raise UserError(f"Cannot load a tokenizer from {model!r}: {one_line(error)}") from None
    if not tokenizer.is_fast:
        raise UserError(f"The tokenizer of {model!r} has no tokenizer.json; convert it to a fast tokenizer first.")
    return tokenizer


class PromptEncoder:
    """Token ids for one tokenizer's prompts and answers. Picklable, and what is unpickled needs neither transformers nor torch.

    With a chat template the prompt is the user's turn and the answer the assistant's; without one the prompt is followed by the
    cue `<|revised|>`. `end` is the id after which generation stops.
    """

    def __init__(self, tokenizer: PreTrainedTokenizerBase) -> None:
        self._whole: Tokenizer = tokenizer.backend_tokenizer
        self._plain = without_added_tokens(tokenizer)
        before, after = _frame(tokenizer)
        self._before = list(tokenizer.encode(before, add_special_tokens=False))
        self._after = list(tokenizer.encode(after, add_special_tokens=False))
        self._pause = (
            self._after if tokenizer.chat_template else list(tokenizer.encode("\n\n", add_special_tokens=False))
        )
        if not tokenizer.chat_template and tokenizer.bos_token_id is not None:
            self._before.insert(0, tokenizer.bos_token_id)
        self.end: int = _end(tokenizer)

    @property
    def frame(self) -> int:
        """Tokens that every prompt has beside its text."""
        return len(self._before) + len(self._after)

    @property
    def cue(self) -> int:
        """Those of them that stand after it."""
        return len(self._after)

    def prompt(self, text: str) -> list[int]:
        """The framed prompt; generation goes on after its last id."""
        return [*self._before, *self.plain(text), *self._after]

    def prompts(self, texts: Sequence[str]) -> list[list[int]]:
        """`prompt` of many texts at once."""
        encodings = self._plain.encode_batch_fast(list(texts), add_special_tokens=False)
        return [[*self._before, *encoding.ids, *self._after] for encoding in encodings]

    def questions(self, texts: Sequence[str]) -> list[list[int]]:
        """`prompts` for any model, be it a booster or not: where there is no chat template, a blank line stands for the cue."""
        encodings = self._plain.encode_batch_fast(list(texts), add_special_tokens=False)
        return [[*self._before, *encoding.ids, *self._pause] for encoding in encodings]

    def answer(self, text: str) -> list[int]:
        """An answer as a model should give it, the end token included."""
        return [*self.plain(text), self.end]

    def plain(self, text: str) -> list[int]:
        """`text` as ids none of which is an added token, whatever the text contains (white space apart: some
        tokenizers have runs of it as added tokens, and it controls nothing)."""
        return list(self._plain.encode(text, add_special_tokens=False).ids)

    def pieces(self) -> list[str]:
        """The text that each id adds to a text before it; parts of a character are U+FFFD, ids without a token add nothing."""
        before = self.plain("a")
        start = len(self.decode(before))
        return [text[start:] for text in self._decode_each(before)]

    def first_pieces(self) -> list[str]:
        """The text of each id where it is the first: SentencePiece tokenizers drop a space there."""
        return self._decode_each([])

    def _decode_each(self, before: list[int]) -> list[str]:
        ids = range(max(self._whole.get_vocab().values()) + 1)
        texts = self._whole.decode_batch([[*before, token] for token in ids], skip_special_tokens=False)
        return list(map(str, texts))

    def decode(self, ids: Sequence[int]) -> str:
        """The text of generated ids. Control tokens stay visible: the guard must see what a model leaks."""
        return str(self._whole.decode(list(ids), skip_special_tokens=False))


def without_added_tokens(tokenizer: PreTrainedTokenizerBase, framed: bool = False) -> Tokenizer:
    """The tokenizer as it would be had it never learned its added tokens; all other ids are the same. `framed` keeps those that it
    puts around every text.

    Cutting the text around them would not do: SentencePiece tokenizers put a space before every piece.
    """
    from tokenizers import Tokenizer

    definition = json.loads(tokenizer.backend_tokenizer.to_str())
    added = {token["content"] for token in definition["added_tokens"] if token["content"].strip()}
    definition["added_tokens"] = [token for token in definition["added_tokens"] if token["content"] not in added]
    definition["truncation"] = definition["padding"] = None
    if not framed:
        definition["post_processor"] = None
    _hide(definition["model"], added)
    return Tokenizer.from_str(json.dumps(definition, ensure_ascii=False))


def _hide(model: dict[str, Any], added: set[str]) -> None:
    """Make the added tokens among a model's own pieces unreachable: new names that no text can contain by design or by
    chance, and no merges from or to them."""
    secret = secrets.token_hex(16)
    vocabulary = model["vocab"]
    if isinstance(vocabulary, dict):
        model["vocab"] = {piece + secret if piece in added else piece: number for piece, number in vocabulary.items()}
    else:  # Unigram: pieces with their scores
        model["vocab"] = [[piece + secret if piece in added else piece, score] for piece, score in vocabulary]
    if model.get("unk_token") in added:
        model["unk_token"] += secret
    if "merges" in model:
        model["merges"] = [
            [left, right] for left, right in model["merges"] if added.isdisjoint((left, right, left + right))
        ]


def _render(tokenizer: PreTrainedTokenizerBase, turns: list[dict[str, str]], **options: Any) -> str:
    try:
        template = tokenizer.get_chat_template()
        if "strftime_now" in template:
            template = f"{{%- macro strftime_now(format) -%}}{_DATE}{{%- endmacro -%}}{template}"
        return str(
            tokenizer.apply_chat_template(turns, chat_template=template, tokenize=False, **_VARIABLES, **options)
        )
    except Exception as error:  # a template is a program and raises what it likes
        raise UserError(f"The chat template of {tokenizer.name_or_path!r} cannot be used: {one_line(error)}") from None


def _frame(tokenizer: PreTrainedTokenizerBase) -> tuple[str, str]:
    """What stands before and after a prompt."""
    if not tokenizer.chat_template:
        return "", f"\n\n{REVISED}\n"
    whole = _render(tokenizer, [{"role": "user", "content": _CONTENT}], add_generation_prompt=True)
    before, found, after = whole.partition(_CONTENT)
    if not found or not after or _CONTENT in after:
        raise UserError(
            f"The chat template of {tokenizer.name_or_path!r} cannot be used: it must show the user's turn once and end "
            "with a turn for the assistant."
        )
    return before, after


def _end(tokenizer: PreTrainedTokenizerBase) -> int:
    """The id that ends an assistant's turn: where the chat template has one after the answer, that; else eos."""
    if not tokenizer.chat_template:
        return int(tokenizer.eos_token_id)
    turns = [{"role": "user", "content": "a"}, {"role": "assistant", "content": _CONTENT}]
    rest = _render(tokenizer, turns).rpartition(_CONTENT)[2].strip()
    ids = tokenizer.encode(rest, add_special_tokens=False) if rest else []
    added = set(tokenizer.get_added_vocab().values())
    return int(ids[0]) if ids and ids[0] in added else int(tokenizer.eos_token_id)
