"""Frames: what is left of a conversation when the texts of its pairs are taken out, and the conversation put together again.

A conversation of several turns becomes several pairs. All the rest of it stands in the `extra` of the first one, under the key that
it had: its turns with an empty text where one was taken out, and the places of the answers. Each answer follows its question.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Sequence
from typing import Any, Final, Literal, NamedTuple

from midb_ray.formats import turns
from midb_ray.formats.names import fold
from midb_ray.formats.records import row_of
from midb_ray.pairs import Pair

Form = Literal["messages", "sharegpt", "original"]

LISTS: Final = ("messages", "conversations", "conversation")
"""Keys of a conversation, folded."""
HISTORY: Final = "history"
"""The key of the exchanges before an Alpaca pair, folded: a list of questions and answers."""

_TURNS, _ANSWERS = "turns", "answers"
_CARRIED: Final[Sequence[list[str]]] = (
    [],
    ["user"],
    ["assistant"],
    ["user", "assistant"],
)  # whose turns carried more than a text


class Shape(NamedTuple):
    """The names of a form: the key of the conversation, those of who speaks and of what is said, and the speakers."""

    name: str
    keys: tuple[str, str]
    speakers: dict[str, str]


SHAPES: Final = {
    "messages": Shape("messages", ("role", "content"), {"user": "user", "assistant": "assistant"}),
    "sharegpt": Shape("conversations", ("from", "value"), {"user": "human", "assistant": "gpt"}),
}


class Frame(NamedTuple):
    """A conversation without the texts of its pairs: the key where it stood, its turns, and the places of the answers from 0."""

    key: str
    turns: list[dict[str, Any]]
    answers: list[int]


def emptied(found: Sequence[dict[str, Any]], answers: Sequence[int]) -> dict[str, Any]:
    """What stands in the rest in the conversation's place."""
    taken = {*answers, *(place - 1 for place in answers)}
    left = [
        {**turn, turns.key(turn, turns.CONTENT): ""} if place in taken else turn for place, turn in enumerate(found)
    ]
    return {_TURNS: left, _ANSWERS: list(answers)}


def frame(rest: dict[str, Any]) -> Frame | None:
    """The frame in the rest of a conversation's first pair. None if there is none: the rest is anybody's data."""
    for key, value in rest.items():
        is_history = fold(key) == HISTORY
        if not isinstance(value, dict) or not (is_history or fold(key) in LISTS) or value.keys() != {_TURNS, _ANSWERS}:
            continue
        found, answers = value[_TURNS], value[_ANSWERS]
        if _are_turns(found) and _are_answers(answers, found) and not (is_history and _is_no_history(found)):
            return Frame(key, found, answers)
    return None


def assemble(pairs: Sequence[Pair], form: Form = "messages", whole: bool = True) -> dict[str, Any]:
    """The conversation of these pairs, which are its turns from the first on: as OpenAI's `messages`, in ShareGPT's form, or as the
    row was that they come from. It holds the pairs' texts, and everything else that the conversation had.

    If turns are missing at the end it ends with the last answer that is there. So it does if it is not to be `whole`; otherwise
    what follows the last answer is there too. Raises `ValueError` if the pairs are no turns from the first on.
    """
    first = pairs[0]
    if [pair.turn or 1 for pair in pairs] != list(range(1, len(pairs) + 1)):
        raise ValueError(
            f"expected the turns of {first.source_row or first.row} from the first on, one after the other"
        )
    rest: dict[str, Any] = json.loads(first.extra) if first.extra else {}
    known = _remnant(rest) if first.turn is None else frame(rest)
    if known is None:
        plain = [{"role": name} for _ in pairs for name in ("user", "assistant")]
        known = Frame("messages", plain, list(range(1, len(plain), 2)))
    else:
        del rest[known.key]
    if len(pairs) > len(known.answers):
        raise ValueError(f"{first.source_row or first.row} has {len(known.answers)} turns, not {len(pairs)}")
    ends = whole and len(pairs) == len(known.answers)
    filled = _filled(known, pairs)[: None if ends else known.answers[len(pairs) - 1] + 1]
    bare = first._replace(extra=json.dumps(rest) if rest else None)
    if form != "original":
        shape = SHAPES[form]
        return row_of(bare, {shape.name: [reshaped(turn, shape) for turn in filled]})
    if fold(known.key) != HISTORY:
        return row_of(bare, {known.key: filled})
    last = pairs[-1]
    said = [turn["content"] for turn in filled[:-2]]
    texts = {"instruction": last.instruction, "input": last.input, "output": last.response}
    return row_of(bare, {**texts, known.key: [list(one) for one in zip(said[::2], said[1::2], strict=True)]})


def alone(pair: Pair) -> Pair:
    """A turn without the frame of its conversation: for those who take it for a pair by itself."""
    if pair.turn is None or pair.extra is None:
        return pair
    rest = json.loads(pair.extra)
    known = frame(rest)
    if known is None:
        return pair
    del rest[known.key]
    return pair._replace(extra=json.dumps(rest) if rest else None)


def question(pair: Pair) -> str:
    """What the user says in a conversation. The input follows the instruction after a blank line and cannot be told from it."""
    return f"{pair.instruction}\n\n{pair.input}" if pair.input else pair.instruction


def reshaped(turn: dict[str, Any], shape: Shape) -> dict[str, Any]:
    """A turn with the names of a form for who speaks and what is said; whatever else it carries stays."""
    name, text = turns.key(turn, turns.ROLE), turns.key(turn, turns.CONTENT)
    speaker = shape.speakers.get(turns.known_role(turn) or "", turn.get(name))
    more = {key: one for key, one in turn.items() if key not in (*turns.ROLE, *turns.CONTENT)}
    return {shape.keys[0]: speaker, shape.keys[1]: turn.get(text), **more}


def _filled(known: Frame, pairs: Sequence[Pair]) -> list[dict[str, Any]]:
    """The turns of a frame with the texts of the pairs."""
    filled = [*known.turns]
    for place, pair in zip(known.answers, pairs, strict=False):
        for where, text in ((place - 1, question(pair)), (place, pair.response)):
            filled[where] = {**filled[where], turns.key(filled[where], turns.CONTENT): text}
    return filled


def _remnant(rest: dict[str, Any]) -> Frame | None:
    """The frame of a conversation that is a pair by itself: its system turns, and what the other two carried beside their texts.
    None if the rest has no such thing."""
    for key, left in rest.items():
        if fold(key) not in LISTS or not left or not _are_turns(left):
            continue
        roles = [turns.known_role(turn) for turn in left]
        opening = next((place for place, name in enumerate(roles) if name != "system"), len(roles))
        said = [turn.get(name) for turn in left[opening:] for name in turns.CONTENT]
        if roles[opening:] in _CARRIED and all(text is None for text in said):
            style = turns.ROLE.index(turns.key(left[0], turns.ROLE))
            carried = dict(zip(roles[opening:], left[opening:], strict=True))
            spoken = [carried.get(name, {turns.ROLE[style]: name}) for name in ("user", "assistant")]
            whole = [*left[:opening], *({**turn, turns.CONTENT[style]: ""} for turn in spoken)]
            return Frame(key, whole, [len(whole) - 1])
    return None


def _are_turns(value: object) -> bool:
    return isinstance(value, list) and all(isinstance(turn, dict) for turn in value)


def _is_no_history(found: list[dict[str, Any]]) -> bool:
    """Whether these are no turns that a list of questions and answers was made into."""
    return len(found) % 2 == 1 or any(turn.keys() != {"role", "content"} for turn in found)


def _are_answers(answers: Any, found: list[dict[str, Any]]) -> bool:
    """Whether these are places of answers among the turns, each right behind its question."""
    if not isinstance(answers, list) or not answers or not all(type(place) is int for place in answers):
        return False
    if answers[0] < 1 or answers[-1] >= len(found) or any(b - a < 2 for a, b in itertools.pairwise(answers)):
        return False
    pairs = ((turns.known_role(found[place - 1]), turns.known_role(found[place])) for place in answers)
    return all(speakers == ("user", "assistant") for speakers in pairs)
