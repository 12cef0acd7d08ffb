"""Text that belongs to a prompt or a tokenizer and not to a pair."""

from __future__ import annotations

import re
from typing import Final

from midb_ray import prompts

_CONTROL: Final = re.compile(
    r"<[|｜][^|｜<>\n]{0,64}[|｜]>|<</?SYS>>|\[/?INST\]|\[(?:PAD|UNK|CLS|SEP|BOS|EOS)\]"
    r"|</?(?:s|think|thinking|thoughts?|reasoning|reflection|scratchpad|tool_call|start_of_turn|end_of_turn|bos|eos|pad|unk|0x[0-9A-F]{2})>"
    r"|^#{2,4} ?(?:Instruction|Input|Response):?[ \t]{0,8}$|\ufffd",
    re.MULTILINE,
)
_TURN: Final = re.compile(
    r"^[ \t]{0,3}(?:#{1,6}[ \t]{1,4})?[*_]{0,3}(human|user|assistant|ai|system)[*_]{0,3}[ \t]?[:：]",
    re.MULTILINE | re.IGNORECASE,
)
_COMMENT: Final = re.compile(
    r"[^\n]{0,60}?\b((?:revised|rewritten|improved|edited|corrected) (?:instruction )?(?:pair|instruction|response))\b"
)
_LABEL: Final = re.compile(r"(?:\*\*)?((?:instruction|input|response)(?:\*\*)?:)")
_WORDING: Final = tuple(
    piece.strip()
    for piece in re.split(r"\{\w+\}|[.:;,]\s|\n", f"{prompts.CONTEXT} {prompts.PLAIN} {prompts.LOCALE}")
    if len(piece) >= 28 and ("pair" in piece or "instruction" in piece)  # other pieces may be anybody's words
)


def control_tokens(text: str) -> set[str]:
    """Chat and tokenizer control tokens, the headings of Alpaca's prompt, and U+FFFD, which stands for broken bytes."""
    if "<" in text or "[" in text or "##" in text or "\ufffd" in text:
        return set(_CONTROL.findall(text))
    return set()


def turns(text: str) -> set[str]:
    """Who speaks in the turns of a chat that stand at the beginning of lines: "User:", "### Human:", "**Assistant:**"."""
    if ":" not in text and "：" not in text:
        return set()
    return {speaker.casefold() for speaker in _TURN.findall(text)}


def wording(text: str) -> set[str]:
    """Pieces of our own prompts."""
    if "pair" not in text and "instruction" not in text:
        return set()
    return {piece for piece in _WORDING if piece in text}


def comments(section: str) -> list[str]:
    """What a model says about its task at the beginning of a section: "Here is the revised pair:", "Response:"."""
    head = section[:100].casefold()
    if "pair" not in head and "instruction" not in head and "response" not in head and "input" not in head:
        return []
    found = (_LABEL.match(head), _COMMENT.match(head))
    return [match[1] for match in found if match]
