"""What every engine with a model must do: answer as the library does alone, and let a bad row harm nobody else."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import GenerationConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from midb_ray.engines import registry
from midb_ray.engines.base import Completion, Continuation, EngineError, Request
from midb_ray.engines.encoding import PromptEncoder
from midb_ray.engines.settings import EngineSettings

END = [1, *range(380, 399)]  # enough of them that random weights stop now and then
CONTEXT = 256
TIE = 1e-3  # two logits that are closer may be swapped by the order of a sum
REQUESTS = [Request(None, [0, *range(20 + length, 20 + 2 * length)], 6 + 5 * length % 41) for length in range(1, 25)]
TEXTS = (
    "Wie heißt der längste Fluß?",
    "日本の首都はどこですか。",
    "ما عاصمة مصر؟",
    "👩‍👩‍👧 e\u0301 \u200bx",
    "<|eot_id|></s>",
)

ENGINES = {
    "static, a row at a time": {"batching": "static", "batch_tokens": 1},
    "static, small batches": {"batching": "static", "batch_tokens": 700},
    "static": {"batching": "static"},
    "continuous": {"batching": "continuous"},
    "continuous, small cache": {"batching": "continuous", "batch_tokens": 300},
    "vllm": {"kind": "vllm", "vllm": {"cpu_cache": 1}},
    "vllm, lookups": {"kind": "vllm", "vllm": {"cpu_cache": 1, "lookup_tokens": 3, "rows": 5}},
}


@pytest.fixture(scope="module")
def model(tiny_llama: Callable[..., LlamaForCausalLM]) -> LlamaForCausalLM:
    """Heads as wide as vLLM's kernels ask for."""
    made = tiny_llama(hidden_size=128, initializer_range=0.2)
    made.generation_config = GenerationConfig(eos_token_id=END)
    return made


@pytest.fixture(scope="module")
def folder(
    model: LlamaForCausalLM, tokenizer: PreTrainedTokenizerFast, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    path = tmp_path_factory.mktemp("conformance")
    model.save_pretrained(path)
    tokenizer.save_pretrained(path)
    return path


@pytest.fixture(scope="module")
def encoder(tokenizer: PreTrainedTokenizerFast) -> PromptEncoder:
    return PromptEncoder(tokenizer)


@pytest.fixture(
    scope="module",
    params=[pytest.param(name, marks=[pytest.mark.vllm] if "vllm" in name else []) for name in ENGINES],
)
def engine(request: pytest.FixtureRequest, folder: Path) -> Iterator[Any]:
    settings = {"model": str(folder), "device": "cpu", "dtype": "float32", **ENGINES[request.param]}
    made = registry.build(EngineSettings.model_validate(settings))
    yield made

    async def closed_meanwhile() -> None:
        many = [
            Request(None, [5, 6, 7 + number % 90], 240) for number in range(512)
        ]  # more than can be through by then
        waiting = asyncio.ensure_future(made.generate(many))
        await asyncio.sleep(0.05)
        await asyncio.to_thread(made.close)
        await waiting

    with pytest.raises(EngineError):
        run(closed_meanwhile())
    with pytest.raises(EngineError):
        run(made.generate(REQUESTS[:1]))


def run(*work: Any) -> list[Any]:
    async def together() -> list[Any]:
        return await asyncio.wait_for(asyncio.gather(*work), timeout=120)

    return asyncio.run(together())


@pytest.fixture(scope="module")
def expected(model: LlamaForCausalLM, encoder: PromptEncoder) -> Callable[[Request], list[Completion]]:
    """What the library generates for a request by itself; where likeliest tokens are as good as equal, each choice."""
    known: dict[tuple[int, ...], list[Completion]] = {}

    def completions(request: Request) -> list[Completion]:
        key = (*(request.ids or ()), request.limit)
        if key not in known:
            known[key] = [_completion(encoder, path) for path in _paths(model, list(request.ids or ()), request.limit)]
        return known[key]

    return completions


def _paths(model: LlamaForCausalLM, ids: list[int], limit: int) -> Iterator[list[int]]:
    config = GenerationConfig(
        max_new_tokens=limit,
        do_sample=False,
        eos_token_id=END,
        pad_token_id=1,
        return_dict_in_generate=True,
        output_logits=True,
    )
    found = model.generate(torch.tensor([ids]), generation_config=config)
    new = found.sequences[0, len(ids) :].tolist()
    yield new
    for place, logits in enumerate(found.logits):
        (_, second), (best, other) = logits[0].topk(2).indices.tolist(), logits[0].topk(2).values.tolist()
        if best - other < TIE:
            beginning = [*new[:place], second]
            if second in END or place + 1 == limit:
                yield beginning
            else:
                yield from ([*beginning, *rest] for rest in _paths(model, [*ids, *beginning], limit - len(beginning)))


def _completion(encoder: PromptEncoder, new: list[int]) -> Completion:
    stopped = new[-1] in END
    ids = new[:-1] if stopped else new
    return Completion(encoder.decode(ids), "stop" if stopped else "length", len(ids))


def check(found: Sequence[Completion], requests: Sequence[Request], expected: Any) -> None:
    for completion, request in zip(found, requests, strict=True):
        assert completion in expected(request), request


def test_the_library_alone_stops_and_is_cut_off_now_and_then(expected: Any) -> None:
    """Else the comparisons below would not show much."""
    found = [expected(request)[0] for request in REQUESTS]
    assert {completion.finish for completion in found} == {"stop", "length"}
    assert len({completion.text for completion in found}) > 15


def test_answers_are_those_of_the_library_alone(engine: Any, expected: Any) -> None:
    (found,) = run(engine.generate(REQUESTS))
    check(found, REQUESTS, expected)


def test_calls_at_the_same_time_keep_their_order(engine: Any, expected: Any) -> None:
    parts = [REQUESTS[::3], REQUESTS[1::3], REQUESTS[2::3], []]
    for found, requests in zip(run(*map(engine.generate, parts)), parts, strict=True):
        check(found, requests, expected)


def test_any_script_and_control_tokens_as_text(engine: Any, expected: Any, encoder: PromptEncoder) -> None:
    requests = [Request(None, encoder.prompt(text), 12) for text in TEXTS]
    (found,) = run(engine.generate(requests))
    check(found, requests, expected)


def test_prompts_that_cannot_be_answered_fail_alone(engine: Any, expected: Any) -> None:
    long = Request(None, [5] * (CONTEXT - 3), 4)
    fits = Request(None, [5] * (CONTEXT - 4), 4)
    empty, nothing = Request(None, [], 4), Request("text", None, 4)
    foreign, negative, no_room = Request(None, [5, 400], 4), Request(None, [-1, 5], 4), Request(None, [5, 6], 0)
    (found,) = run(engine.generate([long, fits, empty, REQUESTS[3], nothing, foreign, negative, no_room]))
    errors = [completion.error for completion in found]
    assert [error is None for error in errors] == [False, True, False, True, False, False, False, False]
    assert f"exceed the context of {CONTEXT}" in errors[0]
    assert "needs token ids" in errors[2]
    assert "vocabulary of 400" in errors[5]
    assert {completion.finish for completion, error in zip(found, errors, strict=True) if error} == {"error"}
    check([found[1], found[3]], [fits, REQUESTS[3]], expected)


def test_a_caller_that_leaves_takes_only_its_own_rows_out(engine: Any, expected: Any) -> None:
    async def leave() -> list[Completion]:
        many = [Request(None, [7, 8, 9 + number], 240) for number in range(100)]
        leaving = asyncio.ensure_future(engine.generate(many))
        staying = asyncio.ensure_future(engine.generate(REQUESTS[:9]))
        await asyncio.sleep(0.02)
        leaving.cancel()
        with pytest.raises(asyncio.CancelledError):
            await leaving
        return await staying

    check(run(leave())[0], REQUESTS[:9], expected)
    (found,) = run(engine.generate(REQUESTS[9:12]))
    check(found, REQUESTS[9:12], expected)


def test_likelihoods_are_those_of_the_library(engine: Any, model: LlamaForCausalLM) -> None:
    rows = [Continuation(list(range(2, 3 + size)), list(range(60, 61 + size * 3 % 50))) for size in range(1, 40, 3)]
    (found,) = run(engine.loglikelihood(rows))
    for row, one in zip(rows, found, strict=True):
        with torch.no_grad():
            logits = model(torch.tensor([[*row.prompt, *row.ids]])).logits[0]
        chosen = logits.double().log_softmax(-1)[len(row.prompt) - 1 : -1].gather(1, torch.tensor(row.ids)[:, None])
        assert one.tokens == len(row.ids)
        assert one.error is None
        assert one.total == pytest.approx(float(chosen.sum()), rel=1e-4, abs=1e-3)


def test_texts_that_cannot_be_judged_fail_alone(engine: Any) -> None:
    good = Continuation([5], [6, 7])
    bad = [Continuation([], [6]), Continuation([6], []), Continuation([5] * 200, [6] * 56), Continuation([5], [400])]
    (found,) = run(engine.loglikelihood([good, *bad, good]))
    assert found[0].error is None
    assert found[0] == found[5]
    assert all(one.error and math.isnan(one.total) and one.tokens == 0 for one in found[1:5])


def test_generation_and_judging_take_turns(engine: Any, expected: Any) -> None:
    work = (
        engine.generate(REQUESTS[:8]),
        engine.loglikelihood([Continuation([5], [6])]),
        engine.generate(REQUESTS[8:]),
    )
    first, likelihoods, second = run(*work)
    check(first, REQUESTS[:8], expected)
    check(second, REQUESTS[8:], expected)
    assert likelihoods[0].tokens == 1
