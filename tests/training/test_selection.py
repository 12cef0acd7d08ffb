"""Choosing among revisions: the largest changes of each language, a split that no source crosses, and the same choice whatever
the order in which the rows come."""

from __future__ import annotations

import random
from collections import Counter
from typing import Any

import pyarrow as pa
import pytest
import xxhash
from hypothesis import given, settings
from hypothesis import strategies as st

from midb_ray.errors import UserError
from midb_ray.training.revisions import CANDIDATE_SCHEMA
from midb_ray.training.selection import Chosen, Selection, select
from midb_ray.training.selection_settings import SelectionSettings

LOOSE = {"minimum": 0, "validation": 0.2, "share": 1.0}
Row = tuple[str, int, int, int | None]
"""Language, distance, what it says, source."""


def hashed(*values: object) -> int:
    return xxhash.xxh3_64_intdigest(repr(values).encode())


def candidates(rows: list[Row]) -> pa.Table:
    """Rows whose names are their places in `rows`."""
    columns = zip(*rows, strict=True) if rows else ((), (), (), ())
    languages, distances, says, sources = map(list, columns)
    contents = [hashed(language, one) for language, one in zip(languages, says, strict=True)]
    return pa.table(
        {
            "shard": [0] * len(rows),
            "index": list(range(len(rows))),
            "language": languages,
            "distance": distances,
            "content": contents,
            "name": [hashed("name", *row, index) for index, row in enumerate(rows)],
            "source": [
                content if source is None else hashed("source", source)
                for content, source in zip(contents, sources, strict=True)
            ],
            "has_source": [source is not None for source in sources],
        },
        schema=CANDIDATE_SCHEMA,
    )


def choose(table: pa.Table, seed: int = 0, **changes: Any) -> Selection:
    return select(table, SelectionSettings.model_validate({**LOOSE, **changes}), seed)


def said(table: pa.Table, chosen: Chosen) -> list[tuple[object, ...]]:
    """A set as what its rows say: their content, copy and whether they are unchanged."""
    contents = table.column("content").to_numpy()[chosen.candidates].tolist()
    return list(zip(contents, chosen.copies.tolist(), chosen.unchanged.tolist(), strict=True))


def count(table: pa.Table, chosen: Chosen) -> Counter[str]:
    return Counter(table.column("language").take(chosen.candidates).to_pylist())


LANGUAGES = st.sampled_from(["de", "en", "fr-CA", "ja"])
ROW = st.tuples(LANGUAGES, st.integers(0, 30), st.none() | st.integers(0, 12))
ROWS = st.lists(ROW.map(lambda row: (row[0], row[1] % 6, *row[1:])), min_size=1, max_size=60)  # what is equal is as far
CHANGES = st.fixed_dictionaries(
    {
        "share": st.floats(0.05, 1),
        "validation": st.floats(0, 0.6),
        "temperature": st.sampled_from([1.0, 1.7, 5.0, 100.0]),
        "unchanged_share": st.floats(0, 1),
    }
)


def or_none(table: pa.Table, seed: int, changes: dict[str, Any]) -> Selection | None:
    try:
        return choose(table, seed, **changes)
    except UserError:
        return None


@settings(max_examples=150)
@given(rows=ROWS, changes=CHANGES, seed=st.integers(0, 2**32 - 1), chance=st.randoms(use_true_random=False))
def test_the_choice_does_not_depend_on_the_order_of_the_rows(rows, changes, seed, chance) -> None:
    table = candidates(rows)
    order = list(range(len(rows)))
    chance.shuffle(order)
    shuffled = table.take(order)
    first, second = or_none(table, seed, changes), or_none(shuffled, seed, changes)
    assert (first is None) == (second is None)
    if first is not None and second is not None:
        assert said(table, first.train) == said(shuffled, second.train)
        assert said(table, first.validation) == said(shuffled, second.validation)


@pytest.mark.parametrize("seed", range(5))
def test_nor_does_it_with_many_rows_repeated_and_left_out(seed: int) -> None:
    chance = random.Random(seed)
    sizes = {"de": 200, "en": 80, "fr": 30, "ja": 5}
    rows = [(language, 1 + says % 4, says, says // 3) for language, size in sizes.items() for says in range(size)]
    rows += chance.choices(rows, k=50)
    table = candidates(rows)
    shuffled = table.take(chance.sample(range(len(rows)), len(rows)))
    changes = {"temperature": 4, "unchanged_share": 0.3, "share": 0.8}
    first, second = choose(table, seed, **changes), choose(shuffled, seed, **changes)
    assert said(table, first.train) == said(shuffled, second.train)
    assert said(table, first.validation) == said(shuffled, second.validation)
    assert len({*first.train.candidates.tolist()}) < (first.selected.sum() - len(first.validation.candidates))
    assert first.train.copies.max() > 1


@settings(max_examples=150)
@given(rows=ROWS, changes=CHANGES, seed=st.integers(0, 2**32 - 1))
def test_no_source_and_no_text_is_on_both_sides(rows, changes, seed) -> None:
    table = candidates(rows)
    found = or_none(table, seed, changes)
    if found is None:
        return
    for key in ("source", "content"):
        values = table.column(key).to_numpy()
        assert not {*values[found.train.candidates]} & {*values[found.validation.candidates]}
    # A repeated row's source goes where the row that stands for it goes.
    sources, contents = table.column("source").to_numpy(), table.column("content").to_numpy()
    validated = {*sources[found.validation.candidates]}
    for row in found.train.candidates:
        same = (contents == contents[row]) & (table.column("distance").to_numpy() > 0)
        assert not {*sources[same]} & validated


@settings(max_examples=150)
@given(rows=ROWS, changes=CHANGES, seed=st.integers(0, 2**32 - 1))
def test_every_row_is_accounted_for_and_every_copy_is_one_of_its_own(rows, changes, seed) -> None:
    table = candidates(rows)
    found = or_none(table, seed, changes)
    if found is None:
        return
    assert not (found.identical & found.repeated).any()
    assert not (found.selected & (found.identical | found.repeated)).any()
    validation = found.validation
    assert (validation.copies == 1).all()
    assert not validation.unchanged.any()
    triples = said(table, found.train)
    assert len({*triples}) == len(triples)
    revised = ~found.train.unchanged
    assert found.selected[found.train.candidates].all()
    assert revised.sum() + len(validation.candidates) == found.selected.sum()  # temperature keeps the total
    plain = choose(table, seed, **{**changes, "temperature": 1.0, "unchanged_share": 0.0})
    tempered = count(table, Chosen(*(column[revised] for column in found.train)))
    assert min(tempered.values()) >= min(count(table, plain.train).values())
    assert tempered.keys() == count(table, plain.train).keys()


def test_the_largest_changes_of_each_language_are_selected() -> None:
    rows = [("de", edits, edits, edits) for edits in range(1, 11)]
    rows += [("ja", edits, edits, edits) for edits in range(1, 5)]  # short texts: their distances are small
    table = candidates(rows)
    found = choose(table, share=0.5, validation=0)
    chosen = {(rows[row][0], rows[row][1]) for row in found.train.candidates}
    assert chosen == {("de", edits) for edits in range(6, 11)} | {("ja", 3), ("ja", 4)}
    by_number = choose(table, share=0.1, count=3, validation=0)
    assert count(table, by_number.train) == {"de": 3, "ja": 3}


def test_equal_distances_are_told_apart_by_the_seed() -> None:
    table = candidates([("de", 5, says, says) for says in range(40)])
    sets = [{*said(table, choose(table, seed, share=0.25, validation=0).train)} for seed in (1, 1, 2)]
    assert sets[0] == sets[1] != sets[2]
    assert len(sets[0]) == 10


def test_identical_and_repeated_rows_are_dropped_and_known() -> None:
    rows = [("de", 0, 1, 1), ("de", 4, 2, None), ("de", 4, 2, 7), ("fr", 4, 2, 7), ("de", 4, 3, 8)]
    found = choose(candidates(rows), validation=0)
    assert found.identical.tolist() == [True, False, False, False, False]
    assert found.repeated.tolist() == [False, True, False, False, False]


def test_of_equal_rows_one_with_a_source_stays() -> None:
    rows = [("de", 4, says, source) for says in range(20) for source in (None, says, None)]
    found = choose(candidates(rows), validation=0)
    assert {rows[row][3] for row in found.train.candidates} == {*range(20)}


def test_all_translations_of_a_validation_source_are_kept_back() -> None:
    rows = [(language, 3, source, source) for source in range(40) for language in ("de", "fr", "ja")]
    found = choose(candidates(rows), validation=0.1)
    sources = [rows[row][3] for row in found.validation.candidates]
    assert sorted(Counter(sources).values()) == [3] * 4
    assert not {*sources} & {rows[row][3] for row in found.train.candidates}


def test_sources_that_share_a_row_stay_together() -> None:
    # de 1 stands for both sources; the French rows are translations of the same text all the same.
    rows = [("de", 3, 1, 1), ("de", 3, 1, 2), ("fr", 3, 2, 1), ("fr", 3, 3, 2), ("de", 3, 9, 9), ("fr", 3, 8, 9)]
    for seed in range(20):
        found = choose(candidates(rows), seed, validation=0.5)
        assert sorted(found.validation.candidates.tolist()) in ([0, 2, 3], [1, 2, 3], [4, 5])


@pytest.mark.parametrize(
    ("sources", "share", "kept"), [(2, 0.01, 1), (1, 0.5, 0), (10, 0, 0), (10, 0.25, 2), (7, 0.5, 4)]
)
def test_how_many_sources_are_kept_for_validation(sources: int, share: float, kept: int) -> None:
    found = choose(candidates([("de", 3, source, source) for source in range(sources)]), validation=share)
    assert len(found.validation.candidates) == kept


def test_temperature_evens_out_by_known_numbers() -> None:
    rows = [("de", 3, source, source) for source in range(90)] + [("fr", 3, source, source) for source in range(10)]
    table = candidates(rows)
    assert count(table, choose(table, validation=0, temperature=1).train) == {"de": 90, "fr": 10}
    found = choose(table, validation=0, temperature=2)  # roots: 9.49 to 3.16, three to one
    assert count(table, found.train) == {"de": 75, "fr": 25}
    french = [row for row in found.train.candidates if rows[row][0] == "fr"]
    assert {*Counter(french).values()} == {2, 3}
    kept = choose(table, validation=0.2, temperature=100)
    assert said(table, kept.validation) == said(table, choose(table, validation=0.2, temperature=1).validation)


def test_unchanged_examples_are_a_share_of_each_languages_training_rows() -> None:
    rows = [(language, 3, source, source) for source in range(50) for language in ("de", "fr")]
    table = candidates(rows)
    found = choose(table, validation=0.2, unchanged_share=0.25)
    train = count(table, Chosen(*(column[~found.train.unchanged] for column in found.train)))
    unchanged = count(table, Chosen(*(column[found.train.unchanged] for column in found.train)))
    assert train == {"de": 40, "fr": 40}
    assert unchanged == {"de": 10, "fr": 10}
    assert not found.validation.unchanged.any()


def test_sets_are_ordered_by_source_so_that_a_beginning_has_all_languages() -> None:
    rows = [(language, 3, source, source) for language in ("de", "fr", "ja") for source in range(30)]
    found = choose(candidates(rows), validation=0.2)
    for chosen in (found.train, found.validation):
        first = [rows[row] for row in chosen.candidates[:6]]
        assert [row[0] for row in first] == ["de", "fr", "ja"] * 2
        assert len({row[3] for row in first}) == 2


def test_nothing_left_says_what_was_dropped_and_why() -> None:
    table = candidates([("de", 0, says, says) for says in range(3)])
    wanted = r"^No revisions are left: of 6 rows read, 3 are unusable \(1 bad, 2 worse\) and in 3 the revised pair is the raw"
    with pytest.raises(UserError, match=wanted):
        select(table, SelectionSettings(), 0, {"worse": 2, "bad": 1})
    with pytest.raises(UserError, match="of 0 rows read, 0 are unusable and"):
        select(candidates([]), SelectionSettings(), 0)


def test_a_validation_that_takes_everything_is_refused() -> None:
    table = candidates([("de", 3, 1, 1), ("de", 3, 2, 2)])
    with pytest.raises(
        UserError, match=r"all 2 selected ones come from the sources that selection\.validation \(0\.9\)"
    ):
        choose(table, validation=0.9)


def test_a_language_below_the_minimum_is_named_with_numbers() -> None:
    rows = [("de", 3, source, source) for source in range(100)] + [
        ("fr", 3, 1, 200),
        ("fr", 0, 2, 201),
        ("ja", 0, 3, 202),
    ]
    table = candidates(rows)
    told = r"^Language 'fr' has 1 training rows \(and 1 more languages\), expected at least 5 \(selection\.minimum\): of its 2 "
    with pytest.raises(UserError, match=told + "revisions 1 are changed and not repeated, and 0 of those selected"):
        choose(table, minimum=5, validation=0)
    with pytest.raises(UserError, match="Language 'ja' has 0 training rows, expected at least 1"):
        choose(table, minimum=1, validation=0)
    assert count(table, choose(table, minimum=0, validation=0).train) == {"de": 100, "fr": 1}
