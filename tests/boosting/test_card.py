"""The booster card: what it measures, where it is written, and that it does not change the booster."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from midb_ray.boosting import card as cards
from midb_ray.boosting import card_record
from midb_ray.boosting.card import nearness
from midb_ray.boosting.guard_settings import GuardSettings
from midb_ray.engines import models
from midb_ray.engines.settings import EngineSettings
from midb_ray.errors import UserError
from midb_ray.pairs import Text
from midb_ray.prompts import serialise
from midb_ray.runs import storage
from midb_ray.signals.distance import distance
from tests.boosting.carding import mended, pair, row, task


def test_answers_that_are_the_experts_have_nearness_1_and_gain_what_the_raw_pairs_lacked(tmp_path: Path) -> None:
    card = cards.measure(task(tmp_path, mended(4)))
    assert card is not None
    found = card.all
    assert (found.rows, found.parse_rate, found.pass_rate, found.truncated_share, found.reasons) == (4, 1, 1, 0, {})
    assert (found.final_nearness, found.answer_nearness) == (1, 1)
    lacked = 1 / len(serialise(pair(1, ".")))  # one full stop
    assert found.raw_nearness == pytest.approx(1 - lacked, abs=1e-6)
    assert (found.gain, *found.gain_interval) == pytest.approx((lacked,) * 3, abs=1e-6)
    assert card.languages == {"de": found}
    assert (card.template, card.seed, card.rows_per_language) == ("locale", None, 16)
    assert card_record.problems(card) == []


def test_where_the_guard_refuses_the_original_is_the_final_text_and_the_answer_counts_apart(tmp_path: Path) -> None:
    guard = GuardSettings(response_longest=(1.0, 0))  # a full stop more is too long
    card = cards.measure(task(tmp_path, mended(4), guard=guard))
    assert card is not None
    found = card.all
    assert (found.parse_rate, found.pass_rate, found.reasons) == (1, 0, {"too_long": 4})
    assert found.answer_nearness == 1
    assert found.final_nearness == found.raw_nearness < 1
    assert (found.gain, found.gain_interval) == (0, (0, 0))
    assert card_record.problems(card) == ["Fewer than 50 % of the booster's answers pass the guard: all 0.0 %."]


def test_a_booster_that_spoils_good_pairs_is_farther_from_the_expert(tmp_path: Path) -> None:
    spoilt = [row(number, pair(number), pair(number)) for number in range(9)]
    card = cards.measure(task(tmp_path, spoilt))
    assert card is not None
    lost = 1 / len(serialise(pair(1, ".")))
    assert card.all.raw_nearness == 1
    assert card.all.gain == pytest.approx(-lost, abs=1e-6)
    (problem,) = card_record.problems(card)
    assert problem == (
        f"What the guard lets through is farther from the expert than the raw pair: all by {lost:.4f}, de by {lost:.4f}."
    )


def test_the_interval_of_two_rows_goes_from_one_to_the_other(tmp_path: Path) -> None:
    """The means of two values drawn twice are either, each in a quarter of the draws, or their middle."""
    rows = [row(1, pair(1), pair(1, ".")), row(2, pair(2), pair(2))]
    card = cards.measure(task(tmp_path, rows))
    assert card is not None
    part = 1 / len(serialise(pair(1, ".")))
    assert card.all.gain == 0
    assert card.all.gain_interval == pytest.approx((-part, part), abs=1e-6)
    one = cards.measure(task(tmp_path, rows[:1]))
    assert one is not None
    assert one.all.gain_interval is None


def test_nearness_is_one_minus_the_share_of_edits() -> None:
    raw, expert = Text("Nenne drei Städte", "", "Berlin"), Text("Nenne drei Städte.", "", "Berlin, Köln, Bonn.")
    assert nearness(raw, expert) == 1 - distance(raw, expert) / len(serialise(expert))
    assert distance(raw, expert) == 14
    assert nearness(expert, expert) == 1
    assert nearness(raw, expert) == nearness(expert, raw)
    assert nearness(Text("", "", ""), Text("x" * 20_000, "", "")) == pytest.approx(
        0.5, abs=0.01
    )  # 10,000 edits at most


def test_without_rows_there_is_no_card(tmp_path: Path) -> None:
    empty = task(tmp_path, mended(3), rows=0)
    assert cards.measure(empty) is None
    pq.write_table(pq.read_table(empty.validation).slice(0, 0), empty.validation)
    assert cards.measure(dataclasses.replace(empty, rows=16)) is None


def test_a_model_without_sense_fails_its_card(tmp_path: Path, booster: Path) -> None:
    engine = EngineSettings(model="replaced", device="cpu", max_new_tokens=4, threads=1)
    rows = [*mended(9), row(99, pair(9)._replace(input="Nachbarn " * 300), pair(9, "."))]
    card = cards.measure(task(tmp_path, rows, booster=str(booster), engine=engine, template="plain"))
    assert card is not None
    found = card.all
    assert (found.rows, found.parse_rate, found.pass_rate, found.answer_nearness) == (10, 0, 0, None)
    assert found.truncated_share == pytest.approx(found.reasons["truncated"] / 10)
    assert (found.reasons["unparseable"], found.reasons["prompt_too_long"]) == (9, 1)
    assert found.final_nearness == found.raw_nearness
    assert card_record.problems(card) == [
        "Fewer than 90 % of the booster's answers parse: all 0.0 %, de 0.0 %.",
        "Fewer than 50 % of the booster's answers pass the guard: all 0.0 %, de 0.0 %.",
    ]


def test_the_card_stands_in_the_directory_and_is_no_part_of_the_models_identity(tmp_path: Path, booster: Path) -> None:
    before = models.identity(str(booster))
    (booster / "README.md").write_text(
        "---\ntags: [midb]\n---\n# Booster\n\nText.\n\n## Booster card\n\nold\n\n## After\n\nMore.\n"
    )
    card = cards.measure(task(tmp_path, [*mended(3), *mended(2, "de-AT", 3)]))
    assert card is not None
    for _ in range(2):  # the second time in place of the first
        cards.write(str(booster), card)
        readme = (booster / "README.md").read_text()
        assert readme.startswith("---\ntags: [midb]\n---\n# Booster\n\nText.\n\n## Booster card\n\n5 validation rows, ")
        assert readme.endswith("\n\n## After\n\nMore.\n")
        assert readme.count("Booster card") == 1
        assert "old" not in readme
    table = [line.split(" | ") for line in readme.splitlines() if line.startswith("| ")]
    assert [cells[:5] for cells in table[1:]] == [
        ["| all", "5", "100 %", "100 %", "0 %"],
        ["| de", "3", "100 %", "100 %", "0 %"],
        ["| de-AT", "2", "100 %", "100 %", "0 %"],
    ]
    assert card_record.read(str(booster)) == card
    assert models.identity(str(booster)) == before


def test_a_failing_card_says_so_in_the_readme_that_it_begins(tmp_path: Path) -> None:
    made = task(tmp_path, mended(2), guard=GuardSettings(response_longest=(1.0, 0)))
    card = cards.measure(made)
    assert card is not None
    cards.write(made.booster, card)
    readme = Path(made.booster, "README.md").read_text()
    assert readme.startswith(
        "## Booster card\n\n2 validation rows, up to 16 of each language, boosted with template `locale`"
    )
    assert "\n\nRefused for: too_long 2.\n\n**The booster fails its own card.**\n\n- Fewer than 50 % " in readme


def test_a_directory_that_cannot_be_written_is_one_sentence(tmp_path: Path) -> None:
    card = cards.measure(task(tmp_path, mended(2)))
    assert card is not None
    (tmp_path / "file").write_text("no directory")
    with pytest.raises(UserError, match=r"^Cannot write the booster card into .*/file: "):
        cards.write(f"{tmp_path}/file", card)


def test_booster_and_validation_set_may_be_objects(s3: str, tmp_path: Path, booster: Path) -> None:
    engine = EngineSettings(model="replaced", device="cpu", max_new_tokens=4, threads=1)
    local = task(tmp_path, mended(2), booster=str(booster), engine=engine, template="plain")
    for path in booster.iterdir():
        storage.write_bytes(f"{s3}/booster/{path.name}", path.read_bytes())
    storage.write_bytes(f"{s3}/v.parquet", Path(local.validation).read_bytes())
    remote = dataclasses.replace(local, booster=f"{s3}/booster", validation=f"{s3}/v.parquet")
    card, here = cards.measure(remote), cards.measure(local)
    assert card is not None
    assert here is not None
    assert (card.all, card.model) == (here.all, here.model)
    cards.write(remote.booster, card)
    assert card_record.read(remote.booster) == card
    assert storage.read_bytes(f"{s3}/booster/README.md").decode() == cards.markdown(card) + "\n"

    with pytest.raises(UserError, match=f"^There is no booster at {s3}/none"):
        cards.measure(dataclasses.replace(remote, booster=f"{s3}/none"))
    storage.delete(f"{s3}/booster/config.json")
    with pytest.raises(UserError, match=f"^{s3}/booster is no model directory"):  # and not where it was copied to
        cards.measure(remote)


def test_on_a_cluster_a_task_makes_the_same_card(tmp_path: Path, booster: Path, ray_cluster: None) -> None:
    engine = EngineSettings(model="replaced", max_new_tokens=4, threads=1)
    made = task(tmp_path, mended(2), booster=str(booster), engine=engine, template="plain")
    on_cluster, here = cards.make(made, gpus=1), cards.measure(made)
    assert on_cluster is not None
    assert here is not None
    assert on_cluster.model_copy(update={"made": here.made}) == here
    with pytest.raises(UserError, match=r"^The model directory .*/absent does not exist on this machine.$"):
        cards.make(dataclasses.replace(made, booster=f"{tmp_path}/absent"))
