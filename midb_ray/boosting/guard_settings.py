"""The settings of the guard; apart from it, as the checks need them too."""

from __future__ import annotations

import pydantic

from midb_ray.config import Settings


class GuardSettings(Settings):
    """What the guard checks, and its thresholds. An answer that fails any check leaves the pair as it was."""

    language: bool = True
    """Reject answers in another language than the pair's."""
    script: bool = True
    """Reject answers in another script than the language's."""
    script_share: float = pydantic.Field(0.4, ge=0, le=1)
    """Share of the letters that must be of the language's scripts."""
    repetition: bool = True
    """Reject loops and text that is there twice."""
    loop: int = pydantic.Field(60, ge=1)
    """Characters that a run of even repeats must have to be a loop."""
    doubled: float = pydantic.Field(0.42, ge=0, le=1)
    """Share of the text that must have stood in it before for it to be there twice."""
    length: bool = True
    """Reject instructions and responses out of proportion to the raw ones."""
    response_longest: tuple[float, float] = (3.0, 1_500)
    """Longest response: so many times the raw one, and so many characters more."""
    response_shortest: tuple[float, float] = (0.25, 60)
    """Shortest response: this share of the raw one's characters beyond the first so many."""
    instruction_longest: tuple[float, float] = (2.0, 200)
    """Longest instruction: so many times the raw one, and so many characters more."""
    instruction_shortest: tuple[float, float] = (0.15, 20)
    """Shortest instruction: this share of the raw one's characters beyond the first so many."""
    related: bool = True
    """Reject answers about something else than the raw instruction and input."""
    related_share: float = pydantic.Field(0.1, ge=0, le=1)
    """Share of the raw instruction's and input's runs of characters that must stand in the revised pair."""
    markers: bool = True
    """Reject control tokens, prompt wording and remarks about the revision that the raw pair did not have."""
    characters: bool = True
    """Reject control characters and invisible, private or broken ones that the raw pair did not have."""
    refusals: bool = True
    """Reject responses that decline the request where the raw one did not."""
    input: bool = True
    """Reject answers that lose the input."""
    input_share: float = pydantic.Field(0.2, ge=0, le=1)
    """Share of the raw input's characters that the revised input must have, unless it moved into the instruction."""
    input_moved: float = pydantic.Field(0.75, ge=0, le=1)
    """How much of a lost input the instruction must have to count as having taken it in."""
    input_kept: float = pydantic.Field(0.25, ge=0, le=1)
    """Share of the raw input's runs of characters that must stand in the revised input or instruction where the inputs differ
    by much."""
    input_invented: bool = True
    """Reject inputs where there was none, unless they are taken from the raw pair."""
    input_found: float = pydantic.Field(0.25, ge=0, le=1)
    """Share of such an input's runs of characters that must stand in the raw instruction or response."""
    numbers: bool = True
    """Reject answers that lose numbers of the instruction or input."""
    numbers_few: int = pydantic.Field(3, ge=1)
    """From so many different numbers on, a raw response may not lose nearly all of them either."""
    numbers_share: float = pydantic.Field(0.25, ge=0, le=1)
    """Share of them that must survive."""
    urls: bool = True
    """Reject answers that lose links."""
    emails: bool = True
    """Reject answers that lose e-mail addresses."""
    urls_added: bool = True
    """Reject answers with links that the raw pair did not have."""
    emails_added: bool = True
    """Reject answers with e-mail addresses that the raw pair did not have."""
    code: bool = True
    """Reject answers that lose code fences or spans."""
    code_share: float = pydantic.Field(0.5, ge=0, le=1)
    """Share of the code fences and spans of a response that must survive."""
    placeholders: bool = True
    """Reject answers that lose or translate placeholders."""
    lists: bool = True
    """Reject answers that lose lists of at least three items."""
    list_share: float = pydantic.Field(0.5, ge=0, le=1)
    """Share of a list's items that must survive, as items or as lines."""
