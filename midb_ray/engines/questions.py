"""All that a shard asks its engine, of whatever kind, as one row of questions: equal ones are asked once."""

from __future__ import annotations

from typing import NamedTuple

from midb_ray.engines import halving
from midb_ray.engines.base import Comparison, Completion, Continuation, Likelihood, Request, Similarity
from midb_ray.engines.duplicates import Distinct, distinct
from midb_ray.engines.flight import Flight


class Places(NamedTuple):
    """Which of each kind are meant by a range of questions."""

    requests: slice
    continuations: slice
    comparisons: slice


class Replies(NamedTuple):
    """A completion for each distinct request, a likelihood for each continuation, a similarity for each comparison."""

    completions: list[Completion]
    likelihoods: list[Likelihood]
    similarities: list[Similarity]


class Questions(NamedTuple):
    """The continuations stand behind the requests, and the comparisons behind both; so the record of attempts counts them too."""

    requests: Distinct[Request]
    continuations: Distinct[Continuation]
    comparisons: Distinct[Comparison]

    @classmethod
    def of(cls, flight: Flight) -> Questions:
        """Those of a shard."""
        return cls(distinct(flight.requests), distinct(flight.continuations), distinct(flight.comparisons))

    @property
    def number(self) -> int:
        """How many there are to be asked."""
        return sum(len(kind.distinct) for kind in self)

    @property
    def duplicates(self) -> int:
        """How many are answered by what an equal one brings."""
        return sum(kind.duplicates for kind in self)

    def places(self, first: int, last: int) -> Places:
        """Where the questions from `first` to before `last` stand among those of their kind."""
        found, before = [], 0
        for kind in self:
            found.append(slice(max(first - before, 0), max(last - before, 0)))
            before += len(kind.distinct)
        return Places(*found)

    def spread(
        self, replies: Replies
    ) -> tuple[list[Completion | None], list[Likelihood | None], list[Similarity | None]]:
        """The replies to everything that was asked, equal ones too; None where nothing was."""
        return (
            self.requests.spread(replies.completions),
            self.continuations.spread(replies.likelihoods),
            self.comparisons.spread(replies.similarities),
        )

    def failed(self, reason: str) -> Replies:
        """What stands for the reply to each until there is one."""
        return Replies(
            [halving.no_completion(reason)] * len(self.requests.distinct),
            [halving.no_likelihood(reason)] * len(self.continuations.distinct),
            [halving.no_similarity(reason)] * len(self.comparisons.distinct),
        )
