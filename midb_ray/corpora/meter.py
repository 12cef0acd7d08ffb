"""What Prometheus is told of a run over a corpus; the driver tells it, which alone knows the whole."""

from __future__ import annotations

from midb_ray.runs.figures import Figures
from midb_ray.runs.metrics import Metrics


class Meter:
    """The metrics of a run while its shards come in. `total` are the figures of the whole run, which others add to."""

    def __init__(self, job: str, run: str, rows: int, shards: int, total: Figures, budget: float) -> None:
        """`rows` are those of the input, `shards` those to come; `budget` is the share of rows that may become dead letters."""
        self._metrics = Metrics(job_name=job, run=run)
        self._total, self._left = total, shards
        self._metrics.set("midb_ray_rows_planned", rows)
        self._metrics.set("midb_ray_dead_letter_budget", budget)
        self._tell()

    def add(self, shard: Figures) -> None:
        """A shard is committed and stands in the total."""
        self._left -= 1
        for language, decisions in shard.decisions.items():
            for decision, pairs in decisions.items():
                self._metrics.count("midb_ray_pairs", pairs, language=language, decision=decision)
        for reason, rows in shard.dead_letter_reasons.items():
            self._metrics.count("midb_ray_dead_letters", rows, reason=reason)
        self._tell()

    def _tell(self) -> None:
        total = self._total
        self._metrics.set("midb_ray_rows_done", total.rows_in)
        self._metrics.set("midb_ray_shards_left", self._left)
        self._metrics.set("midb_ray_dead_letter_share", total.dead_letter_share)
