"""What is known of each pair: worst turns, exclusions, duplicates and clusters that can be found again."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from midb_ray.curation import clusters, duplicates, keys, stretches, units
from midb_ray.curation.select_settings import SelectSettings
from midb_ray.runs import buckets
from midb_ray.signals import minhash
from tests.curation.select_runs import known, row, scored, table, text, turns, work

EXACT: dict[str, Any] = {"near_duplicates": None}


def pairs_found(
    tmp_path: Path, rows: list[dict[str, Any]], part_rows: int = 5, **settings: Any
) -> list[tuple[int, int]]:
    """The pairs of duplicates in all buckets, by unit, those within a stretch among them."""
    found, plan = work(tmp_path, [scored(tmp_path / "a", rows, part_rows)], **settings)
    for stretch in plan:
        units.examine(found, stretch)
    all_units = units.load(found, len(plan))
    pairs = {(int(first), place) for place, first in enumerate(all_units.same) if first != place}
    for bucket in range(found.number):
        told = buckets.read(found.keys, range(len(plan)), bucket)
        own, named = told.column("key").to_numpy(), told.column("unit").to_numpy()
        edges = duplicates.edges(own, named, keys.sketches(told), found.settings.near_duplicates or 1.0)
        pairs |= {(int(one), int(other)) for one, other in all_units.numbered(edges)}
    return sorted(pairs)


def test_a_conversation_is_one_unit_with_the_score_and_the_state_of_its_worst_turn(tmp_path: Path) -> None:
    talk = turns(1, [90, 40, 80])
    talk[2]["findings"] = row(1, kinds=["echo"])["findings"]
    rows = [row(1, score=70), *talk, *turns(2, [60, 65]), row(2, kinds=["echo", "refusal"]), row(3, overall=49)]
    found = known(tmp_path, [scored(tmp_path / "a", rows)], without=("echo",), at_least={"overall": 50})
    assert found.rows.tolist() == [1, 3, 2, 1, 1]
    assert found.score.tolist() == [70, 40, 60, 100, 49]
    assert found.state.tolist() == [units.PASSES, units.BELOW, units.PASSES, units.FOUND, units.BELOW]


def test_turns_follow_each_other_and_pairs_by_themselves_never_make_a_conversation() -> None:
    rows = [row(1), row(2), *turns(1, [1, 1]), *turns(2, [1]), row(3)]
    assert units.starts(table(rows)).tolist() == [0, 1, 2, 4, 5]
    assert units.starts(table(rows).drop_columns(["source_row"])).tolist() == list(range(6))
    assert units.starts(table([])).tolist() == []


@pytest.mark.parametrize(
    ("score", "lowest", "is_below"), [(70.1, 70.1, False), (70, 70.1, True), (float("nan"), 1, True)]
)
def test_a_score_is_held_against_its_threshold_in_its_own_precision(
    score: float, lowest: float, is_below: bool
) -> None:
    settings = SelectSettings(input=("a",), output="b", at_least={"content": lowest})
    assert units.below(table([row(1, content=score)]), settings, "content").tolist() == [is_below]


def test_findings_are_found_by_kind_in_rows_with_many_and_with_none() -> None:
    rows = table([row(1), row(2, kinds=["a", "b"]), row(3, kinds=["b"] * 3), row(4, kinds=["c"])])
    assert units.found(rows, ["b"]).tolist() == [False, True, True, False]
    assert units.found(rows, []).tolist() == [False] * 4
    assert units.found(table([]), ["b"]).tolist() == []


def test_a_pair_without_the_verdict_that_was_asked_for_can_be_left_out() -> None:
    rows = table([row(1, judge_error="no JSON"), row(2), row(3, kinds=["b"])])
    assert units.found(rows, ["unjudged", "b"]).tolist() == [True, False, True]


@pytest.mark.parametrize("settings", [{}, EXACT])
def test_the_same_texts_are_found_within_a_stretch_and_across(tmp_path: Path, settings: dict[str, Any]) -> None:
    rows = [row(1), row(2), row(3, **{name: row(1)[name] for name in ("instruction", "response")})]
    assert pairs_found(tmp_path, rows, **settings) == [(0, 2)]
    apart = [*rows[:2], *(row(number) for number in range(10, 1_110)), rows[2]]
    assert pairs_found(tmp_path / "apart", apart, 1_102, **settings) == [(0, len(apart) - 1)]


def test_near_texts_are_found_and_other_languages_and_what_does_not_pass_are_left_alone(tmp_path: Path) -> None:
    near = {"instruction": "Describe a bridge.", "response": text(5, 30)}
    rows = [row(1, **near), row(2, **{**near, "response": text(5, 30) + " And more."}), row(3, "fr", **near)]
    rows += [row(4, score=10, **near), row(5, response=text(900, 30))]
    assert pairs_found(tmp_path / "near", rows, at_least={"overall": 50}) == [(0, 1)]
    assert pairs_found(tmp_path / "exact", rows, at_least={"overall": 50}, **EXACT) == []
    assert pairs_found(tmp_path / "strict", rows, at_least={"overall": 50}, near_duplicates=1) == []


def test_texts_that_only_put_together_are_the_same_are_different(tmp_path: Path) -> None:
    rows = [row(1, instruction="ab", response="c"), row(2, instruction="a", response="bc")]
    assert pairs_found(tmp_path, rows, **EXACT) == []


def test_a_conversation_is_compared_as_a_whole(tmp_path: Path) -> None:
    one, same, longer = (turns(number, [50] * size) for number, size in ((1, 2), (2, 2), (3, 3)))
    for talk in (same, longer):
        for turn, other in zip(talk, [*one, one[0]], strict=False):
            turn.update({name: other[name] for name in ("instruction", "response")})
    single = row(4, **{name: one[0][name] for name in ("instruction", "response")})
    assert pairs_found(tmp_path, [*one, *same, *longer, single], **EXACT) == [(0, 1)]


def test_ties_are_broken_by_row_and_texts_wherever_they_stand(tmp_path: Path) -> None:
    rows = [row(number) for number in range(9)]
    one = known(tmp_path / "1", [scored(tmp_path / "a", rows, 2)])
    other = known(tmp_path / "2", [scored(tmp_path / "b", rows[::-1], 4)])
    assert one.tie.tolist() == other.tie[::-1].tolist()
    assert len(set(one.tie.tolist())) == 9


def test_instructions_of_one_kind_share_a_cluster_and_what_all_say_makes_none(tmp_path: Path) -> None:
    rows = [
        row(number, instruction=f"Bitte schreibe mir: {text(number, 3)}", response=text(number)) for number in range(60)
    ]
    rows += [
        row(100 + number, instruction=f"Bitte schreibe mir: ein Gedicht von Rosen {number}") for number in range(5)
    ]
    run = scored(tmp_path / "a", rows)
    found, plan = work(tmp_path, [run], diversity={"pairs": 1})
    samples = [clusters.count(found, clusters.shares({"de": 65}), stretch) for stretch in plan]
    found = found._replace(common=clusters.common(samples))
    assert np.isin(minhash.grams("Bitte schreibe mir: "), found.common["de"]).all()
    assert not np.isin(minhash.grams("Gedicht von Rosen"), found.common["de"]).any()
    for stretch in plan:
        units.examine(found, stretch)
    told = units.load(found, len(plan)).cluster.tolist()
    assert max(told.count(one) for one in told[60:]) >= 4
    assert max(told.count(one) for one in told[:60]) < 20


def test_a_sample_does_not_depend_on_how_a_run_is_cut(tmp_path: Path) -> None:
    rows = [row(number) for number in range(40)]
    counted = []
    for name, some in (("a", rows), ("b", rows[::-1])):
        found, plan = work(tmp_path / name, [scored(tmp_path / f"run-{name}", some, 7)])
        counted.append(clusters.count(found, {"de": 0.5}, plan[0])["de"])
    assert 5 < counted[0].texts < 35
    assert counted[0].texts == counted[1].texts
    assert (counted[0].grams == counted[1].grams).all()
    assert (counted[0].counts == counted[1].counts).all()


def test_a_run_without_pairs_has_no_units(tmp_path: Path) -> None:
    found = known(tmp_path, [scored(tmp_path / "a", [])], diversity={"pairs": 1})
    assert found.first.tolist() == [0, 0]
    assert found.languages == []


def test_names_are_rows_of_pairs_and_of_conversations(tmp_path: Path) -> None:
    found, plan = work(tmp_path, [scored(tmp_path / "a", [row(1), *turns(2, [1, 1]), row(3)])])
    units.examine(found, plan[0])
    assert units.names(found, (0, np.array([1, 0]))).to_pylist() == ["talk.jsonl:2", "corpus.jsonl:1"]
    assert stretches.CONVERSATION == "source_row"
