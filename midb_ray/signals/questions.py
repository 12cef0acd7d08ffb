"""Whether a sentence asks, by its mark or by the words that ask where a language can do without one."""

from __future__ import annotations

import re
from typing import Final

_MARKS: Final = re.compile("[?？؟⁇⸮]")
_GREEK: Final = re.compile("[;;]")  # the Greek question mark, of its own and as everybody writes it
_WORDS: Final = {
    "ja": re.compile("か(?:[。.」』）)]|$)|でしょう|[のだ]ろう"),
    "ko": re.compile(r"(?:까|나요|가요|는지|은지|을지)(?:\W|$)"),
    "th": re.compile("ไหม|หรือ|อะไร|ใคร|ทำไม|อย่างไร|ที่ไหน|เมื่อไ|กี่|เท่าไ"),
    "id": re.compile(
        r"\b(?:apa\w*|siapa\w*|bagaimana\w*|mengapa|kenapa|berapa\w*|kapan\w*|di ?mana\w*|\w+kah)\b", re.IGNORECASE
    ),
    "ar": re.compile(r"\b(?:هل|ما|ماذا|من|متى|أين|كيف|كم|لماذا|أي)\b"),
    "vi": re.compile(r"\b(?:gì|nào|ai|sao|đâu|bao giờ|mấy|không)\b", re.IGNORECASE),
}
_WORDS["ms"] = _WORDS["id"]


def marked(text: str, language: str) -> bool:
    """Whether a question mark stands in `text`."""
    return _MARKS.search(text) is not None or (language == "el" and _GREEK.search(text) is not None)


def asks(text: str, language: str) -> bool:
    """Whether `text` may be a question: by a mark, or by a word of the language (an ISO 639-1 code) that asks."""
    words = _WORDS.get(language)
    return marked(text, language) or (words is not None and words.search(text) is not None)
