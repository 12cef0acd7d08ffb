"""Language identification on benchmark prompts in 16 languages, with the limits that scoring uses."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import NamedTuple

from midb_ray.locales import load_locales
from midb_ray.quality.translation import FEW_LETTERS, SURE
from midb_ray.signals.language import Identifier


class Identified(NamedTuple):
    """Prompts of one language, those named right by group and by language itself, those left open, and wrong names."""

    prompts: int
    group: int
    itself: int
    left_open: int
    wrong: Counter[str]


def identified(folder: Path) -> dict[str, Identified]:
    """What is said of the prompts in each file of `folder`, by language. A prompt is the first text of its row: keys vary."""
    locales = load_locales()
    identifier = Identifier(locales, FEW_LETTERS, SURE)
    told = {}
    for path in sorted(folder.glob("*.json")):
        language = locales.resolve(path.stem).language
        prompts = [
            next(one for one in row.values() if isinstance(one, str)) for row in json.loads(path.read_text("utf-8"))
        ]
        names = Counter(identifier.identify(prompt) or "" for prompt in prompts)
        group = identifier.group(language)
        right = sum(count for name, count in names.items() if name and identifier.group(name) == group)
        wrong = Counter({name: count for name, count in names.items() if name and identifier.group(name) != group})
        told[language] = Identified(len(prompts), right, names[language], names[""], wrong)
    return told


def report(told: dict[str, Identified]) -> None:
    """Print accuracy by language and its mean; a prompt that is left open counts as not identified."""
    print(f"languages of prompts of at least {FEW_LETTERS} letters")
    for language, one in told.items():
        apart = f", by itself {one.itself / one.prompts:.3f}" if one.itself != one.group else ""
        wrong = ", ".join(f"{name} {count}" for name, count in one.wrong.most_common(3))
        print(f"  {language} {one.group / one.prompts:.4f} of {one.prompts}, left open {one.left_open}{apart}  {wrong}")
    shares = {language: one.group / one.prompts for language, one in told.items()}
    worst = min(shares, key=lambda language: shares[language])
    print(f"  macro {sum(shares.values()) / len(shares):.4f} (aim 0.995), worst {worst} {shares[worst]:.4f} (aim 0.98)")
