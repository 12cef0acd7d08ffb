"""Lines and sentences as spans."""

from __future__ import annotations

import itertools
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from midb_ray.signals.sentences import lines, sentences


def cut(text: str) -> list[list[str]]:
    return [[span.of(text) for span in sentences(text, line)] for line in lines(text)]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("One. Two! Three?", [["One.", "Two!", "Three?"]]),
        ("He said “Stop.” Then he left.", [["He said “Stop.”", "Then he left."]]),
        ("Pi is 3.14 today.", [["Pi is 3.14 today."]]),
        ("これは文です。次の文です！終わり", [["これは文です。", "次の文です！", "終わり"]]),
        ("「はい。」と言った。", [["「はい。」", "と言った。"]]),
        ("هل هذا صحيح؟ نعم.", [["هل هذا صحيح؟", "نعم."]]),
        ("  - first item\n\n\t- second item  ", [["- first item"], ["- second item"]]),
        ("Am 7. Mai, z. B. um 9. Dann nicht.", [["Am 7. Mai, z. B. um 9. Dann nicht."]]),
        ("Dr. Ana Ruiz came in 1999. She left.", [["Dr. Ana Ruiz came in 1999.", "She left."]]),
        ("Boston and Washington D.C. are old.", [["Boston and Washington D.C. are old."]]),
        ("no mark at all", [["no mark at all"]]),
        (" \n\t\n", []),
        ("", []),
    ],
)
def test_marks_of_each_script_end_sentences(text: str, expected: list[list[str]]) -> None:
    assert cut(text) == expected


@given(st.text(alphabet="ab .!?。\n”\t"))
def test_nothing_but_white_space_is_left_out_and_nothing_stands_twice(text: str) -> None:
    spans = [span for line in lines(text) for span in sentences(text, line)]
    assert "".join("".join(span.of(text) for span in spans).split()) == "".join(text.split())
    assert all(one.end <= other.start for one, other in itertools.pairwise(spans))
    assert all(span.of(text) == span.of(text).strip() != "" for span in spans)


def test_long_hostile_text_costs_no_more_than_its_length() -> None:
    def seconds(size: int) -> float:
        text = '."' * size + " " * size + "。" * size
        begun = time.process_time()
        cut(text)
        return time.process_time() - begun

    assert seconds(40_000) < 100 * max(seconds(4_000), 0.01)  # quadratic work would be as much as a hundred times
