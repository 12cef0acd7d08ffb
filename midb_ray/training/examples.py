"""From revisions to token ids and batches. The loss is on the answer only (MIDB, CoachLM: log P(revised | raw))."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, NamedTuple

from midb_ray import prompts
from midb_ray.engines.encoding import PromptEncoder
from midb_ray.locales import Locales
from midb_ray.pairs import Revision, Text

if TYPE_CHECKING:
    import torch

IGNORED = -100  # the label of tokens without loss
_WINDOW = 8  # batches within which examples are sorted by length


class Example(NamedTuple):
    """Token ids of prompt and answer; the answer begins at `answer`."""

    ids: list[int]
    answer: int


class Batch(NamedTuple):
    """One worker's part of a step: `ids` and `labels` are (examples, tokens), padded on the right; `kept` is how many of the
    last positions have labels; `answer_tokens` counts the labels of the whole step, over all workers."""

    ids: torch.Tensor
    labels: torch.Tensor
    kept: int
    answer_tokens: int


def texts(
    revisions: Sequence[Revision],
    locales: Locales,
    template: prompts.Template,
    unchanged_share: float = 0.0,
    seed: int = 0,
) -> list[tuple[str, str]]:
    """Prompt and answer of every revision, and of a share of the revised pairs with nothing to change."""
    found = [(_raw(revision), _revised(revision), revision.pair.language) for revision in revisions]
    chosen = random.Random(seed).sample(range(len(revisions)), round(unchanged_share * len(revisions)))
    for index in sorted(chosen):
        revised = _revised(revisions[index])
        found.append((revised, revised, revisions[index].pair.language))
    return [
        (prompts.prompt(template, locales.resolve(language), raw), prompts.serialise(revised))
        for raw, revised, language in found
    ]


def _raw(revision: Revision) -> Text:
    return Text(revision.pair.instruction, revision.pair.input, revision.pair.response)


def _revised(revision: Revision) -> Text:
    return Text(revision.instruction, revision.input, revision.response)


def encode(encoder: PromptEncoder, rendered: Sequence[tuple[str, str]], max_tokens: int) -> list[Example]:
    """Token ids of all examples that are not longer than `max_tokens`."""
    found = []
    for prompt, answer in rendered:
        front = encoder.prompt(prompt)
        example = Example([*front, *encoder.answer(answer)], len(front))
        if len(example.ids) <= max_tokens:
            found.append(example)
    return found


def order(examples: Sequence[Example], batch_size: int, seed: int, epoch: int) -> list[list[int]]:
    """The steps of an epoch as indices of examples: shuffled, and of similar length within a step."""
    chance = random.Random(f"{seed}/{epoch}")
    indices = list(range(len(examples)))
    chance.shuffle(indices)
    steps = []
    for start in range(0, len(indices), batch_size * _WINDOW):
        window = sorted(indices[start : start + batch_size * _WINDOW], key=lambda index: len(examples[index].ids))
        steps += [window[first : first + batch_size] for first in range(0, len(window), batch_size)]
    chance.shuffle(steps)
    return steps


def batches(
    examples: Sequence[Example], batch_size: int, seed: int, steps: int, rank: int = 0, workers: int = 1
) -> Iterator[Batch]:
    """`steps` batches for one of the workers, epoch after epoch; together the workers see each example once per epoch."""
    done, epoch = 0, 0
    while True:
        for chosen in order(examples, batch_size, seed, epoch):
            if done == steps:
                return
            done += 1
            tokens = sum(len(examples[index].ids) - examples[index].answer for index in chosen)
            mine = [examples[index] for index in chosen[rank::workers]]
            yield collate(mine, tokens) if mine else collate([examples[chosen[0]]], tokens, empty=True)
        epoch += 1


def collate(examples: Sequence[Example], answer_tokens: int, empty: bool = False) -> Batch:
    """Pad examples to one length. An `empty` batch keeps a worker in step that has no example of its own: it has no labels."""
    import torch

    longest = max(len(example.ids) for example in examples)
    first = min(example.answer for example in examples)
    ids = torch.zeros((len(examples), longest), dtype=torch.long)
    labels = torch.full((len(examples), longest), IGNORED, dtype=torch.long)
    for row, example in enumerate(examples):
        ids[row, : len(example.ids)] = torch.tensor(example.ids)
        if not empty:
            labels[row, example.answer : len(example.ids)] = torch.tensor(example.ids[example.answer :])
    return Batch(ids, labels, longest - first + 1, answer_tokens)
