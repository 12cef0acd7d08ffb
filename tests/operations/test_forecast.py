"""The forecast from pilots' folders: by hand where all is known, and of a real run of the echo engine."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

import midb_ray
from midb_ray import cli
from midb_ray.operations import forecast, forecast_door, forecast_table
from midb_ray.operations.forecast_settings import PlanSettings
from tests.operations.pilots import FRAME, SECONDS, START, corpus, make, row, tokens

SAMPLES = Path(midb_ray.__file__).parent / "samples" / "corpus.jsonl"
TABLE = """
currency: EUR
head: 1
boot_minutes: 6
idle_minutes: 30
machines:
  small:
    {cpus: 5, gigabytes: 32, on_demand: 2, spot: 0.5,
     cluster: {file: cluster/mine.yaml, node_type: cpu, market: spot, max_workers: 2}}
"""


def planned(pilot: Path, given: Path, **more: object) -> forecast.Forecast:
    return forecast.plan(PlanSettings.model_validate({"pilot": str(pilot), "input": [str(given)], **more}))


@pytest.fixture
def table(tmp_path) -> str:
    place = tmp_path / "prices.yaml"
    place.write_text(TABLE, encoding="utf-8")
    return str(place)


def test_tokens_time_and_money_follow_from_the_pilot(tmp_path, table) -> None:
    rows = [row(number, "de" if number % 2 else "ja", 100 + 20 * (number % 3)) for number in range(600)]
    given = corpus(tmp_path / "corpus.jsonl", rows)
    pilot = make(tmp_path / "pilot", given, rows[:120], pool={"replicas": [1], "rows_in_flight": 20})
    found = planned(pilot, given, prices=table, pool={"replicas": 4})
    prompts, answers = (sum(tokens(one)[place] for one in rows) for place in (0, 1))
    assert (found.rows, found.share_seen, found.counted) == (600, 1, True)
    assert {name: amounts.pairs.value for name, amounts in found.languages.items()} == {"de": 300, "ja": 300}
    assert found.total.answer.value == pytest.approx(answers)
    assert found.total.prompt.value == pytest.approx(prompts, rel=1e-6)
    assert found.languages["de"].prompt.value == pytest.approx(300 * (FRAME + 120 / 4))
    assert found.total.engine_hours.value == pytest.approx(answers * SECONDS / 3600)
    seconds = START + answers * SECONDS / 4
    assert found.hours.value == pytest.approx(seconds / 3600)
    (offer,) = found.offers
    hours = seconds / 3600 + 0.1
    assert (offer.nodes, offer.hours.value) == (1, pytest.approx(hours))
    assert offer.cost["spot"].value == pytest.approx((hours + 0.5) * (0.5 + 1))
    assert offer.cost["on_demand"].value == pytest.approx((hours + 0.5) * (2 + 1))
    json.dumps(found.to_dict())


def test_skipped_rows_and_repeated_prompts_are_not_generated(tmp_path) -> None:
    rows = [row(number // 2, length=100) for number in range(400)]  # each stands there twice, side by side
    given = corpus(tmp_path / "corpus.jsonl", rows)
    odd = make(
        tmp_path / "pilot", given, [row(number) for number in range(100)], skip=lambda one: "7:" in one["instruction"]
    )
    total = planned(odd, given).total
    assert (total.skipped.value, total.repeated.value) == (pytest.approx(40), 200)
    assert total.answer.value == pytest.approx(400 * 0.9 * 25)
    assert total.generated.value == pytest.approx(200 * 0.9 * 25)
    assert total.prompt.value == pytest.approx(400 * 0.9 * (FRAME + 25))


def test_a_pilot_of_first_rows_is_told_and_its_lengths_are_allowed_for(tmp_path) -> None:
    rows = [row(number, length=80) for number in range(300)] + [row(number, length=800) for number in range(300, 600)]
    given = corpus(tmp_path / "corpus.jsonl", rows)
    pilot = make(tmp_path / "pilot", given, rows[:250], limit=250)
    found = planned(pilot, given)
    assert found.total.answer.value == pytest.approx(300 * 20 + 300 * 200)
    assert any("first 250 rows of each language" in note and "--sample" in note for note in found.notes)
    assert any("82% shorter" in note for note in found.notes)


def test_languages_that_the_pilot_lacks_and_other_files_are_told(tmp_path) -> None:
    given = corpus(tmp_path / "corpus.jsonl", [row(number, "de") for number in range(20)])
    pilot = make(tmp_path / "pilot", given, [row(number, "de") for number in range(20)])
    other = corpus(tmp_path / "other.jsonl", [row(number, "fr") for number in range(20)])
    notes = " ".join(planned(pilot, other).notes)
    for told in ("no pair in fr", "none of these input files", "only 20 pairs", "too short to fill"):
        assert told in notes


def test_a_look_at_a_part_scales_up_and_says_how_sure_it_is(tmp_path) -> None:
    rows = [row(number, "de" if number % 3 else "fr", 60 + number % 50) for number in range(2000)]
    given = corpus(tmp_path / "corpus.jsonl", rows)
    pilot = make(tmp_path / "pilot", given, rows[::8])
    found = planned(pilot, given, look=400)
    actual = sum(tokens(one)[1] for one in rows)
    assert (found.rows, found.share_seen) == (2000, 0.2)
    assert found.total.answer.value == pytest.approx(actual, rel=0.03)
    assert 0 < found.languages["fr"].pairs.error < 50


def test_what_is_no_pilot_is_refused(tmp_path, capsys) -> None:
    given = corpus(tmp_path / "corpus.jsonl", [row(1)])
    assert cli.plan(["--pilot", str(tmp_path), "--input", str(given)]) == 2
    assert "is no run folder of a boost or score job" in capsys.readouterr().err
    pilot = make(tmp_path / "pilot", given, [row(1)])
    (pilot / "summary.json").write_text('{"complete": false}')
    assert cli.plan(["--pilot", str(pilot), "--input", str(given)]) == 2
    assert "not complete" in capsys.readouterr().err
    for spent in ("", ', "spent": {}', ', "spent": {"hours": "2"}'):
        (pilot / "summary.json").write_text(f'{{"complete": true, "shards": 1{spent}}}')
        assert cli.plan(["--pilot", str(pilot), "--input", str(given)]) == 2
        told = capsys.readouterr().err
        assert "summary.json does not say how long the pool was up" in told
        assert "same command" not in told


def shown(found: forecast.Forecast, capsys: pytest.CaptureFixture[str], **asked: object) -> str:
    """What the terminal says, in one line."""
    settings = PlanSettings.model_validate({"pilot": "p", "input": ["i"], **asked})
    forecast_table.show(forecast_door.console(), settings, found)
    return " ".join(capsys.readouterr().out.split())


def test_the_pool_that_is_chosen_says_what_starts_it(tmp_path, table, capsys) -> None:
    """Nodes beyond max_workers, and a market that the cluster file does not have."""
    rows = [row(number, length=1000) for number in range(2000)]
    given = corpus(tmp_path / "corpus.jsonl", rows)
    pilot = make(tmp_path / "pilot", given, rows[:200], pool={"replicas": [1], "rows_in_flight": 20})
    place = Path(table)

    def told(deadline: float) -> str:
        return shown(planned(pilot, given, prices=table, deadline=deadline), capsys, deadline=deadline)

    assert "pool.replicas 3, cluster/mine.yaml." in told(0.75)
    far = told(0.25)
    assert (
        "pool.replicas 12, cluster/mine.yaml: raise max_workers of cpu to 3 there, and that of the whole file by 1."
        in far
    )
    assert "6 min until it is up, and 30 min idle after the last shard" in far
    place.write_text(TABLE.replace("market: spot", "market: on_demand"))
    other = told(0.75)
    assert (
        "no cluster file has such machines as spot capacity (cluster/mine.yaml has them on demand): put them" in other
    )
    assert "cluster/mine.yaml: 2 on-demand" in other


def test_names_in_brackets_are_printed_as_they_are(tmp_path, capsys) -> None:
    given = corpus(tmp_path / "corpus.jsonl", [row(number) for number in range(40)])
    engine = {"kind": "transformers", "model": "runs/[v2]/:x:"}
    pilot = make(tmp_path / "pilot", given, [row(number) for number in range(40)], engine=engine)
    place = tmp_path / "prices.yaml"
    place.write_text(TABLE.replace("small:", '"[/v3]":').replace("EUR", '"[bold]"'))
    assert cli.plan(["--pilot", str(pilot), "--input", str(given), "--prices", str(place), "--deadline", "9"]) == 0
    told = " ".join(capsys.readouterr().out.split())
    for name in ("runs/[v2]/:x:", "[/v3]", "spot [bold]"):
        assert name in told


@pytest.mark.usefixtures("ray_cluster")
def test_a_pilot_with_the_echo_engine_foresees_the_whole_run(tmp_path, table, capsys) -> None:
    given, pilot, whole = str(SAMPLES), tmp_path / "pilot", tmp_path / "whole"
    echo = ["--input", given, "--engine.kind", "echo", "--shard-rows", "16", "--max-dead-letters", "1"]
    assert cli.boost([*echo, "--output", str(pilot), "--sample", "0.4"]) == 0
    assert cli.boost([*echo, "--output", str(whole)]) == 0
    target = tmp_path / "forecast.json"
    asked = ["--prices", table, "--deadline", "2", "--budget", "9", "--write", str(target)]
    assert cli.plan(["--pilot", str(pilot), "--input", given, *asked]) == 0
    shown, found = capsys.readouterr().out, json.loads(target.read_text())
    summary = json.loads((whole / "summary.json").read_text())
    languages, written = Counter[str](), 0
    for part in (whole / "pairs").iterdir():
        pairs = pq.read_table(part, columns=["language", "instruction", "input", "response"])
        languages.update(pairs.column("language").to_pylist())
        written += sum(pc.sum(pc.utf8_length(column)).as_py() for column in pairs.columns[1:])
    assert {name: amounts["pairs"]["value"] for name, amounts in found["languages"].items()} == languages
    assert found["unit"] == "characters"
    assert found["total"]["answer"]["value"] == pytest.approx(written, rel=0.02)
    assert found["total"]["requests"]["value"] == pytest.approx(summary["rows_out"])
    assert found["choice"]["cluster"]["file"] == "cluster/mine.yaml"
    assert f"{summary['rows']:,} rows; all of them" in shown
    assert "pool.replicas 1, cluster/mine.yaml" in shown
