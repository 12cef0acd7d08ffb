"""n-gram look-ups on expert revisions: how many tokens a step would bring if each revision were what the booster says.

    python benchmarks/lookups.py [--revisions PATH] [--per-language 60]

Replays vLLM's rule: where the last four tokens (else three, else two) have stood before, in the prompt or in what has been said,
the tokens behind their first place are proposed; those that agree are accepted, and the step brings one more. No engine runs, so
this is what a step is worth and not what it costs. Tokens are those of a vocabulary learnt from the revisions.
"""

from __future__ import annotations

import argparse
import random
import shutil
import tempfile
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import train_rows

from midb_ray.locales import load_locales
from midb_ray.training import prepare, training_set
from midb_ray.training.examples import Examples
from midb_ray.training.settings import TrainSettings

FEWEST, MOST = 2, 4  # tokens that must agree, as the vllm engine sets them
LOOKED_UP = (2, 4, 8)  # tokens proposed in a step


class Replay(NamedTuple):
    """Steps that an answer takes, and tokens that were proposed and accepted in them."""

    steps: int
    proposed: int
    accepted: int


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--revisions", help="expert revisions; none: the samples, made longer")
    parser.add_argument("--per-language", type=int, default=60, help="revisions of each language")
    arguments = parser.parse_args()
    scratch = Path(tempfile.mkdtemp(prefix="midb-bench-lookups-"))
    try:
        examples = encoded(scratch, arguments.revisions or train_rows.lengthened(scratch / "revisions"))
    finally:
        shutil.rmtree(scratch)
    by_language: dict[str, list[int]] = defaultdict(list)
    for index, language in enumerate(examples.column("language")):
        by_language[language].append(index)
    chance = random.Random(1)
    chosen = {
        language: chance.sample(indices, min(len(indices), arguments.per_language))
        for language, indices in sorted(by_language.items())
    }
    print(f"{sum(map(len, chosen.values()))} revisions in {len(chosen)} languages")
    for most in LOOKED_UP:
        told, tokens, total = [], 0, Replay(0, 0, 0)
        for language, indices in chosen.items():
            said, one = 0, Replay(0, 0, 0)
            for index in indices:
                ids, prompt = examples.ids(index).tolist(), int(examples.answers[index])
                said += len(ids) - prompt
                one = add(one, replay(ids[:prompt], ids[prompt:], most))
            told.append(f"{language} {said / one.steps:.2f}")
            tokens, total = tokens + said, add(total, one)
        print(
            f"{most} tokens looked up: {tokens / total.steps:.2f} tokens a step, "
            f"{total.proposed / total.steps:.2f} proposed in a step, "
            f"{total.accepted / max(total.proposed, 1):.0%} of them accepted ({', '.join(told)})"
        )


def replay(prompt: Sequence[int], answer: Sequence[int], most: int) -> Replay:
    """The steps in which `answer` would be said after `prompt`."""
    said = list(prompt)
    first: dict[tuple[int, ...], int] = {}  # where the tokens behind an n-gram begin, for its first place
    for end in range(1, len(said)):
        _note(first, said, end)
    steps = proposed = accepted = place = 0
    while place < len(answer):
        begin = next(
            (first[gram] for size in range(MOST, FEWEST - 1, -1) if (gram := tuple(said[-size:])) in first), None
        )
        guess = [] if begin is None else said[begin : begin + most]
        agreed = 0
        while agreed < len(guess) and place + agreed < len(answer) and guess[agreed] == answer[place + agreed]:
            agreed += 1
        steps, proposed, accepted = steps + 1, proposed + len(guess), accepted + agreed
        for token in answer[place : place + agreed + 1]:
            _note(first, said, len(said))
            said.append(token)
        place += agreed + 1
    return Replay(steps, proposed, accepted)


def _note(first: dict[tuple[int, ...], int], said: Sequence[int], end: int) -> None:
    for size in range(FEWEST, min(MOST, end) + 1):
        first.setdefault(tuple(said[end - size : end]), end)


def add(one: Replay, other: Replay) -> Replay:
    return Replay(*map(sum, zip(one, other, strict=True)))


def encoded(scratch: Path, revisions: str) -> Examples:
    """The revisions as the train job encodes them."""
    settings = TrainSettings.model_validate(
        {
            "revisions": [revisions],
            "output": str(scratch / "run"),
            "scratch": {"vocabulary": 16_384},
            "max_tokens": 8192,
            "selection": {"share": 1},
        }
    )
    locales, place = load_locales(None), settings.output
    training_set.make(
        settings.revisions, settings.selection, settings.seed, locales, f"{place}/{prepare.REVISIONS}", map
    )
    start = prepare.start_model(place, settings, locales)
    prepare.make(place, settings, locales, start, map)
    return Examples(str(Path(place) / prepare.EXAMPLES / "train.arrow"))


if __name__ == "__main__":
    main()
