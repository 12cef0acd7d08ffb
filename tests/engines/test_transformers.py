"""Answers depend on the prompt alone, whatever shares the batch; failures reach those whose rows caused them."""

from __future__ import annotations

import asyncio
import shutil
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import GenerationConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from midb_ray.engines import registry as engines
from midb_ray.engines.base import Completion, Continuation, EngineError, Request
from midb_ray.engines.encoding import PromptEncoder
from midb_ray.engines.settings import EngineSettings
from midb_ray.engines.transformers import TransformersEngine
from midb_ray.errors import UserError

END = [1, *range(380, 399)]  # enough of them that random weights stop now and then
REQUESTS = [Request(None, [0, *range(20 + length, 20 + 2 * length)], 6 + 5 * length % 41) for length in range(1, 25)]
Make = Callable[..., TransformersEngine]


@pytest.fixture
def make(tiny_llama: Callable[..., LlamaForCausalLM], tokenizer: PreTrainedTokenizerFast) -> Iterator[Make]:
    """Makes engines and closes them. `hook` runs before every forward pass and sees its token ids."""
    made = []

    def engine(hook: Callable[[torch.Tensor], None] | None = None, **settings: Any) -> TransformersEngine:
        model = tiny_llama()
        model.generation_config = GenerationConfig(eos_token_id=END)
        if hook is not None:
            model.register_forward_pre_hook(lambda _, __, inputs: hook(inputs["input_ids"]), with_kwargs=True)
        made.append(TransformersEngine(model, PromptEncoder(tokenizer), EngineSettings(model="tiny", **settings)))
        return made[-1]

    yield engine
    for engine_ in made:
        engine_.close()


def run(engine: TransformersEngine, *calls: Sequence[Request]) -> list[Any]:
    """What each call gave: completions or its exception."""

    async def together() -> list[Any]:
        return await asyncio.wait_for(
            asyncio.gather(*(engine.generate(call) for call in calls), return_exceptions=True), timeout=60
        )

    return asyncio.run(together())


@pytest.fixture(scope="module")
def alone(tiny_llama: Callable[..., LlamaForCausalLM], tokenizer: PreTrainedTokenizerFast) -> list[Completion]:
    """What the library itself generates for each request by itself."""
    model, encoder, completions = tiny_llama(), PromptEncoder(tokenizer), []
    for request in REQUESTS:
        config = GenerationConfig(max_new_tokens=request.limit, do_sample=False, eos_token_id=END, pad_token_id=1)
        output = model.generate(torch.tensor([request.ids]), generation_config=config)[
            0, len(request.ids or ()) :
        ].tolist()
        stopped = output[-1] in END
        ids = output[:-1] if stopped else output
        completions.append(Completion(encoder.decode(ids), "stop" if stopped else "length", len(ids)))
    return completions


@pytest.mark.parametrize("batch_tokens", [1, 200, 700, 100_000])
def test_an_answer_is_that_of_the_row_alone(make: Make, alone: list[Completion], batch_tokens: int) -> None:
    batches: list[int] = []
    engine = make(lambda ids: batches.append(len(ids)) if ids.shape[1] > 1 else None, batch_tokens=batch_tokens)
    (completions,) = run(engine, REQUESTS)
    assert completions == alone
    assert max(batches) == {1: 1, 200: 5, 700: 12, 100_000: 24}[batch_tokens]


def test_the_library_alone_stops_and_is_cut_off_now_and_then(alone: list[Completion]) -> None:
    """Else the comparison above would not show much."""
    assert {completion.finish for completion in alone} == {"stop", "length"}
    assert len({completion.text for completion in alone}) > 20


def test_calls_that_wait_together_share_batches_and_keep_their_order(make: Make, alone: list[Completion]) -> None:
    batches: list[int] = []
    engine = make(lambda ids: batches.append(len(ids)) if ids.shape[1] > 1 else None)
    assert run(engine, REQUESTS[::2], REQUESTS[1::2]) == [alone[::2], alone[1::2]]
    assert max(batches) > 12


def test_the_models_own_generation_settings_are_not_used_but_for_its_end_tokens(
    alone: list[Completion], tiny_llama: Callable[..., LlamaForCausalLM], tokenizer: PreTrainedTokenizerFast
) -> None:
    model = tiny_llama()
    model.generation_config = GenerationConfig(
        do_sample=True, temperature=5.0, repetition_penalty=9.0, max_length=3, eos_token_id=END
    )
    engine = TransformersEngine(model, PromptEncoder(tokenizer), EngineSettings(model="tiny"))
    assert run(engine, REQUESTS[:6]) == [alone[:6]]
    engine.close()


def test_sampling_depends_on_seed_and_prompt_and_not_on_the_batch(make: Make, alone: list[Completion]) -> None:
    def sampled(**settings: Any) -> list[Completion]:
        return run(make(temperature=1.5, **settings), REQUESTS)[0]

    first = sampled(seed=1)
    assert sampled(seed=1, batch_tokens=150) == first
    assert sampled(seed=2) != first
    assert first != alone
    assert sampled(seed=1, top_p=1e-6) == alone


def allocate(share: float) -> None:
    """Ask the allocator for more than any machine has: a real out-of-memory error."""
    torch.empty(int(share * 2**50), dtype=torch.uint8)


def test_out_of_memory_halves_the_batch_and_later_batches_stay_small(make: Make, alone: list[Completion]) -> None:
    batches: list[int] = []

    def hook(ids: torch.Tensor) -> None:
        if ids.shape[1] > 1:
            batches.append(len(ids))
        if len(ids) > 7:
            allocate(1)

    engine = make(hook)
    assert run(engine, REQUESTS) == [alone]
    assert batches == [24, 12, 6, 6, 12, 6, 6]
    batches.clear()
    assert run(engine, REQUESTS) == [alone]
    assert max(batches) <= 12
    assert sum(batches) < 40


def test_a_row_that_runs_out_of_memory_on_its_own_is_the_only_one_to_finish_with_an_error(
    make: Make, alone: list[Completion]
) -> None:
    engine = make(lambda ids: allocate(1) if ids.shape[1] == 24 else None)  # the one but longest prompt
    (completions,) = run(engine, REQUESTS[:23])
    assert completions[:22] == alone[:22]
    assert completions[22].finish == "error"
    assert "out of memory" in completions[22].error


def test_a_row_that_makes_the_model_raise_fails_its_own_call_and_no_other(make: Make, alone: list[Completion]) -> None:
    def hook(ids: torch.Tensor) -> None:
        if (ids == 399).any():
            raise ValueError("poison")

    good, poisoned = REQUESTS[:5], [REQUESTS[5], Request(None, [0, 399], 5)]
    results = run(make(hook), good, poisoned)
    assert results[0] == alone[:5]
    assert isinstance(results[1], ValueError)


@pytest.mark.parametrize(
    "message", ["CUDA error: device-side assert triggered", "CUBLAS_STATUS_EXECUTION_FAILED", "NCCL error in: x"]
)
def test_a_dead_device_ends_the_service_for_all_callers(make: Make, message: str) -> None:
    def hook(_: torch.Tensor) -> None:
        raise RuntimeError(message)

    engine = make(hook, batch_tokens=60)
    assert [type(result) for result in run(engine, REQUESTS[:4], REQUESTS[4:8])] == [EngineError, EngineError]
    assert isinstance(run(engine, REQUESTS[:1])[0], EngineError)
    engine._thread.join(timeout=10)
    assert not engine._thread.is_alive()


def test_a_device_that_dies_while_texts_are_measured_is_told_from_rows_that_fail(make: Make) -> None:
    raised = [RuntimeError("CUDA error: an illegal memory access"), RuntimeError("out of memory"), ValueError("odd")]

    def fail(_: torch.Tensor) -> None:
        raise raised.pop(0)

    engine, text = make(hook=fail), Continuation([5], [6, 7])
    for kind in (EngineError, RuntimeError, ValueError):
        with pytest.raises(kind) as caught:
            asyncio.run(engine.loglikelihood([text]))
        assert isinstance(caught.value, EngineError) == (kind is EngineError)


def test_a_row_that_must_not_reach_the_model_finishes_with_an_error(make: Make, alone: list[Completion]) -> None:
    bad = [
        Request("text", None, 5),
        Request(None, [], 5),
        Request(None, [0, 400], 5),
        Request(None, [-1], 5),
        Request(None, [0] * 200, 57),
        Request(None, [0], 0),
    ]
    (completions,) = run(make(), [*bad, REQUESTS[0]])
    assert [completion.finish for completion in completions] == ["error"] * 6 + [alone[0].finish]
    assert "vocabulary of 400" in completions[2].error
    assert "exceed the context of 256" in completions[4].error
    assert run(make(), bad)[0] == completions[:6]
    assert run(make(), []) == [[]]


def test_a_caller_that_leaves_holds_nobody_up(make: Make, alone: list[Completion]) -> None:
    begun, passes = threading.Event(), []

    def hook(ids: torch.Tensor) -> None:
        begun.set()
        passes.append(len(ids))

    engine = make(hook)

    async def scene() -> list[Completion]:
        leaving = asyncio.create_task(engine.generate([Request(None, [0, 5], 250)] * 20))
        await asyncio.to_thread(begun.wait, 10)
        waiting = asyncio.create_task(engine.generate([Request(None, [0, 6], 250)] * 20))
        await asyncio.sleep(0)
        leaving.cancel()
        waiting.cancel()
        return await asyncio.wait_for(engine.generate(REQUESTS[:3]), timeout=30)

    assert asyncio.run(scene()) == alone[:3]
    assert len(passes) < 200  # neither the rest of the first answers nor any of the second
    assert run(engine, REQUESTS[3:5]) == [alone[3:5]]


def test_closing_ends_the_thread_and_tells_those_who_wait(make: Make) -> None:
    begun = threading.Event()
    engine = make(lambda _: begun.set(), batch_tokens=300)

    async def scene() -> list[Any]:
        calls = [asyncio.create_task(engine.generate([Request(None, [0, 5], 250)] * 3)) for _ in range(2)]
        await asyncio.to_thread(begun.wait, 10)
        await asyncio.to_thread(engine.close)
        return await asyncio.wait_for(asyncio.gather(*calls, return_exceptions=True), timeout=30)

    assert [type(result) for result in asyncio.run(scene())] == [EngineError, EngineError]
    assert not engine._thread.is_alive()
    engine.close()
    assert isinstance(run(engine, REQUESTS[:1])[0], EngineError)


def test_a_model_directory_is_loaded_quietly_and_stops_at_the_end_of_the_assistants_turn(
    model_folder: Path,
    tmp_path: Path,
    chat_tokenizer: PreTrainedTokenizerFast,
    alone: list[Completion],
    capfd: pytest.CaptureFixture[str],
) -> None:
    folder = Path(shutil.copytree(model_folder, tmp_path / "model"))
    chat_tokenizer.save_pretrained(folder)
    GenerationConfig(eos_token_id=END).save_pretrained(folder)
    capfd.readouterr()
    engine = engines.build(EngineSettings(model=str(folder), device="cpu", dtype="float32", batching="static"))
    assert capfd.readouterr() == ("", "")
    assert isinstance(engine, TransformersEngine)
    assert engine._end == {*END, chat_tokenizer.convert_tokens_to_ids("<|im_end|>")}
    assert engine._model.dtype == torch.float32
    assert run(engine, REQUESTS[:4]) == [alone[:4]]
    engine.close()


def test_a_model_that_lacks_a_tensor_is_refused_instead_of_filled_with_random_numbers(
    model_folder: Path, tmp_path: Path
) -> None:
    folder = Path(shutil.copytree(model_folder, tmp_path / "model"))
    weights = load_file(folder / "model.safetensors")
    del weights["model.layers.1.mlp.up_proj.weight"]
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(UserError, match=r"lacks 1 of its weights, model\.layers\.1\.mlp\.up_proj\.weight"):
        engines.build(EngineSettings(model=str(folder), device="cpu"))


def test_a_model_that_cannot_be_loaded_here_is_refused(tmp_path: Path, model_folder: Path) -> None:
    with pytest.raises(UserError, match="does not exist on this machine"):
        engines.build(EngineSettings(model=str(tmp_path / "nowhere")))
    if not torch.cuda.is_available():
        with pytest.raises(UserError, match="no usable CUDA device"):
            engines.build(EngineSettings(model=str(model_folder), device="cuda"))
