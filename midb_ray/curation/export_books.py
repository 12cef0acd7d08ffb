"""What an export counts, by language: pairs that came in, pairs written and the rows that they make, pairs left out and why."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from midb_ray.curation.export_rows import Outcome
from midb_ray.pairs import SCORES

Counts = Counter[str]


class Piece(NamedTuple):
    """A file of rows of one language; `name` is its place below the folder of the export, `size` is in bytes."""

    language: str
    name: str
    rows: int
    size: int


@dataclass
class Books:
    """Counts of one group of parts or of all. `scores` are sums over the `scored` pairs among the written ones."""

    pairs: Counts = field(default_factory=Counter)
    written: Counts = field(default_factory=Counter)
    rows: Counts = field(default_factory=Counter)
    left_out: dict[str, Counts] = field(default_factory=dict)
    scored: Counts = field(default_factory=Counter)
    scores: dict[str, list[float]] = field(default_factory=dict)
    pieces: list[Piece] = field(default_factory=list)

    def count(self, outcome: Outcome, tags: Mapping[str, str]) -> None:
        """Count the pairs of an outcome; `tags` are the names of their languages."""
        for example in outcome.examples:
            language = tags[example.pair.language]
            self.pairs[language] += 1
            if outcome.reason is not None:
                self.left_out.setdefault(language, Counter())[outcome.reason] += 1
                continue
            self.written[language] += 1
            if len(example.scores) == len(SCORES):
                self.scored[language] += 1
                self._sum(language, example.scores)
        if outcome.row is not None:
            self.rows[tags[outcome.examples[0].pair.language]] += 1

    def add(self, other: Books) -> None:
        """Add another group's."""
        for mine, theirs in zip(self._counts(), other._counts(), strict=True):
            mine.update(theirs)
        for language, counts in other.left_out.items():
            self.left_out.setdefault(language, Counter()).update(counts)
        for language, sums in other.scores.items():
            self._sum(language, sums)
        self.pieces += other.pieces

    @property
    def balanced(self) -> bool:
        """Whether every pair of every language was written or left out for a reason."""
        return all(
            count == self.written[language] + sum(self.left_out.get(language, {}).values())
            for language, count in self.pairs.items()
        )

    @property
    def reasons(self) -> Counts:
        """The pairs left out by reason, over all languages."""
        return sum(self.left_out.values(), Counter())

    def means(self, language: str) -> dict[str, float]:
        """The mean scores of the written pairs of a language; nothing where none has any."""
        sums, count = self.scores.get(language, []), self.scored[language]
        return {name: total / count for name, total in zip(SCORES, sums, strict=True)} if count else {}

    def to_dict(self) -> dict[str, Any]:
        """As plain data."""
        names = ("pairs", "written", "rows", "left_out", "scored", "scores")
        return {**{name: getattr(self, name) for name in names}, "pieces": [list(piece) for piece in self.pieces]}

    @classmethod
    def from_dict(cls, found: Mapping[str, Any]) -> Books:
        """The inverse of `to_dict`. Raises LookupError, TypeError or ValueError for anything else."""
        counts = {name: Counter(found[name]) for name in ("pairs", "written", "rows", "scored")}
        left_out = {language: Counter(one) for language, one in found["left_out"].items()}
        pieces = [Piece(*piece) for piece in found["pieces"]]
        return cls(**counts, left_out=left_out, scores=dict(found["scores"]), pieces=pieces)

    def _counts(self) -> tuple[Counts, ...]:
        return (self.pairs, self.written, self.rows, self.scored)

    def _sum(self, language: str, scores: Any) -> None:
        sums = self.scores.setdefault(language, [0.0] * len(SCORES))
        self.scores[language] = [total + one for total, one in zip(sums, scores, strict=True)]
