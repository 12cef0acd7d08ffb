"""The scripts a text is written in, by Unicode's Script property."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import Any, Final

import numpy as np
import regex

WEIGHTS: Final = {"Han": 3, "Hiragana": 2, "Katakana": 2, "Hangul": 3}
"""What one character says, counted in letters of an alphabet: an English name in a Japanese sentence outnumbers it otherwise."""

SCRIPTS: Final = (
    *("Latin", "Cyrillic", "Arabic", "Han", "Hiragana", "Katakana", "Hangul", "Greek", "Thai", "Hebrew", "Devanagari"),
    *("Bengali", "Tamil", "Telugu", "Kannada", "Malayalam", "Gujarati", "Gurmukhi", "Sinhala", "Lao", "Khmer"),
    *("Myanmar", "Armenian", "Georgian", "Ethiopic"),
)
"""The scripts told apart: those in wide use today."""

_NOT_LETTERS: Final = bytes(code for code in range(256) if not chr(code).isalpha() or code == 0xB5)  # the micro sign


def letters(text: str) -> dict[str, int]:
    """Letters of each script in `text`, weighted by `WEIGHTS`; scripts that do not occur are left out. Letters beyond the
    basic multilingual plane (rare Han) are not counted."""
    try:  # the commonest case, ten times faster
        count = len(text.encode("latin-1").translate(None, _NOT_LETTERS))
        return {"Latin": count} if count else {}
    except UnicodeEncodeError:
        return _counted(text)


def foreign(text: str, scripts: tuple[str, ...]) -> int:
    """Letters in `text` that are of other scripts than `scripts`, weighted and counted as in `letters`."""
    if "Latin" in scripts and text.isascii():
        return 0
    codes = np.frombuffer(text.encode("utf-16-le", "surrogatepass"), dtype="<u2")
    return int(_weights(scripts)[codes].sum(dtype=np.int64))


def share(counts: Mapping[str, int], scripts: Iterable[str]) -> float:
    """The share of `letters` that belongs to `scripts`, 0 to 1; 0 where there are no letters at all."""
    total = sum(counts.values())
    return sum(counts.get(script, 0) for script in scripts) / total if total else 0.0


def _counted(text: str) -> dict[str, int]:
    codes = np.frombuffer(text.encode("utf-16-le", "surrogatepass"), dtype="<u2")
    counts = np.bincount(_script_of()[codes], minlength=len(SCRIPTS) + 1).tolist()
    return {script: count * WEIGHTS.get(script, 1) for script, count in zip(SCRIPTS, counts, strict=False) if count}


@lru_cache(maxsize=64)
def _weights(known: tuple[str, ...]) -> np.ndarray[Any, Any]:
    """For every UTF-16 code unit its weight if it is a letter of none of the `known` scripts, else 0."""
    weights = [0 if name in known else WEIGHTS.get(name, 1) for name in SCRIPTS]
    table: np.ndarray[Any, Any] = np.array([*weights, 0], dtype=np.uint8)[_script_of()]
    return table


@lru_cache(maxsize=1)
def _script_of() -> np.ndarray[Any, Any]:
    """For every UTF-16 code unit the place of its script in `SCRIPTS`, or one beyond for what is no letter."""
    table = np.full(0x10000, len(SCRIPTS), dtype=np.uint8)
    plane = "".join(map(chr, range(0x10000)))
    for place, script in enumerate(SCRIPTS):
        for run in regex.finditer(rf"[\p{{Script={script}}}&&\p{{L}}]+", plane, regex.V1):
            table[run.start() : run.end()] = place
    return table
