"""Whether a sentence asks, by its mark or by the words that ask where a language can do without one."""

from __future__ import annotations

import re
from typing import Final

_MARKS: Final = re.compile("[?？؟⁇⸮]")
_GREEK: Final = re.compile("[;\u037e]")  # as everybody writes it, and of its own
_WORDS: Final = {
    "ja": re.compile("か(?:[。.」』）)]|$)|でしょう|[のだ]ろう"),
    "ko": re.compile(r"(?:까|나요|가요|는지|은지|을지)(?:\W|$)"),
    "th": re.compile("ไหม|หรือ|อะไร|ใคร|ทำไม|อย่างไร|ที่ไหน|เมื่อไ|กี่|เท่าไ"),
    "id": re.compile(
        r"\b(?:apa\w*|siapa\w*|bagaimana\w*|mengapa|kenapa|berapa\w*|kapan\w*|di ?mana\w*|\w+kah)\b", re.IGNORECASE
    ),
}
_WORDS["ms"] = _WORDS["id"]


def asks(text: str, language: str) -> bool:
    """Whether `text` may be a question: by a mark, or by a word of the language (an ISO 639-1 code) that asks."""
    if _MARKS.search(text) is not None or (language == "el" and _GREEK.search(text) is not None):
        return True
    words = _WORDS.get(language)
    return words is not None and words.search(text) is not None
