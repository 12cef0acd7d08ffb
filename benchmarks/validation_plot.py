"""Draw the validation loss of each language of a training run.

    python benchmarks/validation_plot.py RUN_FOLDER FILE.svg

One small chart for each language, all to the same scale, with the first and the last value and a dot at the lowest.
"""

from __future__ import annotations

import html
import json
import sys
from pathlib import Path

ACROSS, WIDTH, HEIGHT, MARGIN = 5, 150, 105, 14
HEAD, LEFT = 22, 30  # above a chart, for its title; left of the grid, for the numbers of the scale
STYLE = """text { font: 10px sans-serif; fill: #57606a } .name { font-weight: bold; fill: #24292f }
.frame { fill: none; stroke: #d0d7de } .line { fill: none; stroke: #0969da; stroke-width: 1.5 } .lowest { fill: #0969da }
svg { background: #fff }"""

Points = list[tuple[int, float]]


def read(run: Path) -> dict[str, Points]:
    """Steps and losses of each language, from metrics.jsonl. Raises SystemExit without any."""
    found: dict[str, Points] = {}
    for line in (run / "metrics.jsonl").read_text(encoding="utf-8").splitlines():
        entry = json.loads(line)
        for language, loss in entry.get("validation", {}).items():
            found.setdefault(language, []).append((int(entry["step"]), float(loss)))
    if not found:
        raise SystemExit(
            f"{run} has no validation losses; expected the run folder of a training with a validation set."
        )
    return dict(sorted(found.items()))


def draw(losses: dict[str, Points]) -> str:
    """The SVG."""
    every = [point for points in losses.values() for point in points]
    steps = max(step for step, _ in every)
    low, high = min(loss for _, loss in every), max(loss for _, loss in every)
    rows = -(-len(losses) // ACROSS)
    wide, tall = LEFT + ACROSS * (WIDTH + MARGIN), rows * (HEAD + HEIGHT + MARGIN) + MARGIN
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {wide} {tall}" width="{wide}" height="{tall}">',
        f"<title>Validation loss per answer token by language, {steps} steps</title><style>{STYLE}</style>",
    ]
    for number, (language, points) in enumerate(losses.items()):
        left = LEFT + number % ACROSS * (WIDTH + MARGIN)
        top = HEAD + number // ACROSS * (HEAD + HEIGHT + MARGIN)
        placed = [
            (left + WIDTH * step / steps, top + HEIGHT * (high - loss) / ((high - low) or 1)) for step, loss in points
        ]
        lowest = placed[min(range(len(points)), key=lambda place: points[place][1])]
        path = " ".join(f"{x:.1f},{y:.1f}" for x, y in placed)
        parts += [
            f'<text class="name" x="{left}" y="{top - 6}">{html.escape(language)}</text>',
            f'<text x="{left + WIDTH}" y="{top - 6}" text-anchor="end">{points[0][1]:.2f} → {points[-1][1]:.2f}</text>',
            f'<rect class="frame" x="{left}" y="{top}" width="{WIDTH}" height="{HEIGHT}"/>',
            f'<polyline class="line" points="{path}"/>',
            f'<circle class="lowest" cx="{lowest[0]:.1f}" cy="{lowest[1]:.1f}" r="2.5"/>',
        ]
        if number % ACROSS == 0:
            parts += [
                f'<text x="{left - 4}" y="{top + 8}" text-anchor="end">{high:.1f}</text>',
                f'<text x="{left - 4}" y="{top + HEIGHT}" text-anchor="end">{low:.1f}</text>',
            ]
    return "\n".join([*parts, "</svg>", ""])


def main(run: str, target: str) -> None:
    Path(target).write_text(draw(read(Path(run))), encoding="utf-8")


if __name__ == "__main__":
    main(*sys.argv[1:])
