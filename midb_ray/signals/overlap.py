"""How much of one text stands in another, in runs of characters: works without knowing words, so in any script."""

from __future__ import annotations

from typing import Final

from midb_ray.signals import script

LOOKED_AT: Final = 2_000  # characters of each text, so that the cost is bounded
DENSE: Final = 2
"""How many characters a run has in scripts in which two say as much as four letters."""

_DENSE: Final = {"Han", "Hiragana", "Katakana", "Hangul"}


def run_length(scripts: tuple[str, ...]) -> int:
    """How many characters a run has in these scripts."""
    return DENSE if _DENSE.intersection(scripts) else 4


def run_length_of(text: str) -> int:
    """How many characters a run has in the scripts that `text` itself is written in."""
    counts = script.letters(text[:LOOKED_AT])
    return DENSE if 2 * sum(counts.get(name, 0) for name in _DENSE) > sum(counts.values()) else run_length(())


def shared(before: str, after: str, length: int) -> float:
    """The share of the different runs of `length` characters in `before` that also stand in `after` (case aside)."""
    had = _runs(before, length)
    return len(had & _runs(after, length)) / len(had)


def _runs(text: str, length: int) -> set[str]:
    text = text[:LOOKED_AT].casefold()
    return {text[start : start + length] for start in range(max(len(text) - length + 1, 1))}
