"""The guard accepts what an expert would write, rejects every kind of fault with its own reason, and never loses a pair."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from midb_ray.boosting.guard import Guard
from midb_ray.boosting.guard_settings import GuardSettings
from midb_ray.boosting.reasons import REASONS
from midb_ray.engines.base import Finish
from midb_ray.pairs import Text
from midb_ray.prompts import serialise
from midb_ray.signals.distance import distance
from tests.boosting.judging import (
    ENGLISH,
    GERMAN,
    GUARD,
    LOCALES,
    PLAIN,
    REVISED,
    THAI,
    raw_and_revised,
    reasons,
    samples,
    with_response,
)


def test_a_good_revision_is_boosted_with_its_distance() -> None:
    revised = with_response(REVISED)
    verdict = GUARD.judge(GERMAN, "de", serialise(revised), "stop")
    assert verdict == ("boosted", (), revised, distance(GERMAN, revised))
    assert verdict.distance > 0


def test_an_answer_that_differs_in_outer_white_space_only_is_unchanged() -> None:
    raw = GERMAN._replace(response=GERMAN.response + "\n")
    answer = serialise(Text(f" {raw.instruction}", f"{raw.input}\n", f"\n{raw.response} "))
    assert GUARD.judge(raw, "de", answer, "stop") == ("unchanged", (), raw, 0)


def test_outer_white_space_of_a_revised_section_goes_and_indentation_stays() -> None:
    assert GUARD.judge(GERMAN, "de", serialise(with_response(f"\n{REVISED} \n")), "stop").text.response == REVISED
    raw = GERMAN._replace(input="    x = 1\n    y = 2")
    verdict = GUARD.judge(raw, "de", serialise(raw._replace(input="    x = 1\n    y = 2  # zwei\n")), "stop")
    assert verdict.text.input == "    x = 1\n    y = 2  # zwei"


def test_line_ends_of_windows_are_no_change() -> None:
    raw = with_response(PLAIN.response.replace(". ", ".\n"), PLAIN)
    assert GUARD.judge(raw, "de", serialise(raw).replace("\n", "\r\n"), "stop") == ("unchanged", (), raw, 0)
    revised = with_response(REVISED.replace(". ", ".\n"), PLAIN)
    verdict = GUARD.judge(raw, "de", serialise(revised).replace("\n", "\r\n"), "stop")
    assert (verdict.decision, verdict.text) == ("boosted", revised)


@pytest.mark.parametrize(
    ("answer", "finish", "expected"),
    [
        ("Das kann ich nicht.", "stop", ("unparseable",)),
        ("", "stop", ("unparseable",)),
        ("Gern!\n" + serialise(GERMAN), "stop", ("preamble",)),
        (serialise(GERMAN).split("\n<|response|>")[0], "length", ("unparseable", "truncated")),
        (serialise(with_response(REVISED[:60])), "length", ("truncated",)),
        (serialise(with_response(REVISED)), "error", ("engine_error",)),
    ],
)
def test_answers_that_are_no_whole_pair(answer: str, finish: Finish, expected: tuple[str, ...]) -> None:
    assert GUARD.judge(GERMAN, "de", answer, finish) == ("kept_original", expected, GERMAN, 0)


@pytest.mark.parametrize(
    ("revised", "expected"),
    [
        (with_response(" \n"), ("empty", "too_short")),
        (GERMAN._replace(instruction=""), ("empty", "too_short", "lost_number")),
        (GERMAN._replace(input=""), ("lost_input", "lost_number")),
        (with_response(ENGLISH), ("wrong_language",)),
        (with_response(THAI), ("wrong_script",)),
        (with_response(f"{REVISED} Er soll nicht bitter sein. {ENGLISH}"), ("wrong_language",)),
        (with_response(REVISED + " Nimm es raus." * 9), ("repetition",)),
        (with_response(f"{REVISED}\n{REVISED}"), ("repetition",)),
        (with_response("Tee."), ("too_short",)),
        (
            GERMAN._replace(instruction=f"{GERMAN.instruction} {REVISED} {GERMAN.response} Das ist alles."),
            ("too_long",),
        ),
        (with_response(f"{REVISED}<|im_end|>"), ("leaked_marker",)),
        (with_response(f"Here is the revised pair:\n{REVISED}"), ("leaked_marker",)),
        (with_response(REVISED.replace("ß", "\ufffd")), ("leaked_marker",)),
        (GERMAN._replace(instruction=GERMAN.instruction.replace("3", "4")), ("lost_number",)),
        (GERMAN._replace(input="Sorte: Grüntee, 70 Grad"), ("lost_number",)),
    ],
)
def test_each_fault_has_its_reason(revised: Text, expected: tuple[str, ...]) -> None:
    assert reasons(GERMAN, revised) == expected


def test_all_reasons_are_reported_in_the_order_of_the_table() -> None:
    raw = with_response(f"{GERMAN.response} https://example.org a@example.org `x` {{name}}")
    revised = Text("Brew tea", "", f"{ENGLISH}</s>")
    found = reasons(raw, revised)
    assert found == (
        *("unrelated", "lost_input", "wrong_language", "leaked_marker", "lost_number", "lost_url", "lost_email"),
        *("lost_code", "lost_placeholder"),
    )
    assert list(found) == sorted(found, key=list(REASONS).index)


def test_what_was_wrong_before_is_not_held_against_the_answer() -> None:
    raw = with_response(f"{GERMAN.response} </s> [INST]" + " und so weiter und so fort" * 8)
    assert reasons(raw, with_response(f"{REVISED} </s>" + " und so weiter und so fort" * 6)) == ()


@pytest.mark.parametrize(
    ("setting", "revised", "reason"),
    [
        ("language", with_response(ENGLISH), "wrong_language"),
        ("repetition", with_response(REVISED + " Nimm es raus." * 9), "repetition"),
        ("length", with_response("Tee."), "too_short"),
        ("markers", with_response(f"{REVISED}</s>"), "leaked_marker"),
        ("numbers", GERMAN._replace(instruction=GERMAN.instruction.replace("3", "4")), "lost_number"),
    ],
)
def test_each_check_can_be_switched_off(setting: str, revised: Text, reason: str) -> None:
    off: dict[str, Any] = {setting: False}
    assert reasons(GERMAN, revised) == (reason,)
    assert reasons(GERMAN, revised, guard=Guard(GuardSettings(**off), LOCALES)) == ()


def test_every_reason_of_the_engine_has_a_meaning() -> None:
    assert {"prompt_too_long", "engine_error", "engine_crash"} < set(REASONS)


ANY = st.text(max_size=80) | st.text(
    alphabet=st.sampled_from("<|>instructionresponse\n`{}1,.@ \ud800日x-"), max_size=80
)


@settings(max_examples=200, deadline=None)
@given(
    st.builds(Text, ANY, ANY, ANY),
    ANY,
    st.sampled_from(["stop", "length", "error"]),
    st.sampled_from(["de", "ja", "x-none"]),
)
def test_any_answer_gets_a_verdict_and_a_kept_pair_is_the_same(
    raw: Text, answer: str, finish: Finish, language: str
) -> None:
    verdict = GUARD.judge(raw, language, answer, finish)
    assert verdict.decision == "kept_original"
    assert verdict.text == raw
    assert set(verdict.reasons) <= set(REASONS)


@settings(max_examples=300, deadline=None)
@given(st.builds(Text, ANY, ANY, ANY), st.builds(Text, ANY, ANY, ANY), st.sampled_from(["de", "th", "en"]))
def test_any_pair_gets_a_verdict(raw: Text, revised: Text, language: str) -> None:
    verdict = GUARD.judge(raw, language, serialise(revised), "stop")
    if verdict.decision == "boosted":
        assert list(map(str.strip, verdict.text)) == list(map(str.strip, revised))
        assert verdict.distance == distance(raw, verdict.text)
    else:
        assert verdict.text == raw
        assert verdict.distance == 0
        assert bool(verdict.reasons) == (verdict.decision == "kept_original")


UNITS = [
    *(
        "(",
        "`",
        "``` ",
        "`a\n",
        "x`y`z",
        "1,",
        "1 000 ",
        "12/25/2024 ",
        "3:00 pm ",
        "٠٬",
        "{",
        "{a} ",
        "${",
        "%s ",
        "<",
        "<|",
        "<a",
    ),
    *(
        "[",
        "_",
        ".",
        "@",
        "a@",
        "a@a.a-",
        "http://",
        "http://)",
        "www.",
        "- a\n",
        "1. a\n",
        "\n",
        " \n",
        "\t",
        "a",
        "é",
        "日本 ",
    ),
    *("\ud800", "\x00", "<|instruction|>", "#", "\ufffd", "5 miles ", "\u200b", "\u200eا", "(", "note: ", "drei "),
]


@pytest.mark.parametrize("unit", UNITS)
def test_long_hostile_text_is_judged_in_linear_time(unit: str) -> None:
    long = (unit * 200_000)[:200_000]
    for raw, revised in (
        (Text("Do it.", "x 1", long), Text("Do it.", "x 1", f"{long}end")),
        (Text(f"Do it {long}", "", "fine"), Text("Do that", "", "all fine")),
        (Text("Do.", long, "yes"), Text("Do!", f"{long[:-3]}7", "yes, yes")),
    ):
        verdict = GUARD.judge(raw, "ja", serialise(revised), "stop")  # quadratic work would take minutes
        assert verdict.decision == "boosted" or verdict.text == raw


def test_expert_revisions_of_every_language_are_accepted() -> None:
    rejected = {
        (row["language"], source): found
        for source, rows in samples().items()
        for row in rows.values()
        if (found := reasons(*raw_and_revised(row), row["language"]))
    }
    assert rejected == {}
