"""The gate: which pairs are good enough to be left alone. It stands before the engine and costs no GPU.

Skipping is the risk here, since nobody looks at a skipped pair again: a pair is skipped only if every condition holds for sure.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable

from midb_ray.boosting.defects import Defects
from midb_ray.boosting.gate_settings import GateSettings
from midb_ray.boosting.guard_settings import GuardSettings
from midb_ray.locales import Locales
from midb_ray.pairs import Pair, Text


class Gate:
    """The conditions of `settings`; what counts as a loop or as doubled is what the guard takes for one.

    Raises `UserError` for a language that `locales` does not know.
    """

    def __init__(self, settings: GateSettings, guard: GuardSettings, locales: Locales) -> None:
        self._settings = settings
        self._locales = locales
        self._tags = {locales.resolve(name).tag for name in settings.languages}
        self._defects = Defects(guard, locales)
        table: list[tuple[object, Callable[[Pair], bool]]] = [
            (settings.languages, self._in_language),
            (settings.column, self._in_bounds),
            (settings.no_defects, self._without_defect),
        ]
        self._conditions = [holds for on, holds in table if on]

    def skips(self, pair: Pair) -> bool:
        """Whether the pair stays as it is. A gate without conditions skips nothing."""
        return bool(self._conditions) and all(holds(pair) for holds in self._conditions)

    def _in_language(self, pair: Pair) -> bool:
        return pair.language in self._tags or self._locales.resolve(pair.language).language in self._tags

    def _in_bounds(self, pair: Pair) -> bool:
        assert self._settings.column is not None
        found = number(pair.extra, self._settings.column)
        if found is None:
            return False
        least, most = self._settings.at_least, self._settings.at_most
        return (least is None or found >= least) and (most is None or found <= most)

    def _without_defect(self, pair: Pair) -> bool:
        text = Text(pair.instruction, pair.input, pair.response)
        return not self._defects.found(text, self._locales.resolve(pair.language))


def number(extra: str | None, column: str) -> float | None:
    """The finite number in a column of the row that a pair came from, written as a number or as text; None if there is none."""
    if extra is None:
        return None
    try:
        value = json.loads(extra).get(column)
    except (RecursionError, ValueError):  # as deep, or a number as long, as the reader just bore
        return None
    if isinstance(value, bool) or not isinstance(value, (int, float, str)):
        return None
    try:
        found = float(value)
    except (ValueError, OverflowError):
        return None
    return found if math.isfinite(found) else None
