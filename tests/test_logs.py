"""Lines of the log as JSON objects, for whatever collects them."""

from __future__ import annotations

import io
import json
import logging
import sys

import pytest

from midb_ray import cli, logs


@pytest.fixture
def as_json(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(logs.VARIABLE, "json")


def written(say) -> str:
    stream = io.StringIO()
    logger = logging.Logger("test")
    logger.addHandler(logs.handler(stream))
    say(logger)
    return stream.getvalue()


def test_plain_lines_are_the_message_alone(monkeypatch) -> None:
    monkeypatch.delenv(logs.VARIABLE, raising=False)
    assert written(lambda logger: logger.info("%d rows", 3, extra=logs.figures({"rows": 3}))) == "3 rows\n"
    assert logs.line("Error: none") == "Error: none"
    assert logs.environment() == {}


def test_a_line_is_one_object_whatever_is_in_the_message(as_json) -> None:
    told = written(lambda logger: logger.warning("zwei\n%s", "Zeilen ü", extra=logs.figures({"rows": 3, "eta": None})))
    assert told.count("\n") == 1
    found = json.loads(told)
    assert (found["level"], found["message"], found["figures"]) == (
        "warning",
        "zwei\nZeilen ü",
        {"rows": 3, "eta": None},
    )
    assert found["time"].endswith("+00:00")
    assert {"host", "process"} <= found.keys()
    assert logs.environment() == {logs.VARIABLE: "json"}


def strict(text: str):
    def refuse(name: str) -> None:
        raise ValueError(name)

    return json.loads(text, parse_constant=refuse)


def test_what_is_no_number_is_null(as_json) -> None:
    figures = {"loss": float("nan"), "by": [{"eta": float("inf"), "rows": 3}], "share": (0.5, float("-inf"))}
    found = strict(written(lambda logger: logger.info("step 1", extra=logs.figures(figures))))
    assert found["figures"] == {"loss": None, "by": [{"eta": None, "rows": 3}], "share": [0.5, None]}
    told = '{"time": "t", "level": "info", "message": "m", "figures": {"loss": NaN}}'
    assert strict(logs.relayed(told, "Engine", 7, "10.0.0.1"))["figures"] == {"loss": None}


def test_a_traceback_stands_in_the_line(as_json) -> None:
    def fail(logger: logging.Logger) -> None:
        try:
            raise ValueError("no number")
        except ValueError:
            logger.exception("The job broke off.")

    found = json.loads(written(fail))
    assert found["level"] == "error"
    assert found["error"].startswith("Traceback")
    assert found["error"].endswith("ValueError: no number")


def test_lines_of_other_processes_keep_what_they_are_and_say_where_they_come_from(as_json) -> None:
    own = json.loads(logs.relayed(logs.line("The engine is up.", "info"), "Engine", 7, "10.0.0.1"))
    assert (own["message"], own["level"], own["source"]) == ("The engine is up.", "info", "Engine")
    for text in ("Traceback: no", '{"not": "ours"}', "[1]", "7", '{"a":' * 5000, "9" * 5000):
        found = json.loads(logs.relayed(text, "Engine", 7, "10.0.0.1"))
        assert (found["message"], found["process"], found["host"]) == (text, 7, "10.0.0.1")


def test_an_error_of_the_user_is_an_object_too(as_json, capsys, tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(logging.getLogger(), "handlers", [])
    arguments = ["boost", "--input", str(tmp_path / "none"), "--output", str(tmp_path / "run"), "--engine.kind", "echo"]
    assert cli.main(arguments) == 2
    found = json.loads(capsys.readouterr().err)
    assert found["level"] == "error"
    assert found["message"].startswith("Error: Input ")


def test_a_form_that_does_not_exist_is_refused(monkeypatch, capsys) -> None:
    monkeypatch.setenv(logs.VARIABLE, "xml")
    assert cli.main(["boost"]) == 2
    assert capsys.readouterr().err == "Error: MIDB_RAY_LOG is 'xml'; expected plain or json.\n"


def test_the_log_costs_no_heavy_import() -> None:
    import subprocess

    code = "import sys; from midb_ray import logs; assert not {'ray', 'torch'} & sys.modules.keys()"
    subprocess.run([sys.executable, "-c", code], check=True)
