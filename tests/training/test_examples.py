"""Examples: loss on the answer only, every example once per epoch whatever the number of workers."""

from __future__ import annotations

import pytest

from midb_ray.engines.encoding import PromptEncoder
from midb_ray.locales import load_locales
from midb_ray.pairs import Pair, Revision
from midb_ray.training import examples, model
from midb_ray.training.examples import IGNORED, Example
from midb_ray.training.settings import FreshModelSettings


@pytest.fixture(scope="module")
def revisions() -> list[Revision]:
    def revision(number: int, language: str) -> Revision:
        pair = Pair(f"f:{number}", None, f"s{number}", language, f"Frage {number}?", "", f"alt {number}")
        return Revision(pair, f"Frage {number}?", "", f"neu und besser {number}")

    return [revision(number, language) for language in ("de", "fr") for number in range(10)]


@pytest.fixture(scope="module")
def encoder(revisions: list[Revision]) -> PromptEncoder:
    rendered = examples.texts(revisions, load_locales(), "locale")
    texts = (text for pair in rendered for text in pair)
    return PromptEncoder(model.fresh_tokenizer(texts, FreshModelSettings(vocabulary=400)))


def test_labels_stand_on_the_answer_and_its_end_token_only(revisions: list[Revision], encoder: PromptEncoder) -> None:
    rendered = examples.texts(revisions, load_locales(), "locale")
    encoded = examples.encode(encoder, rendered, 4096)
    batch = examples.collate(encoded[:3], 1)
    for row, (_, answer) in enumerate(rendered[:3]):
        labelled = batch.labels[row][batch.labels[row] != IGNORED].tolist()
        assert encoder.decode(labelled[:-1]) == answer
        assert labelled[-1] == encoder.end
    assert batch.labels[:, : -batch.kept + 1].eq(IGNORED).all()


def test_longer_examples_are_left_out(revisions: list[Revision], encoder: PromptEncoder) -> None:
    rendered = examples.texts(revisions, load_locales(), "locale")
    longest = max(len(example.ids) for example in examples.encode(encoder, rendered, 4096))
    assert len(examples.encode(encoder, rendered, longest)) == 20
    assert len(examples.encode(encoder, rendered, longest - 1)) < 20
    assert examples.encode(encoder, rendered, 5) == []


def test_unchanged_examples_repeat_the_revised_pair(revisions: list[Revision]) -> None:
    rendered = examples.texts(revisions, load_locales(), "plain", unchanged_share=0.5)
    added = rendered[20:]
    assert len(added) == 10
    assert all(prompt.endswith(answer) for prompt, answer in added)


@pytest.mark.parametrize("workers", [1, 2, 4])
@pytest.mark.parametrize("count", [16, 19])
def test_together_the_workers_see_each_example_once_per_epoch(workers: int, count: int) -> None:
    made = [Example([5] * (3 + number) + [number + 10], 2) for number in range(count)]
    steps = -(-count // 4)
    seen = []
    for rank in range(workers):
        for batch in examples.batches(made, 4, seed=3, steps=steps, rank=rank, workers=workers):
            seen += [row[row != IGNORED].tolist()[-1] for row in batch.labels if (row != IGNORED).any()]
    assert sorted(seen) == [number + 10 for number in range(count)]


def test_the_order_follows_the_seed_and_changes_with_the_epoch() -> None:
    made = [Example([5] * (3 + number % 7), 2) for number in range(64)]
    assert examples.order(made, 4, 1, 0) == examples.order(made, 4, 1, 0)
    assert examples.order(made, 4, 1, 0) != examples.order(made, 4, 1, 1)
    assert examples.order(made, 4, 1, 0) != examples.order(made, 4, 2, 0)
