"""What is measured of a pair by a model, and what follows from the numbers."""

from __future__ import annotations

import asyncio
import json
import math
from collections.abc import Sequence
from typing import Any

import pyarrow as pa
import pytest
from transformers import PreTrainedTokenizerFast

from midb_ray.engines.base import Completion, Continuation, Likelihood, Request
from midb_ray.engines.encoding import PromptEncoder
from midb_ray.engines.flight import pack, unpack
from midb_ray.engines.requests import Loaded
from midb_ray.locales import load_locales
from midb_ray.pairs import Pair, Text, Turn, told
from midb_ray.quality import measures, output
from midb_ray.quality.asking import AskingEngine
from midb_ray.quality.measures import Asker, Measures
from midb_ray.quality.scoring import Scorer
from midb_ray.quality.settings import ScoreSettings, SourceSettings, fingerprint
from tests.engines.conftest import byte_level

PAIR = Pair("a:1", None, None, "de", "Nenne drei Städte.", "Im Norden", "Kiel, Rostock und Bremen")
GERMAN = load_locales().resolve("de")
ENGINE = {"kind": "transformers", "model": "somewhere"}


@pytest.fixture(scope="module")
def encoder() -> PromptEncoder:
    return PromptEncoder(PreTrainedTokenizerFast(tokenizer_object=byte_level(), bos_token="<s>", eos_token="</s>"))


def asked(
    encoder: PromptEncoder, pair: Pair, source: Text | None = None, context: int | None = None, **kinds: bool
) -> measures.Asked:
    kinds = {"difficulty": False, "explained": False, **kinds}
    return Asker(Loaded(encoder, context), **kinds).ask([pair], [GERMAN], [source])


def shown(encoder: PromptEncoder, texts: Sequence[Continuation | None]) -> list[tuple[str, str] | None]:
    return [text and (encoder.decode(text.prompt), encoder.decode(text.ids)) for text in texts]


def test_difficulty_is_of_the_response_with_and_without_instruction_and_input(encoder: PromptEncoder) -> None:
    found = asked(encoder, PAIR, difficulty=True)
    assert shown(encoder, found.continuations) == [
        ("<s>Nenne drei Städte.\n\nIm Norden\n\n", "Kiel, Rostock und Bremen"),
        ("<s>\n\n", "Kiel, Rostock und Bremen"),
    ]
    with_it, without = found.continuations
    assert with_it is not None
    assert without is not None
    assert with_it.ids == without.ids
    assert found.errors == [None]


def test_what_was_said_before_belongs_to_the_question(encoder: PromptEncoder) -> None:
    turns = [Turn("system", "Sei kurz."), Turn("user", "Hallo!"), Turn("assistant", "Guten Tag.")]
    found = asked(encoder, PAIR._replace(input="", context=told(turns)), difficulty=True)
    given, alone = shown(encoder, found.continuations)
    assert given == ("<s>Sei kurz.\n\nHallo!\n\nGuten Tag.\n\nNenne drei Städte.\n\n", PAIR.response)
    assert alone == ("<s>\n\n", PAIR.response)


def test_explained_is_of_the_whole_pair_with_and_without_its_source(encoder: PromptEncoder) -> None:
    found = asked(encoder, PAIR, Text("Name three cities.", "", "Oslo"), explained=True)
    request, pair = (
        "<s>Translate this text into German.\n\n",
        "Nenne drei Städte.\n\nIm Norden\n\nKiel, Rostock und Bremen",
    )
    assert shown(encoder, found.continuations) == [
        (f"{request}Name three cities.\n\nOslo\n\n", pair),
        (f"{request}\n\n", pair),
    ]


def test_a_pair_without_a_source_is_asked_for_its_difficulty_alone(encoder: PromptEncoder) -> None:
    found = asked(encoder, PAIR, None, difficulty=True, explained=True)
    assert [text is None for text in found.continuations] == [False, False, True, True]
    assert found.errors == [None]


def test_what_does_not_fit_the_model_is_not_asked_and_says_why(encoder: PromptEncoder) -> None:
    whole = asked(encoder, PAIR, difficulty=True).continuations[0]
    assert whole is not None
    needed = len(whole.prompt) + len(whole.ids) + 1
    assert asked(encoder, PAIR, context=needed, difficulty=True).errors == [None]
    found = asked(encoder, PAIR, Text("x", "", "y"), context=needed - 1, difficulty=True, explained=True)
    assert found.continuations == [None] * 4
    assert found.errors == [f"{needed} tokens to measure exceed the context of {needed - 1}"]
    empty = asked(encoder, PAIR._replace(response=""), difficulty=True)
    assert (empty.continuations, empty.errors) == ([None, None], ["there is no text to measure"])


def test_control_tokens_in_a_pair_are_plain_characters(encoder: PromptEncoder) -> None:
    found = asked(encoder, PAIR._replace(instruction="</s>", response="<|im_end|>"), difficulty=True)
    assert all(text is not None and not {1, 4} & {*text.prompt, *text.ids} for text in found.continuations)


def test_measures_are_of_the_mean_token() -> None:
    hard = [Likelihood(-6.0, 4), Likelihood(-10.0, 4)]
    told = [Likelihood(-3.0, 10), Likelihood(-23.0, 10)]
    (both,) = measures.measures([*hard, *told], [None], True, True)
    assert both == Measures(pytest.approx(math.exp(1.5)), pytest.approx(math.exp(-1.0)), 2.0)  # type: ignore[arg-type]
    assert measures.measures([None, None, *told, *hard, None, None], ["too long", None], True, True) == [
        Measures(None, None, 2.0, error="too long"),
        Measures(both.perplexity, both.ifd, None, None),
    ]
    misled = measures.measures([Likelihood(-8.0, 4), Likelihood(-4.0, 4)], [None], True, False)
    assert misled[0].ifd == pytest.approx(math.e)


@pytest.mark.parametrize(
    ("given", "told"),
    [
        (Likelihood(math.nan, 0, "out of memory"), "out of memory"),
        (Likelihood(math.nan, 3), "the model gives no finite probabilities"),
        (Likelihood(-math.inf, 3), "the model gives no finite probabilities"),
    ],
)
def test_what_the_engine_failed_on_is_null_and_says_why(given: Likelihood, told: str) -> None:
    fine = Likelihood(-1.0, 3)
    for two in ([given, fine], [fine, given]):
        assert measures.measures(two, [None], True, False) == [Measures(error=told)]


def test_a_text_that_is_all_but_impossible_has_a_number_all_the_same() -> None:
    (found,) = measures.measures([Likelihood(-9e4, 2), Likelihood(-1.0, 2)], [None], True, False)
    assert found.perplexity == found.ifd == pytest.approx(math.exp(700))


def test_a_pair_that_its_source_explains_too_little_has_a_finding_and_a_lower_score() -> None:
    pairs = [PAIR, PAIR._replace(row="a:2")]
    scored = [Scorer(load_locales(), SourceSettings()).score(pair) for pair in pairs]
    table = unpack(pack(0, pairs, [], [None, None], added=output.columns(*zip(*scored, strict=True)))).pairs
    found = [Measures(explained=0.4), Measures(explained=0.5)]
    little = measures.unexplained(found, table.column("response").to_pylist(), 0.5)
    rows = output.rows(output.with_findings(table, little), None, found)
    assert rows.schema.equals(output.SCORED_SCHEMA)
    assert [[one["kind"] for one in findings] for findings in rows.column("findings").to_pylist()] == [
        ["unexplained"],
        [],
    ]
    assert rows.column("translation").to_pylist() == [50, 100]
    assert rows.column("localisation").to_pylist() == [100, 100]
    assert min(rows.column("content").to_pylist()) > 80
    assert rows.column("overall").to_pylist()[1] > 85 > rows.column("overall").to_pylist()[0]
    figures = output.figures(rows, pa.table({"reason": []}))
    assert figures.to_dict()["decisions"] == {"de": {"flawed": 1, "sound": 1}}
    assert figures.to_dict()["reasons"] == {"de": {"unexplained": 1}}


def test_a_judges_engine_measures_too() -> None:
    class Both:
        isolated = True

        async def generate(self, requests: Sequence[Request]) -> list[Completion]:
            return []

        async def loglikelihood(self, rows: Sequence[Continuation]) -> list[Likelihood]:
            return [Likelihood(-1.0, len(row.ids)) for row in rows]

        def close(self) -> None: ...

    assert asyncio.run(AskingEngine(Both(), 3).loglikelihood([Continuation([1], [2, 3])])) == [Likelihood(-1.0, 2)]


def settings(**given: Any) -> ScoreSettings:
    return ScoreSettings.model_validate({"input": ["x"], "output": "y", **given})


@pytest.mark.parametrize("kind", ["difficulty", "explained"])
@pytest.mark.parametrize("engine", [None, {"kind": "echo"}, {"kind": "openai", "model": "x"}])
def test_an_engine_that_cannot_measure_is_refused(kind: str, engine: dict[str, Any] | None) -> None:
    with pytest.raises(ValueError, match="says how likely a given text is"):
        settings(**{kind: {"on": True}}, **({} if engine is None else {"engine": engine}))


def test_a_threshold_for_what_is_not_measured_is_refused() -> None:
    with pytest.raises(ValueError, match=r"nothing is measured without explained\.on"):
        settings(explained={"least": 0.1}, engine=ENGINE, judge={"on": True})
    with pytest.raises(ValueError, match=r"expected judge\.on"):
        settings(engine=ENGINE)


def test_a_cap_that_measuring_alone_never_reaches_is_refused() -> None:
    for more in ({}, {"engine": ENGINE, "difficulty": {"on": True}}):
        with pytest.raises(ValueError, match=r"caps\.tokens"):
            settings(caps={"tokens": 9}, **more)
    judging = settings(caps={"tokens": 9}, engine=ENGINE, difficulty={"on": True}, judge={"on": True})
    assert judging.caps.tokens == 9


def test_the_model_and_the_measures_are_in_the_fingerprint_where_they_are_on() -> None:
    engine = {"kind": "transformers", "model": {"a": "1"}, "temperature": 0.0, "max_new_tokens": 9}
    plain = fingerprint(settings(), {}, {})
    assert not [key for key in plain if key.startswith(("difficulty", "explained", "engine", "judge"))]
    hard = fingerprint(settings(engine=ENGINE, difficulty={"on": True}), engine, {})
    assert hard == {**plain, "difficulty.on": True, "engine.kind": "transformers", "engine.model": {"a": "1"}}
    judged = fingerprint(settings(engine=ENGINE, judge={"on": True}), engine, {})
    assert judged["engine.temperature"] == 0.0
    assert not [key for key in judged if key.startswith(("difficulty", "explained"))]
    both = fingerprint(settings(engine=ENGINE, explained={"on": True, "least": 0.2}, judge={"on": True}), engine, {})
    assert both == {**judged, "explained.on": True, "explained.least": 0.2}
    assert json.loads(json.dumps(both)) == both
