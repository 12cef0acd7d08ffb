"""The score job with a model that measures: its columns are what a plain forward pass gives."""

from __future__ import annotations

import asyncio
import functools
import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import LlamaForCausalLM, PreTrainedTokenizerFast

from midb_ray import cli
from midb_ray.engines import bundles
from midb_ray.engines import registry as engines
from midb_ray.engines.actor import EngineActor
from midb_ray.errors import ExitCode
from midb_ray.locales import load_locales
from midb_ray.quality.settings import ScoreSettings
from midb_ray.quality.work import ScoreWork
from midb_ray.runs import folder
from tests.corpora.plans import plan
from tests.engines.conftest import _tiny_llama, byte_level
from tests.quality.test_job import rows, summary

SOURCE = {"source_instruction": "How high is the tower?", "source_response": "The tower is 48 metres high."}
RESPONSES = (
    "Der Turm ist 48 Meter hoch.",
    "Der Turm am Hafen misst 48 Meter.",
    "Der Turm ist 48 Meter hoch.",  # the same again
    "Ja.",
    "Der Turm ist hoch. " * 11,  # with its source it is too long, without it is not
    "Der Turm ist 48 Meter hoch und steht am Hafen. " * 9,
)
CONTEXT = 256


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Heads as wide as vLLM's kernels ask for."""
    place = tmp_path_factory.mktemp("measuring")
    made = _tiny_llama(hidden_size=128, initializer_range=0.2, max_position_embeddings=CONTEXT)
    made.save_pretrained(place)
    PreTrainedTokenizerFast(tokenizer_object=byte_level(), bos_token="<s>", eos_token="</s>").save_pretrained(place)
    return place


def write(path: Path) -> Path:
    sources = [SOURCE, SOURCE, {}, {}, SOURCE, SOURCE]
    with path.open("w", encoding="utf-8") as file:
        for number, (response, source) in enumerate(zip(RESPONSES, sources, strict=True)):
            pair = {"id": f"{number}", "instruction": "Wie hoch ist der Turm?", "output": response, "language": "de"}
            file.write(json.dumps({**pair, **source}, ensure_ascii=False) + "\n")
    return path


@pytest.fixture(scope="module")
def by_hand(model: Path) -> Callable[[str, str], tuple[float, int]]:
    """The log-probability of a text behind a prompt and its tokens, by one forward pass of the library for each."""
    network = LlamaForCausalLM.from_pretrained(model)
    tokenizer = byte_level()

    def ids(text: str) -> list[int]:
        return list(tokenizer.encode(text, add_special_tokens=False).ids)

    def measured(prompt: str, text: str) -> tuple[float, int]:
        before, behind = [0, *ids(prompt), *ids("\n\n")], ids(text)
        assert len(before) + len(behind) < CONTEXT
        with torch.no_grad():
            logits = network(torch.tensor([[*before, *behind]])).logits[0].double()
        steps = [
            torch.log_softmax(logits[len(before) - 1 + place], 0)[token].item() for place, token in enumerate(behind)
        ]
        return sum(steps), len(behind)

    return measured


def check(found: dict[int, dict[str, Any]], by_hand: Any) -> None:
    """The measures of every pair that fits, and what stands in the place of the others."""
    assert sorted(found) == list(range(len(RESPONSES)))
    for number in (0, 1, 2, 3, 4):
        total, tokens = by_hand("Wie hoch ist der Turm?", RESPONSES[number])
        alone, _ = by_hand("", RESPONSES[number])
        assert found[number]["perplexity"] == pytest.approx(math.exp(-total / tokens), rel=1e-4)
        assert found[number]["ifd"] == pytest.approx(math.exp((alone - total) / tokens), rel=1e-4)
    heading = "Translate this text into German.\n\n"
    for number in (0, 1):
        text = f"Wie hoch ist der Turm?\n\n{RESPONSES[number]}"
        told, tokens = by_hand(f"{heading}{SOURCE['source_instruction']}\n\n{SOURCE['source_response']}", text)
        assert found[number]["explained"] == pytest.approx((told - by_hand(heading, text)[0]) / tokens, abs=1e-4)
    assert [found[number]["explained"] is None for number in range(6)] == [False, False, True, True, True, True]
    assert [found[number]["measure_error"] is None for number in range(4)] == [True] * 4
    for number in (4, 5):
        assert found[number]["measure_error"].endswith(f"tokens to measure exceed the context of {CONTEXT}")
        assert found[number]["overall"] is not None
    assert (found[5]["perplexity"], found[5]["ifd"]) == (None, None)


@pytest.mark.usefixtures("ray_cluster")
def test_columns_are_those_of_a_plain_forward_pass_and_what_is_too_long_stays(
    tmp_path: Path, model: Path, by_hand: Any
) -> None:
    corpus, run = write(tmp_path / "a.jsonl"), tmp_path / "run"
    engine = {"kind": "transformers", "model": model, "device": "cpu", "dtype": "float32"}
    given = ["--input", corpus, "--output", run, "--shard-rows", 4, "--difficulty.on", "--explained.on"]
    given += [part for name, value in engine.items() for part in (f"--engine.{name}", value)]
    assert cli.score(list(map(str, given))) == 0
    check({int(row["id"]): row for row in rows(run)}, by_hand)
    books = summary(run)
    assert books["reasons"]["de"]["unmeasured"] == 2
    assert books["duplicates"] == 2  # the response that stands twice, with its instruction and alone
    assert books["engines"][0]["errors"] == 0


@pytest.mark.vllm
def test_vllm_finds_the_same(tmp_path: Path, model: Path, by_hand: Any) -> None:
    on = {"difficulty": {"on": True}, "explained": {"on": True}}
    engine = {"kind": "vllm", "model": str(model), "device": "cpu", "dtype": "float32", "vllm": {"cpu_cache": 1}}
    settings = ScoreSettings.model_validate({"input": ["corpus"], "output": "run", "engine": engine, **on})
    work = ScoreWork(settings, json.dumps(load_locales().fingerprint(), ensure_ascii=False))
    (shard,) = plan(tmp_path, write(tmp_path / "a.jsonl").read_bytes())
    run = folder.open_run(str(tmp_path / "run"), "score", {}, {})

    async def taken() -> Any:
        actor = EngineActor(run, functools.partial(engines.build, settings.engine), work, settings.pool)
        return await actor(bundles.fold(work.prepare(shard)))

    (report,) = bundles.unfold(asyncio.run(taken())).to_pylist()
    assert report["error"] is None
    check({int(row["id"]): row for row in rows(tmp_path / "run")}, by_hand)


def test_an_engine_without_probabilities_is_refused_before_anything_starts(tmp_path: Path, capsys: Any) -> None:
    corpus, run = write(tmp_path / "a.jsonl"), tmp_path / "run"
    for more in ([], ["--engine.kind", "openai", "--engine.model", "x"]):
        given = ["--input", str(corpus), "--output", str(run), "--difficulty.on", *more]
        assert cli.score(given) == ExitCode.USER_ERROR
        told = capsys.readouterr().err
        assert (
            "difficulty: expected an engine that says how likely a given text is: engine.kind transformers or vllm"
            in told
        )
    assert not run.exists()
