"""Richness grows with each property of a response and with nothing else."""

from __future__ import annotations

from pathlib import Path

from midb_ray.pairs import Text
from midb_ray.quality.richness import BIAS, WEIGHTS, richness

TASK = "Name two old bridges in Prague."
PLAIN = "Charles and Judith"


def rich(response: str) -> float:
    return richness(Text(TASK, "", response))


def test_each_property_raises_it() -> None:
    plain = rich(PLAIN)
    assert all(weight > 0 for weight in WEIGHTS.values())
    assert rich(f"{PLAIN} in Prague") > plain  # taken up
    assert rich(f"**{PLAIN}**") > plain  # set off
    assert rich(f"Two: {PLAIN}") > plain  # explains
    assert rich(f"{PLAIN}.\n\nBoth.") > plain  # paragraphs
    assert rich(f"These are they:\n{PLAIN}") > rich(f"These: they are\n{PLAIN}")  # announced


def test_length_alone_does_not_raise_it() -> None:
    assert rich("Charles and Judith and Charles and Judith " * 40) == rich(PLAIN)


def test_the_documented_weights_are_those_in_use() -> None:
    page = (Path(__file__).parents[2] / "docs" / "quality.md").read_text(encoding="utf-8")
    assert all(f"| `{name}` | {weight:g} |" in page for name, weight in WEIGHTS.items())
    assert f"and {BIAS:g} are the logarithm" in page
