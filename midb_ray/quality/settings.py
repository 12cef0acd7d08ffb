"""The settings of the score job, and which of them an output depends on."""

from __future__ import annotations

from typing import Any, Final, TypeVar

import pydantic

from midb_ray.config import Settings
from midb_ray.corpora.settings import PoolJobSettings
from midb_ray.engines.encoder_settings import EncoderSettings
from midb_ray.engines.settings import EngineSettings

_OF_ANSWERS: Final = ("max_new_tokens", "answer_budget", "answer_floor", "temperature", "guided", "top_p", "seed")
"""What of an engine's identity is without effect where it only measures."""


class SourceSettings(Settings):
    """Where a row has the pair that it was translated from."""

    language: str = "en"
    """Language of the source."""
    instruction: str = pydantic.Field("source_instruction", min_length=1)
    """Column with the source's instruction."""
    input: str = pydantic.Field("source_input", min_length=1)
    """Column with the source's input; a row may lack it."""
    response: str = pydantic.Field("source_response", min_length=1)
    """Column with the source's response."""


class SisterSettings(Settings):
    """Pairs with the same `source_id`, translations of one source: what most of them have should be in each."""

    on: bool = False
    """Bring them together from the whole corpus, for pairs without a source in columns; reads the corpus once more."""


class DifficultySettings(Settings):
    """How hard each response is to foresee for the model of `engine`: perplexity and instruction-following difficulty."""

    on: bool = False
    """Measure how hard each response is to foresee: perplexity, and by how much the instruction lowers it (two texts for each
    pair)."""


class ExplainedSettings(Settings):
    """How far each pair's source explains it to the model of `engine`."""

    on: bool = False
    """Measure how much likelier its source makes each pair (two texts for each pair that has one)."""
    least: float | None = None
    """Nats for each token of the pair; one that its source explains less has the finding `unexplained`. None finds nothing: what is
    little depends on model and languages, so look at a part of the corpus first."""

    @pydantic.field_validator("least")
    @classmethod
    def _least_of_what_is_measured(cls, least: float | None, info: pydantic.ValidationInfo) -> float | None:
        if least is not None and not info.data.get("on"):
            raise ValueError("nothing is measured without explained.on, so leave it out or switch that on")
        return least


class SimilaritySettings(EncoderSettings):
    """How near each pair is in meaning to its source, by the embeddings of an encoder beside `engine`."""

    least: float | None = pydantic.Field(None, ge=-1, le=1, validate_default=True)
    """Cosine; a pair less like its source has the finding `unlike`. None finds nothing: what is little depends on the encoder, so
    look at a part of the corpus first."""

    @pydantic.field_validator("least")
    @classmethod
    def _least_of_what_is_compared(cls, least: float | None, info: pydantic.ValidationInfo) -> float | None:
        if least is not None and info.data.get("model") is None:
            raise ValueError("nothing is compared without similarity.model, so leave it out or give an encoder")
        return least


class JudgeSettings(Settings):
    """An LLM that judges every pair, through `engine`."""

    on: bool = False
    """Ask a judge too; without one, signals alone score."""
    tries: int = pydantic.Field(3, ge=1, le=16)
    """How often a judge is asked about one pair while its answer cannot be read."""
    tokens: int = pydantic.Field(768, ge=64)
    """Upper limit of a verdict in tokens."""


_Switch = TypeVar("_Switch", DifficultySettings, ExplainedSettings)


class ScoreSettings(PoolJobSettings):
    """Score every pair of a corpus for content, translation and localisation, with the findings behind each score."""

    gazetteer: str | None = None
    """YAML file that adds names which belong to one country, as in docs/culture.md."""
    engine: EngineSettings = EngineSettings(kind="echo")
    source: SourceSettings = SourceSettings()
    sisters: SisterSettings = SisterSettings()
    difficulty: DifficultySettings = DifficultySettings()
    explained: ExplainedSettings = ExplainedSettings()
    similarity: SimilaritySettings = SimilaritySettings()
    judge: JudgeSettings = pydantic.Field(JudgeSettings(), validate_default=True)

    @property
    def measures(self) -> bool:
        """Whether an engine says how likely texts are."""
        return self.difficulty.on or self.explained.on

    @property
    def needs_engine(self) -> bool:
        """Whether an engine is asked anything at all."""
        return self.judge.on or self.measures

    @property
    def compares(self) -> bool:
        """Whether an encoder compares pairs with their sources."""
        return self.similarity.model is not None

    @property
    def needs_pool(self) -> bool:
        """Whether a model of any kind is asked."""
        return self.needs_engine or self.compares

    @pydantic.field_validator("difficulty", "explained")
    @classmethod
    def _measures_have_a_model(cls, measure: _Switch, info: pydantic.ValidationInfo) -> _Switch:
        engine = info.data.get("engine")
        if measure.on and engine is not None and engine.takes_text:
            raise ValueError(
                "expected an engine that says how likely a given text is: engine.kind transformers or vllm, and the model to "
                f"measure with as engine.model; {engine.kind} does not say it"
            )
        return measure

    @pydantic.field_validator("judge")
    @classmethod
    def _judge_has_an_engine(cls, judge: JudgeSettings, info: pydantic.ValidationInfo) -> JudgeSettings:
        engine, difficulty, explained = (info.data.get(name) for name in ("engine", "difficulty", "explained"))
        if engine is None or difficulty is None or explained is None:
            return judge
        if judge.on and engine.kind == "echo":
            raise ValueError(
                "expected an engine that can judge: engine.kind transformers, vllm or openai, and its model"
            )
        if not judge.on and engine.kind != "echo" and not (difficulty.on or explained.on):
            raise ValueError(f"expected judge.on, without which nobody asks the {engine.kind} engine")
        caps = info.data.get("caps")
        if not judge.on and caps is not None and caps.tokens is not None:
            raise ValueError(
                "expected judge.on, without which no tokens are generated and caps.tokens is never reached; leave that out"
            )
        return judge


def fingerprint(
    settings: ScoreSettings,
    engine: dict[str, Any],
    locales: dict[str, Any],
    names: dict[str, Any] | None = None,
    encoder: dict[str, Any] | None = None,
) -> dict[str, Any]:
    """What an output of scoring depends on, beside the input files: flat keys, plain values. `names` are added to the gazetteer;
    `engine` and `encoder` are the identities of the models."""
    parts: dict[str, Settings] = {"source": settings.source}
    if settings.sisters.on:
        parts["sisters"] = settings.sisters
    if settings.difficulty.on:
        parts["difficulty"] = settings.difficulty
    if settings.explained.on:
        parts["explained"] = settings.explained
    if settings.judge.on:
        parts["judge"] = settings.judge
    said = {
        f"{name}.{key}": value for name, part in parts.items() for key, value in part.model_dump(mode="json").items()
    }
    if settings.needs_engine:
        left_out = () if settings.judge.on else _OF_ANSWERS
        said |= {f"engine.{key}": value for key, value in engine.items() if key not in left_out}
    if encoder is not None:
        said |= {"similarity.least": settings.similarity.least, "similarity.model": encoder}
    return {**said, **({"gazetteer": names} if names else {}), **settings.reading(locales)}
