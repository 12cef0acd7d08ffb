"""What the judge is asked, and how strictly its answer is read."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest

from midb_ray.locales import load_locales
from midb_ray.pairs import Text
from midb_ray.quality import judge

LOCALES = load_locales()
PARTS: dict[str, Any] = {
    "content": {"score": 90, "flaws": [], "reason": "Right and complete."},
    "translation": {"score": 80, "flaws": ["fluency"], "reason": "Stiff."},
    "localisation": {"score": 100},
    "overall": {"score": 85, "reason": "Good."},
}


def answer(**parts: object) -> str:
    return json.dumps({**PARTS, **parts})


def test_a_prompt_names_place_language_and_flaws_and_ends_with_the_pair() -> None:
    text = Text("Nenne <|response|> drei Bäume.", "", "Linde, Ahorn, Eiche.")
    prompt = judge.prompt(LOCALES.resolve("de"), text)
    assert "readers of German in Germany" in prompt
    for dimension, caps in judge.CAPS.items():
        assert f"{dimension}: " in prompt
        assert all(flaw in prompt for flaw in caps)
    assert prompt.endswith("<|instruction|>\nNenne <\\|response|> drei Bäume.\n<|response|>\nLinde, Ahorn, Eiche.")
    assert '{"content": {"score": ' in prompt


@pytest.mark.parametrize("form", ["{}", "```json\n{}\n```", "\n```\n{}\n```\n", "  {}  \n"])
def test_a_verdict_is_read_in_a_fence_or_bare(form: str) -> None:
    found = judge.parse(form.replace("{}", answer()))
    assert found[:4] == (90, 80, 100, 85)
    assert found.flaws == {"content": [], "translation": ["fluency"], "localisation": []}
    assert found.reasons["overall"] == "Good."
    assert json.loads(found.told()) == {"flaws": found.flaws, "reasons": found.reasons}


@pytest.mark.parametrize(
    ("dimension", "flaw", "cap"), [(d, f, c) for d, caps in judge.CAPS.items() for f, c in caps.items()]
)
def test_a_flaw_caps_its_score_whatever_the_judge_says(dimension: str, flaw: str, cap: int) -> None:
    found = judge.parse(answer(**{dimension: {"score": 100, "flaws": [flaw]}}))
    assert getattr(found, dimension) == cap
    assert judge.parse(answer(**{dimension: {"score": 7, "flaws": [flaw]}}))[:3].count(7) == 1


def test_a_pair_is_not_good_over_all_with_a_bad_part() -> None:
    bad = {"score": 95, "flaws": ["safety"]}
    assert judge.parse(answer(content=bad, overall={"score": 95})).overall == 70


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "no JSON"),
        ("The pair is good.", "no JSON"),
        (f"Here it is: {answer()}", "no JSON"),
        (answer()[:-1], "no JSON"),
        ("[1]", "no JSON object"),
        (answer(content=None), "content is missing"),
        (answer(overall=85), "overall is missing or no object"),
        (answer(content={"score": "90"}), "content.score"),
        (answer(content={"score": 101}), "content.score"),
        (answer(content={"score": -1}), "content.score"),
        (answer(content={"score": True}), "content.score"),
        (answer(content={"score": 89.5}), "content.score"),
        (answer(content={"score": 90, "flaws": ["ugly"]}), "'ugly', which is none of safety"),
        (answer(content={"score": 90, "flaws": "safety"}), "content.flaws"),
        (answer(content={"score": 90, "flaws": [1]}), "content.flaws"),
        (answer(overall={"score": 90, "flaws": ["safety"]}), "overall.flaws"),
        (answer(content={"score": 90, "reason": 3}), "content.reason"),
        ("[" * 19_000, "no JSON"),
        (" " * 30_000 + answer(), "30,"),
        ('{"content": {"score": NaN}}', "content.score"),
        (answer()[:-1] + ', "content": {"score": 100}}', "a key stands twice"),
        ("```" + "\n" * 19_000, "no JSON"),
    ],
)
def test_what_is_no_verdict_is_told_and_never_guessed(text: str, told: str) -> None:
    with pytest.raises(ValueError, match=re.escape(told)):
        judge.parse(text)


def test_half_a_character_in_a_reason_can_be_written() -> None:
    found = judge.parse(answer(overall={"score": 1, "reason": "x"}).replace('"x"', '"so \\ud83d so"'))
    assert found.reasons["overall"] == "so \ufffd so"
    found.told().encode()


def test_long_reasons_are_cut() -> None:
    assert len(judge.parse(answer(overall={"score": 1, "reason": "x" * 9000})).reasons["overall"]) == judge.LONGEST
