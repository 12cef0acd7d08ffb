"""From rendered prompts to requests: the part of an engine that runs on CPU stages, away from the model."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import lru_cache
from typing import Any, NamedTuple

from midb_ray import prompts
from midb_ray.engines import models
from midb_ray.engines.base import Request
from midb_ray.engines.encoding import PromptEncoder, load_tokenizer
from midb_ray.engines.settings import EngineSettings
from midb_ray.pairs import Text, Turn

_HEADS = 1024  # lengths kept of what stands before the pair; there is one such text per locale


class Loaded(NamedTuple):
    """What requests for a model are made with; `context` is its own bound in tokens, None where it sets none."""

    encoder: PromptEncoder
    context: int | None

    def within(self, context: int | None) -> Loaded:
        """The same under one bound more."""
        return Loaded(self.encoder, min((one for one in (self.context, context) if one is not None), default=None))


class Requester:
    """Turns prompts into requests for the engine of `settings`: text for echo and openai, token ids within the context
    for the others.

    Without `loaded` the model's tokenizer is loaded, once in a process. Raises `UserError` if it cannot be.
    """

    def __init__(self, settings: EngineSettings, loaded: Loaded | None = None) -> None:
        self._settings = settings
        self._encoder: PromptEncoder | None = None
        self._context: int | None = None
        if not settings.takes_text:
            assert settings.model is not None  # the settings see to it
            loaded = loaded or load_encoder(settings.model, settings.revision)
            self._encoder, self._context = loaded.within(settings.context)
        self._heads: dict[str, int] = {}

    def request(self, prompt: str, serialised: str) -> Request | None:
        """See `requests`."""
        return self.requests([prompt], [serialised])[0]

    def requests(self, prompts: Sequence[str], serialised: Sequence[str]) -> list[Request | None]:
        """One request for each prompt, which ends with its serialised pair. None where the context has no room left for
        an answer as long as the pair itself: the prompt is too long."""
        if self._encoder is None:
            return [
                Request(prompt, None, self._limit(len(text))) for prompt, text in zip(prompts, serialised, strict=True)
            ]
        ids = self._encoder.prompts(prompts)
        return [self._limited(*row) for row in zip(ids, prompts, serialised, strict=True)]

    def _limit(self, characters: int) -> int:
        """The most new tokens where no tokenizer is there to count the pair's: as good as no text has more tokens than characters,
        so nobody gets less than with a tokenizer, and an answer caught in a loop still ends."""
        settings = self._settings
        if settings.model is None:
            return settings.max_new_tokens
        return min(settings.max_new_tokens, math.ceil(settings.answer_budget * characters) + settings.answer_floor)

    def _limited(self, ids: list[int], prompt: str, serialised: str) -> Request | None:
        settings = self._settings
        pair = len(ids) - self._head(prompt[: len(prompt) - len(serialised)])
        limit = min(settings.max_new_tokens, math.ceil(settings.answer_budget * pair) + settings.answer_floor)
        if self._context is not None:
            room = self._context - len(ids)
            if room <= pair:  # the end token needs a place too
                return None
            limit = min(limit, room)
        return Request(text=None, ids=ids, limit=limit)

    def _head(self, text: str) -> int:
        """Tokens of a prompt that do not belong to its pair, give or take a merge where the two meet."""
        if text not in self._heads:
            assert self._encoder is not None
            if len(self._heads) >= _HEADS:
                self._heads.clear()
            self._heads[text] = self._encoder.frame + len(self._encoder.plain(text))
        return self._heads[text]


@lru_cache(maxsize=2)
def load_encoder(model: str, revision: str | None) -> Loaded:
    """Raises `UserError` if the tokenizer or the configuration cannot be loaded."""
    encoder = PromptEncoder(load_tokenizer(model, revision))
    return Loaded(encoder, models.context_length(models.load_config(model, revision)))


def shared(settings: EngineSettings) -> Any:
    """A reference to `Loaded` in Ray's store, None for an engine that takes text: processes that only prepare come up without
    importing transformers and torch, which costs each of them seconds of processor and some 250 MB."""
    import ray

    if settings.takes_text or settings.model is None:
        return None
    return ray.put(load_encoder(settings.model, settings.revision))


def requester(settings: EngineSettings, loaded: Any) -> Requester:
    """The requester of an engine, with what `shared` has put into the store where there is such."""
    return Requester(settings, None if loaded is None else _got(loaded))


def loaded_for(settings: EngineSettings, loaded: Any) -> Loaded:
    """What texts are measured with, for an engine that takes ids: its encoder, and the bound that model and settings set together.
    `loaded` is what `shared` has put into the store."""
    assert settings.model is not None  # the settings see to it
    found = load_encoder(settings.model, settings.revision) if loaded is None else _got(loaded)
    return found.within(settings.context)


def _got(loaded: Any) -> Loaded:
    import ray

    found: Loaded = ray.get(loaded)
    return found


def of_pairs(
    made_by: Requester, headings: Sequence[str], texts: Sequence[Text], contexts: Sequence[Sequence[Turn]] = ()
) -> list[Request | None]:
    """One request for each pair, serialised under the heading of its language; None where the prompt is too long. `contexts` are
    what was said before each pair: as much of it as there is room for stands between the two."""
    serialised = [prompts.serialise(text) for text in texts]
    contexts = contexts or [()] * len(texts)
    rendered = [f"{heading}{prompts.before(turns)}" for heading, turns in zip(headings, contexts, strict=True)]
    found = made_by.requests([f"{head}{text}" for head, text in zip(rendered, serialised, strict=True)], serialised)
    for place, turns in enumerate(contexts):
        if found[place] is None and turns:
            found[place] = _shortened(made_by, headings[place], turns, serialised[place])
    return found


def _shortened(made_by: Requester, heading: str, turns: Sequence[Turn], serialised: str) -> Request | None:
    """The request with as many turns before the pair as fit, fewer than all; None if it is too long without any."""
    found: Request | None = None
    few, many = 0, len(turns)
    while few < many:
        middle = (few + many) // 2
        made = made_by.request(f"{heading}{prompts.before(_last(turns, middle))}{serialised}", serialised)
        found, few, many = (found, few, middle) if made is None else (made, middle + 1, many)
    return found


def _last(turns: Sequence[Turn], count: int) -> list[Turn]:
    """So many turns without the oldest ones; system turns at the beginning are the last to go."""
    opening = next((place for place, turn in enumerate(turns) if turn.role != "system"), len(turns))
    if count <= opening:
        return [*turns[:count]]
    return [*turns[:opening], *turns[len(turns) - (count - opening) :]]
