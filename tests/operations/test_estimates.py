"""Totals from two samples, by hand and over many draws."""

from __future__ import annotations

import math

import numpy as np
import pytest

from midb_ray.operations.estimates import Estimate, Sample, Strata, ratio


def sample(languages: list[str], characters: list[float], units: list[int] | None = None) -> Sample:
    places = np.zeros(len(languages), int) if units is None else np.array(units)
    return Sample(np.array(languages, dtype=object), np.array(characters, dtype=float), places)


def test_a_total_is_the_ratio_of_the_language_times_its_characters() -> None:
    seen = sample(["de", "de", "fr"], [10, 30, 100])
    pilot = sample(["de", "fr", "fr"], [20, 50, 150])
    strata = Strata(seen, np.array([3.0]), pilot, 1.0, 1.0)
    taken = np.array([10.0, 100.0, 100.0])  # half a token for a character in German, one in French
    assert strata.amount(taken, "de").value == pytest.approx(20)
    assert strata.amount(taken, "fr").value == pytest.approx(100)
    assert strata.amount(taken).value == pytest.approx(120)
    assert strata.pairs("de") == Estimate(2, 0)


def test_the_error_is_that_of_the_residuals() -> None:
    seen, pilot = sample(["de"], [100]), sample(["de"] * 16, [10] * 16)
    found = Strata(seen, np.array([1.0]), pilot, 1.0, 1.0).amount(np.array([4.0, 6.0] * 8))
    corrected = math.sqrt(16 / 15) * (1 + (1.6449**2 + 1) / 60)  # of sixteen, with the tails of Student's distribution
    assert found == Estimate(pytest.approx(50), pytest.approx(100 / 160 * math.sqrt(16) * corrected))


def test_the_error_of_a_regression_knows_how_far_a_pair_pulls_it() -> None:
    seen, pilot = sample(["de"], [100]), sample(["de", "de"], [10, 10])
    found = Strata(seen, np.array([1.0]), pilot, 1.0, 1.0).amount(np.array([4.0, 6.0]))
    assert found == Estimate(pytest.approx(50), pytest.approx(100 / 20 * math.sqrt(1 + 1) / (1 - 0.5)))


def test_a_few_short_pairs_of_a_language_do_not_speak_for_its_long_ones() -> None:
    """Each prompt has a frame of 100 tokens beside its pair; two short pairs alone would make ten tokens of each character."""
    seen = sample(["fr"] * 100, [float(10 * place) for place in range(1, 101)])
    lengths = np.array([float(25 * place) for place in range(1, 41)] + [10.0, 12.0])
    rate = np.array([1 / 4] * 40 + [1 / 2] * 2)
    strata = Strata(seen, np.array([100.0]), sample(["de"] * 40 + ["fr"] * 2, list(lengths)), 1.0, 1.0)
    assert strata.amount(100 + lengths * rate).value == pytest.approx(100 * 100 + seen.characters.sum() / 2)


def test_what_repeats_takes_nothing_and_what_is_skipped_takes_its_share() -> None:
    seen, pilot = sample(["de"] * 4, [10] * 4), sample(["de"] * 2, [10] * 2)
    strata = Strata(seen, np.array([4.0]), pilot, 10.0, 0.1)
    taken = np.array([8.0, 0.0])  # the second was skipped
    assert strata.amount(taken).value == pytest.approx(10 * 4 * 4)
    assert strata.amount(taken, without=np.array([False, True, False, False])).value == pytest.approx(10 * 3 * 4)
    assert strata.count(np.array([False, True])).value == pytest.approx(20)
    assert strata.seen_count(np.array([False, True, False, False])).value == pytest.approx(10)


def test_long_pairs_are_estimated_from_long_ones() -> None:
    """Tokens for a character that depend on length, and a pilot of short pairs mostly: lengths are allowed for."""
    seen = sample(["de"] * 30, [10.0] * 10 + [100.0] * 10 + [1000.0] * 10)
    lengths = [10.0] * 60 + [100.0] * 20 + [1000.0] * 15
    taken = np.array([length * (2 if length < 50 else 1 if length < 500 else 0.5) for length in lengths])
    found = Strata(seen, np.array([30.0]), sample(["de"] * 95, lengths), 1.0, 1.0).amount(taken)
    assert found == Estimate(pytest.approx(200 + 1000 + 5000), pytest.approx(0))


def test_few_pairs_of_a_language_are_spoken_for_by_a_line() -> None:
    """Each prompt has a frame of 40 tokens beside its pair: known exactly from six pairs, too few for classes of length."""
    seen = sample(["de"] * 40, [float(10 + place**2) for place in range(40)])
    lengths = np.array([20.0, 50, 90, 200, 400, 700])
    strata = Strata(seen, np.array([40.0]), sample(["de"] * 6, list(lengths)), 2.0, 1.0)
    expected = 2 * (40 * 40 + seen.characters.sum() / 4)
    assert strata.amount(40 + lengths / 4) == Estimate(pytest.approx(expected), pytest.approx(0, abs=1e-6))
    half = np.arange(40) >= 20
    kept = 2 * (20 * 40 + seen.characters[:20].sum() / 4)
    assert strata.amount(40 + lengths / 4, without=half).value == pytest.approx(kept)


def test_a_language_without_a_pilot_borrows_and_says_so() -> None:
    seen, pilot = sample(["de", "fr"], [10, 100]), sample(["de"] * 6, [10] * 6)
    strata = Strata(seen, np.array([2.0]), pilot, 1.0, 1.0)
    assert strata.borrowed == ["fr"]
    assert strata.amount(np.full(6, 5.0), "fr").value == pytest.approx(50)


def test_neighbours_that_are_alike_leave_a_small_error() -> None:
    """Half of the shards were looked at, of two files in two languages: how many pairs of each there are is known well."""
    units = [unit for unit in range(20) for _ in range(10)]
    seen = sample(["de" if unit < 10 else "fr" for unit in units], [10.0] * 200, units)
    strata = Strata(seen, np.full(20, 10.0), sample(["de", "fr"], [10, 10]), 2.0, 0.5)
    found = strata.pairs("de")
    assert found.value == 200
    assert found.error == pytest.approx(2 * math.sqrt(0.5 * 20 / 38 * 100))  # one step, of ten pairs


def test_intervals_cover_as_often_as_they_say() -> None:
    """A corpus of skewed lengths, tokens that differ from pair to pair; pilots of 2 %, drawn singly, and looks of a quarter."""
    random = np.random.default_rng(7)
    size, covered, off = 20_000, 0, []
    languages = np.array(["de", "fr", "ja", "ar"], dtype=object)[random.integers(4, size=size)]
    characters = np.ceil(random.lognormal(5.5, 0.9, size))
    rate = np.select([languages == "de", languages == "fr", languages == "ja"], [0.3, 0.25, 0.8], 0.5)
    tokens = np.ceil(rate * characters * random.lognormal(0, 0.4, size)) + 60
    for draw in range(100):
        mine = np.flatnonzero(np.random.default_rng(draw).random(size) < 0.02)
        first = draw % 4
        shards = [np.arange(place * 100, place * 100 + 100) for place in range(first, 200, 4)]
        looked = np.concatenate(shards)
        seen = Sample(languages[looked], characters[looked], np.repeat(np.arange(50), 100))
        pilot = Sample(languages[mine], characters[mine], mine // 256)
        found = Strata(seen, np.full(50, 100.0), pilot, 4.0, 0.25).amount(tokens[mine])
        covered += found.low <= tokens.sum() <= found.high
        off.append(abs(found.value / tokens.sum() - 1))
    assert 84 <= covered <= 100
    assert max(off) < 0.1


def test_a_ratio_weighs_its_parts() -> None:
    assert ratio(np.array([1.0, 5.0]), np.array([1.0, 2.0])).value == 2.0
    assert ratio(np.zeros(2), np.zeros(2)) == Estimate(0.0)


def test_products_carry_both_errors() -> None:
    assert Estimate(10, 3).by(Estimate(2, 0.4)) == Estimate(20, pytest.approx(math.hypot(6, 4)))
    assert Estimate(1, 10).low == 0
