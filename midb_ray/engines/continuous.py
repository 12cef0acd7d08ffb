"""Continuous batching with transformers: a row that is done makes room for the next at once, in a paged cache.

The library's own manager schedules the rows, on a thread of its own. It chooses the likeliest token, so sampling and guided
form stay with static batches.
"""

from __future__ import annotations

import asyncio
import itertools
import threading
from collections.abc import Sequence
from typing import Any

import torch
from transformers import GenerationConfig

from midb_ray.engines import devices, likelihood, models, paged
from midb_ray.engines.base import Bounds, Completion, Continuation, EngineError, Likelihood, Request, ended
from midb_ray.engines.batching import Call
from midb_ray.engines.encoding import PromptEncoder
from midb_ray.engines.settings import EngineSettings
from midb_ray.errors import one_line

_PAGE = 32  # tokens of a page of the cache on a CPU; on a GPU the library's choice
_PREFILL = 512  # tokens of prompts in a step on a CPU: rows that are further go on meanwhile
_PATIENCE = 60.0  # seconds for the manager's thread to end, and for what it is tried on
_PROOF, _NEW = (3, 40, 300), 8  # tokens of prompts and answers that it is tried on
_NEAR = {True: 1e-2, False: 0.5}  # near ties in deviations of the logits, in float32 and in shorter types


class ContinuousEngine:
    """Hands rows to the manager as they come, over all calls."""

    isolated = False

    def __init__(self, model: Any, encoder: PromptEncoder, end: frozenset[int], settings: EngineSettings) -> None:
        self._model, self._encoder, self._end = model, encoder, end
        self._bounds = models.bounds(model, settings.context)
        self._names = itertools.count()
        self._quiet = threading.Condition()
        self._inside = 0  # calls that generate; guarded by _quiet, as is _judging
        self._judging = 0
        self._closed = False
        before = model.config._attn_implementation
        paged.use(model)
        self._manager = model.init_continuous_batching(
            generation_config=GenerationConfig(do_sample=False, eos_token_id=sorted(end), pad_token_id=min(end)),
            continuous_batching_config=_config(model, settings, self._bounds),
        )
        if model.device.type == "cuda":
            self._manager.warmup()
        starter = threading.Thread(target=self._manager.start, daemon=True)  # of a daemon all threads are daemons,
        starter.start()  # so that a process can end without `close`
        starter.join()
        self.is_proven = self._agrees_with(before)
        """Whether the likeliest tokens here are those of the library's plain forward pass, tried on a few prompts."""

    async def generate(self, requests: Sequence[Request]) -> list[Completion]:
        """Completions in the order of `requests`; a caller that is cancelled takes its rows out.

        A row that does not fit the model or fails finishes with "error". Raises `EngineError` when the manager is dead.
        """
        if not requests:
            return []
        entering = asyncio.ensure_future(asyncio.to_thread(self._enter))
        try:
            await asyncio.shield(entering)
            return await self._generate(requests)
        finally:  # a caller that is cancelled before it is inside leaves once it is
            entering.add_done_callback(lambda _: self._leave())

    async def loglikelihood(self, rows: Sequence[Continuation]) -> list[Likelihood]:
        """See `base.Scorer`. Waits until nothing is generated: the model is recorded in graphs meanwhile."""
        return await asyncio.to_thread(self._judge, rows)

    def close(self) -> None:
        """Stop after the token at hand and release the model; callers still waiting get an `EngineError`."""
        if self._closed:
            return
        self._closed = True
        self._manager.stop(block=True, timeout=_PATIENCE, hard_stop=True)
        self._manager.destroy()
        self._model = None
        devices.release_memory()

    def _agrees_with(self, attention: str) -> bool:
        """Generate a few tokens and look whether plain `attention` finds them the likeliest too, but for near ties.

        The cache and its kernels are of other hands and change with every version: a wrong answer would be silent.
        """
        room = (self._bounds.context or 4 * max(_PROOF)) // 2
        spread = [
            [(17 + 7919 * place) % self._bounds.vocabulary for place in range(min(size, room))] for size in _PROOF
        ]
        for number, ids in enumerate(spread):
            self._manager.add_request(ids, f"proof-{number}", min(_NEW, room), eos_token_id=-1)
        new = {output.request_id: output.generated_tokens for output in (self._proof() for _ in spread)}
        here = self._model.config._attn_implementation
        self._model.config._attn_implementation = attention
        try:
            return all(
                _are_likeliest(self._model, ids, new.get(f"proof-{number}", ())) for number, ids in enumerate(spread)
            )
        finally:
            self._model.config._attn_implementation = here

    def _proof(self) -> Any:
        """The next output, however long a slow machine takes: how long a start may take is the pool's to say."""
        output = None
        while output is None:
            if self._stopped():
                raise EngineError("The engine stopped while it was tried on a few prompts.")
            output = self._manager.get_result(timeout=1)
        return output

    def _enter(self) -> None:
        with self._quiet:
            self._quiet.wait_for(lambda: not self._judging)
            self._inside += 1

    def _leave(self) -> None:
        with self._quiet:
            self._inside -= 1
            self._quiet.notify_all()

    def _judge(self, rows: Sequence[Continuation]) -> list[Likelihood]:
        with self._quiet:
            self._judging += 1
            try:
                self._quiet.wait_for(lambda: not self._inside)
                if self._closed:
                    raise EngineError("The engine was closed.")
                return likelihood.judge(self._model, rows, self._bounds)
            finally:
                self._judging -= 1
                self._quiet.notify_all()

    async def _generate(self, requests: Sequence[Request]) -> list[Completion]:
        call, names = Call(requests), []
        try:
            for position, request in enumerate(requests):
                if refusal := self._bounds.refusal(request.ids, request.limit):
                    call.put(position, Completion("", "error", 0, refusal))
                    continue
                names.append(f"row-{next(self._names)}")
                self._submit(call, position, names[-1])
            if self._stopped() and not call.over:  # it may have emptied its queue before the last rows came
                raise EngineError("The engine failed and has stopped.")
            return await call.future
        except BaseException:
            for name in names:
                self._manager.output_router.result_handlers.pop(name, None)
                self._manager.cancel_request(name)
            raise

    def _submit(self, call: Call, position: int, name: str) -> None:
        request = call.requests[position]

        def deliver(output: Any) -> None:
            if call.over or (output.error is None and not output.is_finished()):
                return
            if output.error is None:
                call.put(position, self._completion(output.generated_tokens, request.limit))
            elif self._stopped():
                call.fail(EngineError(f"The engine failed: {one_line(RuntimeError(output.error))}"))
            else:
                call.put(position, Completion("", "error", 0, one_line(RuntimeError(output.error))))

        if self._stopped():
            raise EngineError("The engine was closed." if self._closed else "The engine failed and has stopped.")
        self._manager.register_result_handler(name, deliver)
        ids = list(request.ids or ())
        if self._manager.add_request(ids, name, request.limit, eos_token_id=sorted(self._end)) is None:
            raise EngineError("The engine failed and takes no more rows.")

    def _stopped(self) -> bool:
        return (
            self._closed or not self._manager.is_running() or bool(self._manager.background_thread_status.local_status)
        )

    def _completion(self, new: Sequence[int], limit: int) -> Completion:
        ids, finish = ended(new, limit, self._end)
        return Completion(self._encoder.decode(ids), finish, len(ids))


def is_possible(model: Any, settings: EngineSettings) -> bool:
    """Whether this model, with these settings, can be batched continuously."""
    return settings.temperature == 0 and not settings.guided and paged.is_supported(model)


@torch.inference_mode()  # type: ignore[untyped-decorator]
def _are_likeliest(model: Any, ids: Sequence[int], new: Sequence[int]) -> bool:
    """Whether each new token is the likeliest after those before it, or nearly."""
    if not new:
        return False
    whole = torch.tensor([[*ids, *new]], device=model.device)
    logits = model(input_ids=whole, use_cache=False, logits_to_keep=len(new) + 1).logits[0, :-1].float()
    chosen = logits.gather(1, whole[0, -len(new) :, None])[:, 0]
    near = _NEAR[model.dtype == torch.float32]
    return bool(((logits.amax(dim=1) - chosen) <= near * logits.std(dim=1)).all())


def _config(model: Any, settings: EngineSettings, bounds: Bounds) -> Any:
    from transformers.generation.configuration_utils import ContinuousBatchingConfig

    if model.device.type == "cuda":
        free, total = torch.cuda.mem_get_info(model.device)
        share = max(settings.memory_share - (1 - free / total), 0.01) * total / free  # the model is there already
        graphs = None if model.dtype != torch.float32 else False  # torch's kernel for rows of any length has no float32
        return ContinuousBatchingConfig(
            max_memory_percent=min(share, 1.0), use_cuda_graph=graphs, auto_switch_to_flash=False
        )
    tokens = max(settings.batch_tokens, bounds.context or 0)
    return ContinuousBatchingConfig(
        page_size=_PAGE,
        num_blocks=-(-tokens // _PAGE) + 1,
        max_batch_tokens=_PREFILL,
        auto_switch_to_flash=False,
    )
