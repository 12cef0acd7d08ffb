"""Conversations of several turns: which are pairs, what stands before each, and what becomes of everything else."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from midb_ray.formats import turns
from midb_ray.pairs import Turn, heard

Read = Callable[..., Any]

SYSTEM = {"role": "system", "content": "Be brief."}


def user(text: Any, **more: Any) -> dict[str, Any]:
    return {"role": "user", "content": text, **more}


def assistant(text: Any, **more: Any) -> dict[str, Any]:
    return {"role": "assistant", "content": text, **more}


def test_a_conversation_is_one_pair_for_each_answer(read_turns: Read) -> None:
    row = {
        "id": 5,
        "language": "de",
        "messages": [SYSTEM, user("a"), assistant("b"), user("c"), assistant("d")],
        "score": 4.5,
        "note": "x" * 1000,
    }
    one, two = read_turns(row)
    assert (one.row, one.source_row, one.turn) == ("corpora/French.json:7#1", "corpora/French.json:7", 1)
    assert (two.row, two.source_row, two.turn) == ("corpora/French.json:7#2", "corpora/French.json:7", 2)
    assert [(pair.id, pair.language, pair.instruction, pair.input, pair.response) for pair in (one, two)] == [
        ("5", "de", "a", "", "b"),
        ("5", "de", "c", "", "d"),
    ]
    assert heard(one.context) == [Turn("system", "Be brief.")]
    assert heard(two.context) == [Turn("system", "Be brief."), Turn("user", "a"), Turn("assistant", "b")]
    assert json.loads(one.extra) == {
        "messages": {
            "turns": [SYSTEM, user(""), assistant(""), user(""), assistant("")],
            "answers": [2, 4],
        },
        "score": 4.5,
        "note": "x" * 1000,
    }
    assert json.loads(two.extra) == {"score": 4.5}  # a gate may look at it; what is long stands there once


def test_each_text_is_mended_and_noted_with_its_own_pair(read_turns: Read) -> None:
    one, two = read_turns({"messages": [user("a\0"), assistant(7), user("c"), assistant("\ud800"), user("\ud800")]})
    assert (one.instruction, one.response, two.response) == ("a", "7", "\ufffd")
    assert one.repairs == ("instruction: NUL removed", "response: number written as text")
    assert two.repairs == ("response: lone surrogate replaced",)
    assert heard(two.context) == [Turn("user", "a"), Turn("assistant", "7")]


CALL = {"role": "assistant", "content": None, "tool_calls": [{"name": "f"}]}
TOOL = {"role": "tool", "content": {"degrees": 20}}


@pytest.mark.parametrize(
    ("said", "pairs", "last"),
    [
        ([user("a"), assistant("b"), user("c")], ["a-b"], []),
        ([user("a"), assistant("b"), assistant("c")], ["a-b"], []),
        ([assistant("hi"), user("a"), assistant("b")], ["a-b"], ["assistant: hi"]),
        ([user("x"), user("a"), assistant("b")], ["a-b"], ["user: x"]),
        ([user("a"), assistant(" "), user("c"), assistant("d")], ["c-d"], ["user: a"]),
        ([user(None), assistant("b"), user("c"), assistant("d")], ["c-d"], ["assistant: b"]),
        ([user("a"), assistant("b"), SYSTEM, user("c"), assistant("d")], ["a-b", "c-d"],
         ["user: a", "assistant: b", "system: Be brief."]),
        ([user("a"), CALL, TOOL, assistant("x"), user("c"), assistant("d")], ["c-d"],
         ["user: a", 'tool: {"degrees":20}', "assistant: x"]),
        ([SYSTEM, TOOL, user("a"), assistant("b")], ["a-b"], ["system: Be brief.", 'tool: {"degrees":20}']),
    ],
)  # fmt: skip
def test_what_can_be_a_pair_becomes_one_and_the_rest_is_what_was_said(
    read_turns: Read, said: list[dict[str, Any]], pairs: list[str], last: list[str]
) -> None:
    found = read_turns({"messages": said})
    assert [f"{pair.instruction}-{pair.response}" for pair in found] == pairs
    assert [f"{turn.role}: {turn.content}" for turn in heard(found[-1].context)] == last


def test_the_speakers_of_sharegpt_are_known_too(read_turns: Read) -> None:
    names = ("human", "function_call", "observation", "gpt", "Human", "GPT")
    said = [{"from": name, "value": f"{number}"} for number, name in enumerate(names)]
    (pair,) = read_turns({"conversations": said})
    assert (pair.instruction, pair.response) == ("4", "5")
    assert [turn.role for turn in heard(pair.context)] == ["user", "tool", "tool", "assistant"]


def test_a_context_ends_with_the_last_turns_and_never_grows_beyond_its_bounds() -> None:
    said = [Turn("system", "s"), *[Turn(("user", "assistant")[number % 2], f"{number}") for number in range(10_000)]]
    found = list(turns.contexts(said, range(1, 10_001, 2)))
    assert found[0] == said[:1]
    assert found[3] == said[:7]
    assert found[-1] == [said[0], *said[9_999 - turns.CONTEXT_TURNS : 9_999]]
    long = [Turn("system", "s"), *[Turn("user", "x" * 5_000)] * 4, Turn("user", "y")]
    ((*kept, last),) = turns.contexts([*long, Turn("user", "z")], [len(long)])
    assert (kept[0], last) == (long[0], long[-1])
    assert sum(len(turn.content) for turn in kept) <= turns.CONTEXT_CHARACTERS
    assert len(kept) == 3


def test_long_system_turns_leave_room_for_what_was_said() -> None:
    half = turns.CONTEXT_CHARACTERS // 2
    said = [Turn("system", "s" * (half + 1)), Turn("system", "t" * half), *[Turn("user", "u" * half)] * 2]
    assert next(turns.contexts([*said, Turn("user", "v")], [4])) == said[1:3]


def test_a_turn_that_is_too_long_by_itself_ends_the_context() -> None:
    said = [Turn("user", "a"), Turn("assistant", "b" * (turns.CONTEXT_CHARACTERS + 1)), Turn("user", "c")]
    assert next(turns.contexts([*said, Turn("assistant", "d")], [3])) == said[2:]


def test_a_long_conversation_stays_small(read_turns: Read) -> None:
    said = [turn for number in range(10_000) for turn in (user(f"q{number}"), assistant(f"a{number}"))]
    found = read_turns({"messages": said})
    assert len(found) == 10_000
    assert sum(len(pair.context or "") + len(pair.extra or "") for pair in found) < 100 * len(json.dumps(said))


def test_the_history_of_an_alpaca_row_is_the_turns_before_its_pair(read_turns: Read) -> None:
    row = {"instruction": "c", "input": "d", "output": "e", "history": [["a", "b"], ["", "x"]]}
    one, two = read_turns(row, "alpaca")
    assert (one.instruction, one.input, one.response, one.context) == ("a", "", "b", None)
    assert (two.instruction, two.input, two.response) == ("c", "d", "e")
    assert heard(two.context) == [Turn("user", "a"), Turn("assistant", "b"), Turn("assistant", "x")]
