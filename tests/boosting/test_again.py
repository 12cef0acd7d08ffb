"""Trying an earlier run again: which of its pairs, in which shards, and that all other rows go over untouched."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq
import pytest

from midb_ray.boosting import again
from midb_ray.boosting.settings import BoostSettings
from midb_ray.boosting.work import BoostWork
from midb_ray.engines.base import Completion
from midb_ray.engines.flight import unpack
from midb_ray.errors import UserError
from midb_ray.locales import Locales, load_locales
from midb_ray.pairs import Text
from midb_ray.prompts import serialise
from midb_ray.runs import storage
from midb_ray.runs.shards import Shard
from tests.boosting.earlier_runs import finished_run, output_row


def settings_for(run: Path, *only: str, **more: Any) -> BoostSettings:
    given = {
        "input": [str(run)],
        "output": f"{run.parent}/again",
        "engine": {"kind": "echo"},
        "only": only or ("kept_original",),
    }
    return BoostSettings.model_validate({"shard_rows": 8, **given, **more})


def planned(settings: BoostSettings, locales: Locales | None = None) -> list[Shard]:
    run = again.find(settings)
    parts = [part for stretch in again.stretches(run, settings, step=3) for part in again.look(stretch)]
    return list(again.plan(run, parts, settings, locales or load_locales()))


def tried(settings: BoostSettings) -> list[str]:
    return [pair.row for shard in planned(settings) for pair in again.read(settings, shard)[0]]


def rows_with(count: int, wanted: Callable[[dict[str, Any]], bool]) -> list[str]:
    return [row["row"] for row in map(output_row, range(count)) if wanted(row)]


def test_every_row_is_in_one_shard_once_tried_or_finished_or_dead(tmp_path: Path) -> None:
    settings = settings_for(finished_run(tmp_path / "run", 100, 8, dead_every=3))
    shards = planned(settings)
    seen: list[str] = []
    for number, shard in enumerate(shards):
        pairs, dead, finished = again.read(settings, shard)
        assert (shard.shard, shard.rows) == (number, len(pairs) + len(dead) + finished.num_rows)
        seen += [pair.row for pair in pairs] + finished.column("row").to_pylist() + [letter.row for letter in dead]
        assert all((letter.raw, letter.offset, letter.reason) == (b"\xff{", 7, "invalid_json") for letter in dead)
    assert sorted(seen) == sorted([*rows_with(100, lambda row: True), *(f"dead.jsonl:{n}" for n in range(0, 13, 3))])
    assert [shard.position for shard in shards] == [1 + sum(one.rows for one in shards[:n]) for n in range(len(shards))]


def test_a_shard_takes_as_many_parts_as_hold_its_pairs_to_be_tried(tmp_path: Path) -> None:
    run = finished_run(tmp_path / "run", 96, 6)  # three pairs of six are kept_original, one is skipped
    sizes = [len(again.read(settings_for(run), shard)[0]) for shard in planned(settings_for(run))]
    assert sizes == [6] * 8  # two parts; a third would make it nine, more than the eight of a shard
    few = settings_for(run, "skipped", shard_rows=2)
    assert [(shard.length, shard.rows) for shard in planned(few)] == [(2, 12)] * 8


def test_rows_that_are_not_tried_bound_a_shard_too(tmp_path: Path) -> None:
    settings = settings_for(finished_run(tmp_path / "run", 96, 6), "skipped", shard_rows=2, limit=1)
    shards = planned(settings)
    assert [shard.rows for shard in shards] == [30, 30, 30, 6]  # sixteen times shard_rows, in whole parts
    assert [shard.picked for shard in shards] == [[5], [], [], []]


@pytest.mark.parametrize(
    ("only", "wanted"),
    [
        (["kept_original"], lambda row: row["decision"] == "kept_original"),
        (["kept_original:truncated"], lambda row: "truncated" in row["reasons"]),
        (
            ["kept_original:engine_error", "skipped"],
            lambda row: row["reasons"] == ["engine_error"] or row["decision"] == "skipped",
        ),
        (["unchanged", "boosted"], lambda row: row["decision"] in ("unchanged", "boosted")),
    ],
)
def test_pairs_are_chosen_by_decision_and_reason(tmp_path: Path, only: list[str], wanted: Any) -> None:
    assert tried(settings_for(finished_run(tmp_path / "run", 60, 8), *only)) == rows_with(60, wanted)


def test_a_pair_is_tried_in_its_raw_texts_and_keeps_who_it_is(tmp_path: Path) -> None:
    settings = settings_for(finished_run(tmp_path / "run", 12, 12), "boosted")
    (shard,) = planned(settings)
    pairs, _, finished = again.read(settings, shard)
    before = output_row(0)
    assert pairs[0].response == before["raw_response"] != before["response"]
    assert (pairs[0].row, pairs[0].id, pairs[0].extra) == (before["row"], "id-0", before["extra"])
    assert pairs[0].repairs == ("response: NUL removed",)
    others = finished.drop_columns(["place"]).to_pylist()
    assert others == [output_row(n) for n in range(12) if n % 6]
    assert finished.column("place").to_pylist() == [n for n in range(12) if n % 6]


def test_a_limit_counts_the_tried_pairs_of_a_language_and_a_sample_is_a_share_of_them(tmp_path: Path) -> None:
    run = finished_run(tmp_path / "run", 600, 20, languages=("de", "fr", "it", "es"))
    found = tried(settings_for(run, limit=5, shard_rows=50))
    names = [("de", "fr", "it", "es")[(int(row.partition(":")[2]) - 1) % 4] for row in found]
    assert {name: names.count(name) for name in names} == {"de": 5, "fr": 5, "it": 5, "es": 5}
    everything = rows_with(600, lambda row: row["decision"] == "kept_original")
    assert set(found) < set(everything)
    share = tried(settings_for(run, sample=0.3))
    assert 60 <= len(share) <= 120
    assert share == tried(settings_for(run, sample=0.3, shard_rows=100))
    assert set(share) < set(tried(settings_for(run, sample=0.6))) < set(everything)


def test_the_output_is_the_whole_corpus_in_its_old_order(tmp_path: Path) -> None:
    settings = settings_for(finished_run(tmp_path / "run", 60, 8, dead_every=2))
    work = BoostWork(settings, json.dumps(load_locales().fingerprint(), ensure_ascii=False))
    tables = []
    for shard in planned(settings):
        flight = unpack(work.prepare(shard))
        texts = [Text(row["instruction"], row["input"], row["response"]) for row in flight.pairs.to_pylist()]
        answers = [Completion(serialise(text._replace(response=f"{text.response}.")), "stop", 3) for text in texts]
        rows, dead, figures = work.finish(flight, list(answers))
        assert figures.balanced
        assert figures.rows_in == shard.rows == rows.num_rows + dead.num_rows
        assert figures.answer_tokens == 3 * len(texts)  # of this run alone
        tables.append(rows)
    after = pa.concat_tables(tables).to_pylist()
    before = ds.dataset(tmp_path / "run" / "pairs").to_table().to_pylist()
    assert [row["row"] for row in after] == [row["row"] for row in before]
    for old, new in zip(before, after, strict=True):
        if old["decision"] == "kept_original":
            assert (new["decision"], new["response"], new["reasons"]) == ("boosted", f"{old['raw_response']}.", [])
        else:
            assert new == old


def test_a_run_in_an_object_store_is_read_like_one_on_disk(tmp_path: Path, s3: str) -> None:
    run = finished_run(tmp_path / "run", 40, 8, dead_every=2)
    for path in run.rglob("*"):
        if path.is_file():
            storage.write_bytes(f"{s3}/run/{path.relative_to(run)}", path.read_bytes())
    here = settings_for(run, "boosted", "skipped")
    there = here.model_copy(update={"input": (f"{s3}/run/",), "output": f"{s3}/again"})
    assert [shard[5:] for shard in planned(there)] == [shard[5:] for shard in planned(here)]
    for one, other in zip(planned(here), planned(there), strict=True):
        mine, theirs = again.read(here, one), again.read(there, other)
        assert mine[:2] == theirs[:2]
        assert mine[2].equals(theirs[2])
    with pytest.raises(UserError, match="are not apart"):
        again.find(there.model_copy(update={"output": f"{s3}/run/more"}))


def spoilt(run: Path, name: str) -> None:
    """Make the finished run one that cannot be tried again."""
    if name == "incomplete":
        (run / "summary.json").unlink()
    elif name == "capped":
        (run / "summary.json").write_text('{"complete": false, "shards": 3}')
    elif name == "summary of something else":
        (run / "summary.json").write_text('{"complete": true}')
    elif name == "torn":
        (run / "pairs" / "part-00000001.parquet").write_bytes(b"PAR1 torn")
    elif name == "dead letters lost":
        (run / "dead_letters" / "part-00000001.parquet").unlink()
    elif name == "another job":
        (run / "run.json").write_text((run / "run.json").read_text().replace('"boost"', '"train"'))
    elif name == "no run":
        (run / "run.json").unlink()


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("incomplete", "is not complete; run it to its end"),
        ("capped", "is not complete; run it to its end"),
        ("summary of something else", "is not complete; run it to its end"),
        ("torn", "part-00000001.parquet is missing, damaged"),
        ("dead letters lost", "has 5 files of pairs and dead letters, and its summary.json says 6"),
        ("another job", "is no run folder of a boost job"),
        ("no run", "is no run folder of a boost job"),
    ],
)
def test_a_run_that_is_not_whole_is_refused_in_one_sentence(tmp_path: Path, name: str, told: str) -> None:
    spoilt(finished_run(tmp_path / "run", 24, 8), name)
    with pytest.raises(UserError, match=told) as refused:
        planned(settings_for(tmp_path / "run"))
    assert "\n" not in str(refused.value)


def test_what_is_not_there_any_more_when_a_shard_is_read_is_not_lost_in_silence(tmp_path: Path) -> None:
    settings = settings_for(finished_run(tmp_path / "run", 24, 8, dead_every=1))
    (shard, *_) = planned(settings)
    other = finished_run(tmp_path / "other", 24, 8)
    (other / "dead_letters" / "part-00000000.parquet").replace(
        tmp_path / "run" / "dead_letters" / "part-00000000.parquet"
    )
    with pytest.raises(UserError, match=r"has changed since it was planned: shard 0 had 18 rows and has 17 now"):
        again.read(settings, shard)


def test_the_earlier_run_is_another_input_once_a_part_of_it_was_written_anew(tmp_path: Path) -> None:
    settings = settings_for(finished_run(tmp_path / "run", 24, 8))
    before = again.find(settings)
    assert again.find(settings) == before
    part = tmp_path / "run" / "pairs" / "part-00000001.parquet"
    part.write_bytes(part.read_bytes())
    after = again.find(settings)
    assert (after.name, after.uri, after.size) == (before.name, before.uri, before.size)
    assert after.version != before.version


@pytest.mark.parametrize("output", ["run", "run/again", "run/../run", "."])
def test_a_run_is_never_tried_again_in_place(tmp_path: Path, output: str) -> None:
    run = finished_run(tmp_path / "run", 8, 8)
    with pytest.raises(UserError, match="are not apart; give another --output"):
        again.find(settings_for(run, output=str(tmp_path / output)))


def test_a_language_that_only_the_earlier_run_knew_is_told_before_anything_starts(tmp_path: Path) -> None:
    run = finished_run(tmp_path / "run", 12, 6)
    french = Locales({"fr": load_locales().fingerprint()["fr"]})
    with pytest.raises(UserError, match="Unknown language 'de'"):
        planned(settings_for(run), french)


def test_when_no_pair_is_to_be_tried_the_decisions_that_there_are_are_shown(tmp_path: Path) -> None:
    settings = settings_for(finished_run(tmp_path / "run", 12, 6), "kept_original:too_long")
    with pytest.raises(UserError, match=r"too_long; it has 2 boosted, 6 kept_original, 2 skipped, 2 unchanged"):
        planned(settings)


def test_a_run_from_before_there_were_turns_is_tried_again(tmp_path: Path) -> None:
    run = finished_run(tmp_path / "run", 12, 6)
    for part in (run / "pairs").iterdir():
        table = pq.read_table(part)
        pq.write_table(table.drop_columns(["source_row", "turn", "context"]), part)
    settings = settings_for(run)
    (shard,) = planned(settings)
    pairs, _, finished = again.read(settings, shard)
    assert {(pair.source_row, pair.turn, pair.context) for pair in pairs} == {(None, None, None)}
    assert finished.drop_columns(["place"]).to_pylist() == [output_row(n) for n in (0, 2, 5, 6, 8, 11)]
