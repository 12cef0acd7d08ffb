"""The booster card as a record: what stands in card.json beside a booster's weights, and whether the booster fails it."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Mapping
from typing import Annotated, Any, Final

import pydantic
import xxhash

from midb_ray import prompts
from midb_ray.engines.settings import EngineSettings
from midb_ray.runs import storage

logger = logging.getLogger("midb_ray")

FILE: Final = "card.json"
PARSE_RATE: Final = 0.9
PASS_RATE: Final = 0.5
FEW: Final = 8  # rows; of a language with fewer nothing is said
_LARGEST = 1 << 20  # bytes; what is larger is no card

Share = Annotated[float, pydantic.Field(ge=0, le=1)]
Difference = Annotated[float, pydantic.Field(ge=-1, le=1)]
Word = Annotated[str, pydantic.Field(pattern=r"^[A-Za-z0-9_.+-]{1,40}$")]


class _Record(pydantic.BaseModel):
    """A card comes with a model that anybody may have made, so it is checked like any data."""

    model_config = pydantic.ConfigDict(frozen=True, extra="ignore", allow_inf_nan=False)


class CardFigures(_Record):
    """What came of the rows of one language, or of all rows. Nearness to the expert is `boosting.card.nearness`, its mean over
    the rows: of the raw pairs, of the final texts (the original where the guard refuses the answer), and of the answers that
    parse, accepted or not (None if none does). `gain` is final minus raw, `gain_interval` its 95 % interval (percentile
    bootstrap over rows; None for a single row)."""

    rows: int = pydantic.Field(ge=1, le=1_000_000_000)
    parse_rate: Share
    pass_rate: Share
    truncated_share: Share
    reasons: dict[Word, int]
    raw_nearness: Share
    final_nearness: Share
    answer_nearness: Share | None
    gain: Difference
    gain_interval: tuple[Difference, Difference] | None


class Card(_Record):
    """How a booster did on validation rows. `model` is the digest of the files that decide what it says (`model_digest`), `seed`
    is None where the likeliest token was always taken, `made` is in UTC; `languages` are by BCP-47 tag."""

    midb_ray: Word
    made: pydantic.AwareDatetime
    model: Word
    template: prompts.Template
    seed: int | None
    rows_per_language: int = pydantic.Field(ge=1)
    all: CardFigures
    languages: dict[Word, CardFigures] = pydantic.Field(min_length=1)

    def to_json(self) -> bytes:
        """The content of card.json."""
        return self.model_dump_json(indent=1).encode()


def model_digest(files: Mapping[str, str]) -> str:
    """One value for the `files` of `engines.models.identity`: a card belongs to the model with this one."""
    return xxhash.xxh3_128_hexdigest(json.dumps(dict(files), sort_keys=True).encode())


def read(booster: str) -> Card | None:
    """The card of a booster, None if it has none. Raises OSError, or ValueError for what is no card."""
    place = storage.join(booster, FILE)
    try:
        with storage.open_input(place) as file:
            if file.size() > _LARGEST:
                raise ValueError(f"{file.size()} bytes are too many for a card")
            content = file.read()
    except FileNotFoundError:
        return None
    return Card.model_validate_json(content)


def problems(card: Card) -> list[str]:
    """Why a booster fails its own card, a sentence for each reason with the languages that it holds for; nothing if it does not.

    It fails if, over all rows or those of a language with at least `FEW`, fewer than `PARSE_RATE` of its answers parse, fewer
    than `PASS_RATE` pass the guard, or the final texts are on average farther from the expert than the raw pairs.
    """
    judged = {"all": card.all, **{name: found for name, found in sorted(card.languages.items()) if found.rows >= FEW}}

    def failing(fails: Callable[[CardFigures], bool], shown: Callable[[CardFigures], str]) -> str:
        return ", ".join(f"{name} {shown(figures)}" for name, figures in judged.items() if fails(figures))

    sentences = {
        f"Fewer than {PARSE_RATE:.0%} of the booster's answers parse": failing(
            lambda one: one.parse_rate < PARSE_RATE, lambda one: f"{one.parse_rate:.1%}"
        ),
        f"Fewer than {PASS_RATE:.0%} of the booster's answers pass the guard": failing(
            lambda one: one.pass_rate < PASS_RATE, lambda one: f"{one.pass_rate:.1%}"
        ),
        "What the guard lets through is farther from the expert than the raw pair": failing(
            lambda one: one.gain < 0, lambda one: f"by {-one.gain:.4f}"
        ),
    }
    return [f"{sentence}: {where}.".replace("%", " %") for sentence, where in sentences.items() if where]


def line(card: Card) -> str:
    """The card in one line."""
    found = card.all
    text = (
        f"Booster card ({found.rows} validation rows, languages: {len(card.languages)}): {found.parse_rate:.0%} of the answers "
        f"parse, {found.pass_rate:.0%} pass the guard; nearness to the expert {found.final_nearness:.3f}, of the raw pairs "
        f"{found.raw_nearness:.3f}."
    )
    return text.replace("%", " %")


def tell(engine: EngineSettings, identity: Mapping[str, Any], template: prompts.Template) -> None:
    """Log the card of the model directory that a job boosts with, and warn where the booster fails it, where the card cannot be
    used, and of another template. Says nothing of a model without a card. `identity` is that of `engines.registry.identity`."""
    files = identity.get("model", {}).get("files")
    if files is None or engine.model is None:
        return  # no directory, so no card
    place = storage.join(engine.model, FILE)
    try:
        card = read(engine.model)
    except OSError as error:
        logger.warning("%s", storage.explain(error, place, "read the booster card"))
        return
    except ValueError:
        logger.warning("%s is no booster card or a damaged one, so it is left aside.", place)
        return
    if card is None:
        return
    if card.model != model_digest(files):
        logger.warning("%s was made of another model or before its files changed, so it is left aside.", place)
        return
    logger.info("%s", line(card))
    for problem in problems(card):
        logger.warning("The booster fails its own card. %s", problem)
    if card.template != template:
        logger.warning(
            "The booster was trained with template %s, and this job boosts with %s; set --template %s.",
            *(card.template, template, card.template),
        )
