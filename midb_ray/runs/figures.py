"""What is counted: per shard at commit, and summed up for the run."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import pyarrow as pa

from midb_ray.pairs import rows_in

Counts = Counter[str]


class Usage(NamedTuple):
    """What a server was asked and what it has counted, answers included that were of no use.

    `retries` are the requests that were not a row's first; `unknown` are those that may have been counted without our being told:
    time-outs, broken connections, answers that do not say.
    """

    requests: int = 0
    retries: int = 0
    prompt_tokens: int = 0
    answer_tokens: int = 0
    unknown: int = 0
    cost: float = 0.0

    def plus(self, other: Usage) -> Usage:
        """The sum of both."""
        return Usage(
            self.requests + other.requests,
            self.retries + other.retries,
            self.prompt_tokens + other.prompt_tokens,
            self.answer_tokens + other.answer_tokens,
            self.unknown + other.unknown,
            self.cost + other.cost,
        )

    def to_dict(self) -> dict[str, Any]:
        """As plain data."""
        return {**self._asdict(), "cost": round(self.cost, 9)}  # a token costs some millionths


NO_USAGE = Usage()


@dataclass
class EngineFigures:
    """What one engine has done, on how many rows it failed (`errors`), and the seconds that it was up and that at least one shard
    was at it (`busy_seconds`); `usage` is what its server counted, if it has one."""

    shards: int = 0
    rows: int = 0
    tokens: int = 0
    up_seconds: float = 0.0
    busy_seconds: float = 0.0
    errors: int = 0
    usage: Usage = NO_USAGE

    def add(self, other: EngineFigures) -> None:
        """Add another shard's."""
        self.shards += other.shards
        self.rows += other.rows
        self.tokens += other.tokens
        self.up_seconds += other.up_seconds
        self.busy_seconds += other.busy_seconds
        self.errors += other.errors
        self.usage = self.usage.plus(other.usage)

    @property
    def busy(self) -> float:
        """The share of its time that the engine had work."""
        return self.busy_seconds / self.up_seconds if self.up_seconds else 0.0


@dataclass
class Figures:
    """Counts of one shard or of many. `decisions` and `reasons` are by language; every row in is a pair or a dead letter, or a
    conversation, which is a pair and as many `later_turns` as it has more.
    `duplicates` are requests that another one's answer stood for; `engines` are by node and actor."""

    rows_in: int = 0
    rows_out: int = 0
    later_turns: int = 0
    dead_letters: int = 0
    decisions: dict[str, Counts] = field(default_factory=dict)
    reasons: dict[str, Counts] = field(default_factory=dict)
    dead_letter_reasons: Counts = field(default_factory=Counter)
    prompt_tokens: int = 0
    answer_tokens: int = 0
    engine_seconds: float = 0.0
    duplicates: int = 0
    engines: dict[tuple[str, str], EngineFigures] = field(default_factory=dict)

    @classmethod
    def of(cls, pairs: Sequence[pa.Table], dead: pa.Table) -> Figures:
        """What was read into a shard's pairs, which are still to be counted, and into its dead letters."""
        rows = sum(rows_in(table) for table in pairs)
        found = cls(rows_in=rows + dead.num_rows, dead_letters=dead.num_rows)
        found.later_turns = sum(table.num_rows for table in pairs) - rows
        found.dead_letter_reasons.update(dead.column("reason").to_pylist())
        return found

    def count(self, language: str, decision: str, reasons: tuple[str, ...]) -> None:
        """Count one pair that came out."""
        self.rows_out += 1
        self.decisions.setdefault(language, Counter())[decision] += 1
        if reasons:
            self.reasons.setdefault(language, Counter()).update(reasons)

    def add(self, other: Figures) -> None:
        """Add another shard's counts to these."""
        self.rows_in += other.rows_in
        self.rows_out += other.rows_out
        self.later_turns += other.later_turns
        self.dead_letters += other.dead_letters
        for mine, theirs in ((self.decisions, other.decisions), (self.reasons, other.reasons)):
            for language, counts in theirs.items():
                mine.setdefault(language, Counter()).update(counts)
        self.dead_letter_reasons.update(other.dead_letter_reasons)
        self.prompt_tokens += other.prompt_tokens
        self.answer_tokens += other.answer_tokens
        self.engine_seconds += other.engine_seconds
        self.duplicates += other.duplicates
        for name, engine in other.engines.items():
            self.engines.setdefault(name, EngineFigures()).add(engine)

    @property
    def balanced(self) -> bool:
        """Whether nothing was lost: rows in + later turns of conversations = rows out + dead letters."""
        return self.rows_in + self.later_turns == self.rows_out + self.dead_letters

    @property
    def dead_letter_share(self) -> float:
        """Dead letters among the rows that came in, which the budget bounds."""
        return self.dead_letters / self.rows_in if self.rows_in else 0.0

    @property
    def generated_tokens(self) -> int:
        """Tokens that engines have generated: those of an answer that stood for several requests once."""
        return sum(engine.tokens for engine in list(self.engines.values()))  # others add to it

    @property
    def usage(self) -> Usage:
        """What the engines' servers have counted."""
        total = NO_USAGE
        for engine in list(self.engines.values()):  # others add to it
            total = total.plus(engine.usage)
        return total

    @property
    def engine_errors(self) -> tuple[int, int]:
        """The rows on which engines failed, and those that they were given."""
        engines = list(self.engines.values())
        return sum(engine.errors for engine in engines), sum(engine.rows for engine in engines)

    def total(self, decision: str) -> int:
        """Pairs with this decision, over all languages."""
        return sum(counts[decision] for counts in self.decisions.values())

    def to_dict(self) -> dict[str, Any]:
        """As plain data, languages and codes in order."""
        return {
            "rows_in": self.rows_in,
            "rows_out": self.rows_out,
            "later_turns": self.later_turns,
            "dead_letters": self.dead_letters,
            "decisions": {
                language: dict(sorted(counts.items())) for language, counts in sorted(self.decisions.items())
            },
            "reasons": {language: dict(sorted(counts.items())) for language, counts in sorted(self.reasons.items())},
            "dead_letter_reasons": dict(sorted(self.dead_letter_reasons.items())),
            "prompt_tokens": self.prompt_tokens,
            "answer_tokens": self.answer_tokens,
            "engine_seconds": round(self.engine_seconds, 3),
            "duplicates": self.duplicates,
            "engines": [
                {
                    "node": node,
                    "actor": actor,
                    "shards": engine.shards,
                    "rows": engine.rows,
                    "errors": engine.errors,
                    "tokens": engine.tokens,
                    "up_seconds": round(engine.up_seconds, 3),
                    "busy_seconds": round(engine.busy_seconds, 3),
                    **({"usage": engine.usage.to_dict()} if any(engine.usage) else {}),
                }
                for (node, actor), engine in sorted(self.engines.items())
            ],
        }

    def to_json(self) -> str:
        return json.dumps(self.to_dict(), ensure_ascii=False)

    @classmethod
    def from_json(cls, text: str | bytes) -> Figures:
        """The inverse of `to_json`."""
        values = json.loads(text)
        for key in ("decisions", "reasons"):
            values[key] = {language: Counter(counts) for language, counts in values[key].items()}
        values["dead_letter_reasons"] = Counter(values["dead_letter_reasons"])
        engines = values.pop("engines", [])
        for one in engines:
            one["usage"] = Usage(**one.pop("usage", {}))
        values["engines"] = {(one.pop("node"), one.pop("actor")): EngineFigures(**one) for one in engines}
        return cls(**values)
