"""The books of a selection: they balance, or the exit code says that they do not."""

from __future__ import annotations

import json
from pathlib import Path

from midb_ray.curation import select_summary, stretches
from midb_ray.curation.select_settings import SelectSettings
from midb_ray.errors import ExitCode
from midb_ray.runs import folder
from midb_ray.runs.figures import Figures
from tests.curation.select_runs import row, scored


def finished(tmp_path: Path, rows: int, kept: int, excluded: int) -> tuple[int, dict[str, object]]:
    """The exit code and the summary of a run that was planned with `rows` pairs."""
    figures = Figures()
    for _ in range(kept):
        figures.count("de", "kept", ())
    for _ in range(excluded):
        figures.count("de", "excluded", ("score",))
    run = folder.open_run(str(tmp_path / "run"), "select", {}, {})
    plan = [stretches.Stretch(0, "a", 0, 1, rows)]
    code = select_summary.finish(run, plan, kept + excluded == rows, figures)
    return code, json.loads((tmp_path / "run" / "summary.json").read_text())


def test_books_that_balance_are_complete_by_language_and_reason(tmp_path: Path) -> None:
    code, told = finished(tmp_path, 5, 3, 2)
    assert (code, told["complete"]) == (ExitCode.OK, True)
    assert told["languages"] == {"de": {"rows": 5, "kept": 3, "excluded": 2, "reasons": {"score": 2}}}
    assert told["reasons"] == {"score": 2}


def test_a_row_that_is_not_accounted_for_is_said_and_makes_the_run_incomplete(tmp_path: Path, listen) -> None:
    heard = listen(select_summary)
    code, told = finished(tmp_path, 6, 3, 2)
    assert (code, told["complete"]) == (ExitCode.ROWS_LOST, False)
    assert heard[-1] == "The books do not balance: 6 pairs were read, 5 are accounted for."


def test_a_kind_that_no_pair_has_is_warned_of_with_the_nearest(tmp_path: Path, listen) -> None:
    heard = listen(select_summary)
    given = scored(tmp_path / "scored", [row(1, kinds=["refusal"]), row(2)])
    settings = SelectSettings(input=(given,), output=str(tmp_path / "out"), without=("refusal", "refusl", "echo"))
    select_summary.tell_unknown(settings, stretches.sources(settings.input, settings.output))
    assert heard == [
        "without: no pair of these runs has a finding 'echo'; found were refusal.",
        "without: no pair of these runs has a finding 'refusl'; did you mean 'refusal'?",
    ]


def test_a_dry_run_tells_pairs_by_language(tmp_path: Path, listen) -> None:
    heard = listen(select_summary)
    given = scored(tmp_path / "scored", [row(1), row(2, "fr"), row(3, "fr")])
    settings = SelectSettings(input=(given,), output=str(tmp_path / "out"))
    runs = stretches.sources(settings.input, settings.output)
    assert select_summary.describe(settings, runs, goes_on=False) == ExitCode.OK
    assert heard[1] == f"  {given}: 3 pairs (1 de, 2 fr)"
