"""Steps: which examples they take follows from the seed alone, each once per epoch; micro-batches keep to their budget."""

from __future__ import annotations

import itertools
from collections import Counter

import hypothesis
import numpy as np
import pytest
from hypothesis import strategies

from midb_ray.training.batches import Schedule, pack, permutation

LENGTHS = np.random.default_rng(0).integers(5, 90, 101)
BATCHES = [(8, None), (1, 700), (1, 16), (200, None)]  # batch_size, batch_tokens


def all_taken(schedule: Schedule) -> list[int]:
    return [int(index) for step in range(schedule.steps) for index in schedule.indices(step)]


def test_the_order_of_examples_is_frozen() -> None:
    """A run that goes on with a later version must find the order that it began with."""
    assert permutation(12, 0, 0).tolist() == [3, 5, 7, 8, 9, 0, 10, 2, 4, 6, 11, 1]
    assert permutation(12, 0, 1).tolist() == [5, 6, 3, 10, 9, 1, 11, 0, 7, 2, 4, 8]
    assert permutation(12, 7, 0).tolist() == [5, 7, 8, 2, 9, 11, 3, 0, 10, 1, 4, 6]
    assert permutation(12, 2**32 - 1, 3).tolist() == [3, 0, 2, 9, 6, 10, 11, 5, 1, 7, 4, 8]
    assert permutation(100_000, 1, 2)[[0, 1, 2, 50_000, -1]].tolist() == [42654, 58927, 87155, 47347, 37605]


@pytest.mark.parametrize("count", [1, 2, 1000])
def test_the_order_is_a_permutation_of_the_seed_and_the_epoch(count: int) -> None:
    orders = [tuple(permutation(count, seed, epoch)) for seed in (0, 1, 2) for epoch in (0, 1, 2)]
    assert all(sorted(order) == list(range(count)) for order in orders)
    if count > 2:
        assert len(set(orders)) == len(orders)


def test_every_place_gets_every_example_about_as_often() -> None:
    found = np.array([permutation(10, seed, 0) for seed in range(4000)])
    for place in range(10):
        assert np.bincount(found[:, place], minlength=10).tolist() == pytest.approx([400] * 10, abs=100)


@pytest.mark.parametrize(("size", "tokens"), BATCHES)
@pytest.mark.parametrize("epochs", [1, 3])
def test_every_example_comes_exactly_once_per_epoch(size: int, tokens: int | None, epochs: int) -> None:
    schedule = Schedule(LENGTHS, epochs, size, tokens, seed=5)
    taken = all_taken(schedule)
    assert schedule.examples == len(taken) == epochs * 101
    for epoch in range(epochs):
        assert taken[101 * epoch : 101 * (epoch + 1)] == permutation(101, 5, epoch).tolist()


@pytest.mark.parametrize(("epochs", "examples"), [(0.5, 50), (2.25, 227), (0.001, 1)])
def test_a_part_of_an_epoch_is_a_part_of_its_order(epochs: float, examples: int) -> None:
    taken = all_taken(Schedule(LENGTHS, epochs, 8))
    assert len(taken) == examples
    assert max(Counter(taken).values()) == -(-examples // 101)


@pytest.mark.parametrize(("size", "tokens"), BATCHES)
def test_the_position_in_the_data_is_what_was_taken_before(size: int, tokens: int | None) -> None:
    schedule = Schedule(LENGTHS, 2.5, size, tokens, seed=1)
    taken = 0
    for step in range(schedule.steps):
        assert schedule.offset(step) == taken
        taken += len(schedule.indices(step))
    assert schedule.offset(schedule.steps) == taken == schedule.examples


def test_steps_may_be_asked_for_in_any_order() -> None:
    schedule = Schedule(LENGTHS, 4, 8, seed=1)
    before = [schedule.indices(step).tolist() for step in range(schedule.steps)]
    for step in (50, 3, 12, 0, 38, 13):
        assert schedule.indices(step).tolist() == before[step]


def test_a_step_by_size_has_so_many_examples_and_the_last_one_the_rest() -> None:
    schedule = Schedule(LENGTHS, 1, 8)
    assert [len(schedule.indices(step)) for step in range(schedule.steps)] == [8] * 12 + [5]


def test_a_step_by_tokens_ends_with_the_example_that_reaches_them() -> None:
    schedule = Schedule(np.array([10, 10, 10, 10, 10, 10, 10]), 1, 999, batch_tokens=25)
    assert [len(schedule.indices(step)) for step in range(schedule.steps)] == [3, 3, 1]
    exactly = Schedule(np.array([10] * 6), 1, 999, batch_tokens=20)
    assert [len(exactly.indices(step)) for step in range(exactly.steps)] == [2, 2, 2]
    schedule = Schedule(LENGTHS, 3, 1, batch_tokens=300)
    for step in range(schedule.steps - 1):
        lengths = LENGTHS[schedule.indices(step)]
        assert lengths.sum() >= 300 > lengths[:-1].sum()


@pytest.mark.parametrize(("size", "tokens"), BATCHES)
@pytest.mark.parametrize("together", [True, False])
def test_any_number_of_workers_takes_the_same_examples_in_each_step(
    size: int, tokens: int | None, together: bool
) -> None:
    schedule = Schedule(LENGTHS, 2, size, tokens, seed=3)
    for step in range(schedule.steps):
        chosen = schedule.indices(step)
        for workers in (1, 2, 3, 4, 5):
            packed = pack(LENGTHS[chosen].tolist(), 128, workers, together)
            places = [place for share in packed for one in share for place in one]
            assert sorted(places) == list(range(len(chosen)))


lists_of_lengths = strategies.lists(strategies.integers(1, 100), min_size=1, max_size=60)


@hypothesis.given(lists_of_lengths, strategies.integers(100, 400), strategies.integers(1, 5), strategies.booleans())
def test_workers_have_as_many_micro_batches_within_the_budget(
    lengths: list[int], budget: int, workers: int, together: bool
) -> None:
    packed = pack(lengths, budget, workers, together)
    assert len(packed) == workers
    assert len({len(share) for share in packed}) == 1
    micro_batches = list(itertools.chain(*packed))
    assert all(sum(lengths[place] for place in one) <= budget for one in micro_batches)
    assert sorted(itertools.chain(*micro_batches)) == list(range(len(lengths)))
    assert packed == pack(lengths, budget, workers, together)
    if not together:
        assert all(len(one) <= 1 for one in micro_batches)
        assert len(packed[0]) == -(-len(lengths) // workers)


@hypothesis.given(lists_of_lengths, strategies.integers(1, 5))
def test_no_worker_has_nothing_to_do_in_more_than_one_micro_batch(lengths: list[int], workers: int) -> None:
    empty = [sum(not one for one in share) for share in pack(lengths, 100, workers)]
    assert max(empty) <= 1


def test_there_are_as_few_micro_batches_as_the_tokens_need() -> None:
    assert [len(share) for share in pack([50] * 8, 100, 2)] == [2, 2]
    assert [len(share) for share in pack([50] * 9, 100, 2)] == [3, 3]
    assert pack([60, 60, 60], 100, 1) == [[[0], [1], [2]]]  # 180 tokens would do in 2, examples in 3


def test_tokens_are_spread_evenly() -> None:
    lengths = np.random.default_rng(1).integers(10, 90, 200).tolist()
    packed = pack(lengths, 1024, 4)
    loads = [[sum(lengths[place] for place in one) for one in share] for share in packed]
    for together in zip(*loads, strict=True):  # computed at the same time
        assert max(together) - min(together) < 90
    sums = [sum(load) for load in loads]
    assert max(sums) / min(sums) < 1.05


def test_workers_without_examples_have_empty_micro_batches() -> None:
    assert pack([7, 9], 100, 4, together=True) == [[[1]], [[0]], [[]], [[]]]
    assert pack([7, 9, 4], 100, 2, together=False) == [[[1], [2]], [[0], []]]
