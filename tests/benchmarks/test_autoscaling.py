"""What the benchmark of autoscaling refuses, and what its plot shows. Looks are written here."""

from __future__ import annotations

import itertools
from xml.etree import ElementTree

import pytest
from autoscaling import faults
from autoscaling_plot import HEAD, HEIGHT, LEFT, WIDTH, Look, draw

LOOKS = [Look(0, 0, 0, 0), Look(10, 1, 0, 0), Look(20, 4, 3, 20), Look(40, 4, 0, 50), Look(50, 0, 0, 50)]


def test_from_nothing_to_several_and_back_is_what_is_wanted() -> None:
    assert faults(LOOKS) == []


@pytest.mark.parametrize(
    ("looks", "said"),
    [
        (LOOKS[1:], "There were 1 workers before the job; expected none."),
        (LOOKS[:-1], "4 workers and 0 engines are left; expected none."),
        ([*LOOKS[:2], *LOOKS[-1:]], "There were 1 workers at most; expected several."),
    ],
)
def test_a_cluster_that_did_not_begin_grow_or_end_so_is_refused(looks: list[Look], said: str) -> None:
    assert faults(looks) == [said]


def test_the_plot_steps_from_zero_to_the_top_and_back() -> None:
    drawn = ElementTree.fromstring(draw(LOOKS, ended=40))
    lines = {line.get("class"): line.get("points") for line in drawn.iter("{http://www.w3.org/2000/svg}polyline")}
    points = [tuple(map(float, point.split(","))) for point in lines["line workers"].split()]
    bottom, second = HEAD + HEIGHT, WIDTH / 50
    assert points[0] == (LEFT, bottom)
    assert points[-1] == (LEFT + WIDTH, bottom)
    assert (LEFT + 20 * second, HEAD) in points
    assert all(a[0] == b[0] or a[1] == b[1] for a, b in itertools.pairwise(points))
    assert lines["line shards"].split()[-1] == f"{LEFT + WIDTH:.1f},{2 * HEAD + HEIGHT:.1f}"
