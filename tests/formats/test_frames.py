"""Conversations put together again: nothing is lost, and boosted texts stand in their places."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from midb_ray.formats import alpaca, conversations, frames
from midb_ray.pairs import Pair

Read = Callable[..., Any]

TEXT = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=12)
MORE = st.dictionaries(st.sampled_from(["weight", "name", "tool_calls", "meta"]), st.integers() | TEXT, max_size=2)
ROLES = {
    "messages": ["user", "user", "assistant", "assistant", "system", "developer", "tool", "function"],
    "conversations": ["human", "human", "gpt", "gpt", "system", "observation", "function_call"],
}
Q, A = {"role": "user", "content": ""}, {"role": "assistant", "content": ""}
SPEAKERS = {"human": "user", "gpt": "assistant"}


@st.composite
def rows(draw: st.DrawFn) -> dict[str, Any]:
    """A row with a conversation that has at least one exchange, wherever it stands."""
    key = draw(st.sampled_from(sorted(ROLES)))
    role, content = ("role", "content") if key == "messages" else ("from", "value")

    def turn(name: str, text: Any) -> dict[str, Any]:
        return {role: name, content: text, **draw(MORE)}

    around = [
        [turn(draw(st.sampled_from(ROLES[key])), draw(st.none() | TEXT)) for _ in range(draw(st.integers(0, 5)))]
        for _ in range(2)
    ]
    exchange = [turn(ROLES[key][0], "q" + draw(TEXT)), turn(ROLES[key][2], "a" + draw(TEXT))]
    rest = draw(st.dictionaries(st.sampled_from(["source", "score", "tags"]), st.integers() | TEXT | st.lists(TEXT)))
    return {**rest, key: [*around[0], *exchange, *around[1]]}


def alike(turn: dict[str, Any]) -> dict[str, Any]:
    """A turn with the names of OpenAI's form."""
    name, content = turn.get("role", turn.get("from")), turn.get("content", turn.get("value"))
    more = {key: one for key, one in turn.items() if key not in ("role", "from", "content", "value")}
    return {"role": SPEAKERS.get(str(name), name), "content": content, **more}


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=150, deadline=None)
@given(row=rows())
def test_a_conversation_that_was_read_comes_back_whole_in_every_form(read_turns: Read, row: dict[str, Any]) -> None:
    pairs = read_turns(row)
    key = "messages" if "messages" in row else "conversations"
    rest = {name: one for name, one in row.items() if name != key}
    said = [alike(turn) for turn in row[key]]
    if pairs[0].turn is not None:
        assert frames.assemble(pairs, "original") == {**row, "language": "fr"}
    for form, name in (("messages", "messages"), ("sharegpt", "conversations")):
        made = frames.assemble(pairs, form)
        assert [alike(turn) for turn in made.pop(name)] == said
        assert made == {**rest, "language": "fr"}
        assert all(("role" in turn) == (form == "messages") for turn in frames.assemble(pairs, form)[name])


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=100, deadline=None)
@given(row=rows())
def test_what_was_put_together_is_read_as_the_same_pairs(read_turns: Read, row: dict[str, Any]) -> None:
    pairs = read_turns(row)
    for form in ("messages", "sharegpt"):
        again = read_turns(json.loads(json.dumps(frames.assemble(pairs, form))))
        assert [pair._replace(extra=None) for pair in again] == [pair._replace(extra=None) for pair in pairs]


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=100, deadline=None)
@given(row=rows(), text=TEXT)
def test_boosted_texts_stand_in_the_places_of_the_raw_ones(read_turns: Read, row: dict[str, Any], text: str) -> None:
    pairs = read_turns(row)
    boosted = [pair._replace(instruction=f"Q{n}{text}", response=f"A{n}{text}") for n, pair in enumerate(pairs)]
    said = next(row[key] for key in ROLES if key in row)
    made = frames.assemble(boosted, "messages")["messages"]
    assert len(made) == len(said)
    changed = [after["content"] for before, after in zip(said, made, strict=True) if alike(before) != after]
    assert changed == [text for pair in boosted for text in (pair.instruction, pair.response)]


def turns_of(read_turns: Read, count: int, *after: dict[str, Any]) -> list[Pair]:
    speakers = (("user", "q"), ("assistant", "a"))
    said = [{"role": name, "content": f"{text}{n}"} for n in range(count) for name, text in speakers]
    pairs: list[Pair] = read_turns({"messages": [*said, *after]})
    return pairs


def test_a_conversation_whose_last_turns_are_missing_ends_with_the_last_answer_that_is_there(read_turns: Read) -> None:
    pairs = turns_of(read_turns, 3, {"role": "user", "content": "And?"})
    assert [turn["content"] for turn in frames.assemble(pairs[:2])["messages"]] == ["q0", "a0", "q1", "a1"]
    assert frames.assemble(pairs)["messages"][-1]["content"] == "And?"
    assert frames.assemble(pairs, whole=False)["messages"][-1]["content"] == "a2"


@pytest.mark.parametrize("chosen", [[1], [0, 2], [1, 0], [0, 0]])
def test_turns_with_a_gap_are_refused(read_turns: Read, chosen: list[int]) -> None:
    pairs = turns_of(read_turns, 3)
    with pytest.raises(ValueError, match=r"expected the turns of corpora/French.json:7 from the first on"):
        frames.assemble([pairs[place] for place in chosen])


def test_more_turns_than_a_conversation_has_are_refused(read_turns: Read) -> None:
    pairs = turns_of(read_turns, 2, {"role": "user", "content": "And?"})
    with pytest.raises(ValueError, match="has 2 turns, not 3"):
        frames.assemble([*pairs, pairs[1]._replace(turn=3)])


@pytest.mark.parametrize(
    "odd",
    [
        {"turns": [Q], "answers": [1]},
        {"turns": [Q, A], "answers": [0]},
        {"turns": [Q, A], "answers": []},
        {"turns": [Q, A, A], "answers": [1, 2]},
        {"turns": [Q, A], "answers": [True]},
        {"turns": [Q, A], "answers": "1"},
        {"turns": [A, Q], "answers": [1]},
        {"turns": [Q, {}], "answers": [1]},
        {"turns": "ab", "answers": [1]},
        {"turns": [Q, A], "answers": [1], "more": 1},
        [{"role": "system", "content": "a"}, {"role": "assistant", "content": "b"}],
        [{"role": "user"}, {"role": "user"}],
        [],
    ],
)
def test_what_only_looks_like_a_frame_is_a_users_own_data(odd: Any) -> None:
    pair = Pair("a:1", None, None, "fr", "q", "", "a", (), json.dumps({"messages": odd}))
    for one in (pair, pair._replace(source_row="a:1", turn=1)):
        row = frames.assemble([one])
        assert [turn["content"] for turn in row["messages"]] == ["q", "a"]
        assert row["extra"] == {"messages": odd}


def test_a_frame_in_the_rest_of_a_pair_by_itself_is_a_users_own_data() -> None:
    extra = {"messages": {"turns": [Q, A], "answers": [1]}}
    row = conversations.to_row(Pair("a:1", None, None, "fr", "q", "", "a", (), json.dumps(extra)))
    assert row["extra"] == extra


def test_turns_without_a_frame_follow_each_other(read_turns: Read) -> None:
    pairs = [pair._replace(extra=None) for pair in turns_of(read_turns, 2)]
    assert [turn["value"] for turn in frames.assemble(pairs, "sharegpt")["conversations"]] == ["q0", "a0", "q1", "a1"]


def test_a_history_comes_back_as_one_and_as_a_conversation(read_turns: Read) -> None:
    row = {
        "instruction": "c",
        "input": "d",
        "output": "e",
        "language": "fr",
        "history": [["a", "b"], [None, "x"], ["", "y"]],
        "score": 1,
    }
    pairs = read_turns(row, "alpaca")
    assert frames.assemble(pairs, "original") == row
    made = frames.assemble(pairs)
    assert [turn["content"] for turn in made["messages"]] == ["a", "b", None, "x", "", "y", "c\n\nd", "e"]
    assert "history" not in made
    assert frames.assemble(pairs[:1], "original") == {
        **row, "instruction": "a", "input": "", "output": "b", "history": []
    }  # fmt: skip


def test_a_turn_taken_for_a_pair_by_itself_leaves_the_frame_behind(read_turns: Read) -> None:
    first, *_ = turns_of(read_turns, 2)
    assert alpaca.to_row(first) == {"instruction": "q0", "input": "", "output": "a0", "language": "fr"}
    assert conversations.to_sharegpt_row(first) == {
        "conversations": [{"from": "human", "value": "q0"}, {"from": "gpt", "value": "a0"}],
        "language": "fr",
    }


@pytest.mark.parametrize("form", ["messages", "conversations"])
def test_what_else_the_turns_of_a_single_exchange_carried_goes_back_to_them(read: Read, form: str) -> None:
    role, content = ("role", "content") if form == "messages" else ("from", "value")
    row = {
        form: [
            {role: "system", content: "Be brief."},
            {role: "user", content: "a", "name": "Eva"},
            {role: "assistant", content: "c", "weight": 1},
        ]
    }
    pair = read(row, "conversations")
    for made in (conversations.to_row(pair), conversations.to_sharegpt_row(pair)):
        (said,) = (made[key] for key in ("messages", "conversations") if key in made)
        assert [alike(turn) for turn in said] == [alike(turn) for turn in row[form]]
        assert read(made, "conversations")._replace(extra=None) == pair._replace(extra=None)
