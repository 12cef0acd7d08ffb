"""The settings of the gate; apart from it, so that settings load without what it measures with."""

from __future__ import annotations

import pydantic

from midb_ray.config import Settings


class GateSettings(Settings):
    """Which pairs are good enough to stay as they are, unseen by the engine: those that meet every condition that is set."""

    languages: tuple[str, ...] = ()
    """Skip pairs in these languages; a language without a region means all its regions."""
    column: str | None = pydantic.Field(None, min_length=1)
    """Skip pairs by the number that their input row has in this column, such as a quality score; needs at_least or at_most."""
    at_least: float | None = pydantic.Field(None, validate_default=False)
    """Smallest number in the column of a pair that is skipped."""
    at_most: float | None = pydantic.Field(None, validate_default=True)
    """Largest number in the column of a pair that is skipped."""
    no_defects: bool = False
    """Skip pairs in which no signal finds a defect; signals see no wrong fact and no clumsy translation."""

    @pydantic.field_validator("at_least", "at_most")
    @classmethod
    def _bounds_belong_to_a_column(cls, value: float | None, info: pydantic.ValidationInfo) -> float | None:
        column, least = info.data.get("column"), info.data.get("at_least")
        if value is not None and column is None:
            raise ValueError(f"expected gate.column, the column that is to be compared with {value:g}")
        if info.field_name == "at_most":
            if column is not None and value is None and least is None and "at_least" in info.data:
                raise ValueError(f"expected at_least or at_most for the numbers in the column {column!r}")
            if value is not None and least is not None and value < least:
                raise ValueError(f"expected at least gate.at_least ({least:g}), found {value:g}")
        return value

    @property
    def on(self) -> bool:
        """Whether any condition is set."""
        return bool(self.languages or self.column or self.no_defects)

    @property
    def blunt(self) -> bool:
        """Whether nothing but the absence of defects decides, which says little about a pair."""
        return self.no_defects and not (self.languages or self.column)

    def words(self) -> str:
        """The conditions as a clause: "language de or fr, score of at least 4.5"."""
        found = []
        if self.languages:
            found.append(f"language {' or '.join(self.languages)}")
        if self.column is not None:
            bounds = [("at least", self.at_least), ("at most", self.at_most)]
            limits = " and ".join(f"{word} {bound:g}" for word, bound in bounds if bound is not None)
            found.append(f"{self.column} of {limits}")
        if self.no_defects:
            found.append("no defect that signals see")
        return ", ".join(found)
