"""What an autoscaling cluster did while a job ran on it, as an SVG: nodes and engines above, committed shards below."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

WIDTH, LEFT, MARGIN = 640, 34, 14
HEAD, HEIGHT, FOOT = 22, 105, 16  # of each chart: for its title, itself, for the numbers below the lower one
STYLE = """text { font: 10px sans-serif; fill: #57606a } .name { font-weight: bold; fill: #24292f }
.frame { fill: none; stroke: #d0d7de } .end { stroke: #57606a; stroke-dasharray: 3 3 } .line { fill: none; stroke-width: 1.5 }
.shards { stroke: #0969da } .workers { stroke: #54aeff; stroke-width: 4 } .actors { stroke: #bc4c00 }
tspan.workers { fill: #0969da; stroke: none } tspan.actors { fill: #bc4c00; stroke: none } svg { background: #fff }"""


class Look(NamedTuple):
    """Seconds since the job was started; what there is then."""

    seconds: float
    workers: int
    actors: int
    shards: int


def draw(looks: Sequence[Look], ended: float) -> str:
    """The SVG; `ended` is the second in which the job was through."""
    seconds = looks[-1].seconds
    wide, tall = LEFT + WIDTH + MARGIN, 2 * (HEAD + HEIGHT) + FOOT + MARGIN
    most = max(max(look.workers, look.actors) for look in looks)
    shards = looks[-1].shards
    below = 2 * HEAD + HEIGHT
    through = LEFT + WIDTH * ended / seconds

    def line(name: str, top: int, highest: int, value: Callable[[Look], int]) -> str:
        """As steps: nothing is known between two looks."""
        points: list[str] = []
        y = 0.0
        for look in looks:
            x, before = LEFT + WIDTH * look.seconds / seconds, y
            y = top + HEIGHT * (1 - value(look) / (highest or 1))
            points += [f"{x:.1f},{before:.1f}"] if points and y != before else []
            points += [f"{x:.1f},{y:.1f}"] if not points or y != before or look is looks[-1] else []
        return f'<polyline class="line {name}" points="{" ".join(points)}"/>'

    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {wide} {tall}" width="{wide}" height="{tall}">',
        f"<title>Worker nodes, engine actors and committed shards over {seconds:.0f} seconds</title><style>{STYLE}</style>",
        f'<text class="name" x="{LEFT}" y="{HEAD - 6}"><tspan class="workers">worker nodes</tspan> and '
        '<tspan class="actors">engine actors</tspan></text>',
        f'<text class="name" x="{LEFT}" y="{below - 6}">shards committed</text>',
        f'<text x="{through:.1f}" y="{HEAD - 6}" text-anchor="end">job through after {ended:.0f} s</text>',
        f'<line class="end" x1="{through:.1f}" x2="{through:.1f}" y1="{HEAD}" y2="{below + HEIGHT}"/>',
    ]
    for top, highest in ((HEAD, most), (below, shards)):
        parts += [
            f'<rect class="frame" x="{LEFT}" y="{top}" width="{WIDTH}" height="{HEIGHT}"/>',
            f'<text x="{LEFT - 4}" y="{top + 8}" text-anchor="end">{highest}</text>',
            f'<text x="{LEFT - 4}" y="{top + HEIGHT}" text-anchor="end">0</text>',
        ]
    parts += [  # over the frames; engines over nodes, which are as many most of the time
        line("workers", HEAD, most, lambda look: look.workers),
        line("actors", HEAD, most, lambda look: look.actors),
        line("shards", below, shards, lambda look: look.shards),
    ]
    step = next((step for step in (10, 20, 60, 120, 300) if seconds / step <= 12), 600)
    parts += [
        f'<text x="{LEFT + WIDTH * at / seconds:.1f}" y="{below + HEIGHT + 12}" text-anchor="middle">{at} s</text>'
        for at in range(0, int(seconds) + 1, step)
    ]
    return "\n".join([*parts, "</svg>", ""])
