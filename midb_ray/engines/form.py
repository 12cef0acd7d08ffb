"""Guided form: hold answers to the form of a serialised pair, token by token, for boosters too weak to keep it.

An answer begins with `<|instruction|>`; each further marker stands on a line of its own, once and in order, and no answer ends
before its response has begun. Only what would break the form is taken from the model's choice: an answer that keeps
the form by itself is not touched, unless it brings in `<|`, with which markers begin, where the pair has none. The
markers are plain text to a tokenizer, so they are followed character by character, whatever tokens they are made of.
"""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Collection, Sequence
from typing import NamedTuple

import torch
from transformers import LogitsProcessor

from midb_ray.engines.encoding import PromptEncoder
from midb_ray.errors import UserError
from midb_ray.prompts import INPUT, INSTRUCTION, RESPONSE, REVISED

_GROWTH, _FLOOR = 1.5, 64  # more tokens than instruction and input have in any expert revision, in each of 14 languages
_TELLING = 6  # characters of a marker that announce it, as `<|resp`; fewer are found in code and in chat templates

_MARKERS = (INSTRUCTION, INPUT, RESPONSE, REVISED)
_MARKER = re.compile("|".join(map(re.escape, _MARKERS)))
_NEXT = {INSTRUCTION: (INPUT, RESPONSE), INPUT: (RESPONSE,), RESPONSE: ()}
_BEGINNINGS = {
    f"{line}{marker}"[:size] for marker in _MARKERS for line in ("", "\n") for size in range(1, len(marker) + 1)
}
_LONGEST = max(map(len, _BEGINNINGS))


class Place(NamedTuple):
    """Where an answer stands: in which marker's section ("" before the first), after what end of its text that may become a marker,
    and what text is due next because a marker has begun. `free`: whether `<|` may also stand for itself."""

    section: str
    end: str
    due: str = ""
    free: bool = True


def follow(place: Place, text: str) -> Place | None:
    """The place after some more text, or None if it cannot stand there: something else is due, or it holds a marker, or
    the beginning of one, that is not next."""
    section, end, due, free = place
    if due:
        if not text or not (due.startswith(text) or text.startswith(due)):
            return None
        if len(text) < len(due):
            return place._replace(due=due[len(text) :])
        section, text = section or INSTRUCTION, text[len(due) :]
    text = end + text
    while found := _MARKER.search(text):
        before, after = text[: found.start()], text[found.end() :]
        if found[0] not in _NEXT[section] or not before.endswith("\n") or after[:1] not in ("", "\n"):
            return None
        if "<|" in before and not free:
            return None
        if not after:
            return Place(found[0], "", "\n", free)
        section, text = found[0], after[1:]
    end = next((text[-size:] for size in range(_LONGEST, 0, -1) if text[-size:] in _BEGINNINGS), "")
    if text.count("<|") > end.count("<|") and not free:
        return None
    if len(end.lstrip("\n")) < (_TELLING if free else len("<|")):
        return Place(section, end, "", free)
    possible = [marker for marker in _NEXT[section] if f"\n{marker}".startswith(end)]
    if len(possible) > 1:
        return Place(section, end, "", free)
    return Place(possible[0], "", f"\n{possible[0]}\n"[len(end) :], free) if possible else None


def respond(place: Place) -> Place:
    """The place from which on nothing but the response can come."""
    marker = f"\n{RESPONSE}\n"
    due = marker.removeprefix(place.end) if marker.startswith(place.end) else marker
    return Place(RESPONSE, "", due, place.free)


class Form:
    """The form in the tokens of one tokenizer; `end` are the ids that end an answer. Raises `UserError` for a tokenizer that cannot
    write the markers."""

    def __init__(self, encoder: PromptEncoder, end: Collection[int]) -> None:
        self._end = frozenset(end)
        self._cue = encoder.cue
        self._pieces = encoder.pieces()
        self._first_pieces = encoder.first_pieces()
        self._blocked: dict[Place, torch.Tensor] = {}
        if absent := set("\n".join(_MARKERS)).difference(self._pieces):  # with them any rest of a marker can be written
            raise UserError(
                f"engine.guided: the tokenizer has no token for {sorted(absent)[0]!r}, which markers are made of."
            )

    def start(self, prompt: Sequence[int]) -> tuple[Place, float]:
        """Where an answer to this prompt begins, and how many tokens it may have when its response begins: no bound if the prompt
        shows no pair."""
        pieces = [self._pieces[token] for token in prompt[: len(prompt) - self._cue] if token < len(self._pieces)]
        text = "".join(pieces)
        begin = text.find(f"{INSTRUCTION}\n")
        stop = text.find(f"\n{RESPONSE}\n", begin)
        if begin < 0 or stop < 0:
            return Place("", "", f"{INSTRUCTION}\n"), math.inf
        question = sum(begin < start <= stop for start in itertools.accumulate(map(len, pieces), initial=0))
        free = "<|" in _MARKER.sub("", text[begin:])
        return Place("", "", f"{INSTRUCTION}\n", free), _GROWTH * question + _FLOOR

    def after(self, place: Place, token: int) -> Place | None:
        """Where an answer stands after a token; None when it has ended."""
        if token in self._end:
            return None
        followed = follow(place, self._piece(place, token))
        assert followed is not None, f"token {token} cannot stand at {place}"
        return followed

    def blocked(self, place: Place, vocabulary: int, device: torch.device) -> torch.Tensor:
        """Which ids cannot stand at a place: (vocabulary,) booleans."""
        if place not in self._blocked:
            mask = [
                (bool(place.due) or "<|" in place.end + self._piece(place, token))
                and follow(place, self._piece(place, token)) is None
                for token in range(vocabulary)
            ]
            for token in self._end.intersection(range(vocabulary)):
                mask[token] = bool(place.due) or place.section != RESPONSE
            self._blocked[place] = torch.tensor(mask, device=device)
        return self._blocked[place]

    def _piece(self, place: Place, token: int) -> str:
        pieces = self._pieces if place.section or place.due != f"{INSTRUCTION}\n" else self._first_pieces
        return pieces[token] if token < len(pieces) else ""


class RowForm(LogitsProcessor):
    """Guided form in a batch: each row by itself, however the others stand."""

    def __init__(self, form: Form, prompts: Sequence[torch.Tensor]) -> None:
        self._form = form
        starts = [form.start(prompt.tolist()) for prompt in prompts]
        self._places: list[Place | None] = [place for place, _ in starts]
        self._allowances = [allowance for _, allowance in starts]
        self._new = 0  # tokens that every row has got

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        if self._new:
            for row, token in enumerate(input_ids[:, -1].tolist()):
                self._take(row, token)
        self._new += 1
        blocked = torch.zeros_like(scores, dtype=torch.bool)
        for row, place in enumerate(self._places):
            if place is not None:
                blocked[row] = self._form.blocked(place, scores.shape[1], scores.device)
        return scores.masked_fill(blocked, -math.inf)

    def keep(self, rows: Sequence[int]) -> None:
        """From now on the batch has these rows alone."""
        self._places = [self._places[row] for row in rows]
        self._allowances = [self._allowances[row] for row in rows]

    def _take(self, row: int, token: int) -> None:
        place = self._places[row]
        place = self._form.after(place, token) if place is not None else None
        if place is not None and not place.due and place.section != RESPONSE and self._new >= self._allowances[row]:
            place = respond(place)
        self._places[row] = place
