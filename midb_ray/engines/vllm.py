"""vLLM's asynchronous engine, on an event loop of its own: continuous batching over all calls, several GPUs of one node.

Of the model's own generation settings only the end tokens are used: how to generate is said in `EngineSettings` alone.
"""

from __future__ import annotations

import itertools
import math
import os
from collections.abc import Sequence
from typing import Any

import torch

from midb_ray.engines import adapters, devices, models, orphans
from midb_ray.engines.base import Bounds, Completion, Continuation, EngineError, Likelihood, Request, ended, seed_of
from midb_ray.engines.encoding import PromptEncoder, load_tokenizer
from midb_ray.engines.own_loop import OwnLoop
from midb_ray.engines.settings import EngineSettings
from midb_ray.errors import UserError, one_line

_ADAPTER = "adapter"
_RANKS = (1, 8, 16, 32, 64, 128, 256, 320, 512)  # that vLLM makes room for
_LOOKUP = (2, 4)  # fewest and most tokens that must agree before what follows them is tried


def load(settings: EngineSettings) -> VllmEngine:
    """The engine with its core running and its weights loaded. Raises `UserError` when that fails."""
    assert settings.model is not None  # the settings see to it
    place = str(models.directory(settings.model) or settings.model)
    encoder = PromptEncoder(load_tokenizer(place, settings.revision))
    arguments = _arguments(settings, place)
    try:
        from vllm.engine.arg_utils import AsyncEngineArgs
        from vllm.v1.engine.async_llm import AsyncLLM
    except ImportError as error:
        raise UserError(
            f"engine.kind vllm needs the vllm package where the engines run: {one_line(error)}; install "
            "'midb-ray[vllm]'."
        ) from error
    try:
        wanted = AsyncEngineArgs(**arguments)
    except TypeError as error:
        raise UserError(f"engine.vllm.engine_args: {one_line(error)}.") from error
    before = orphans.children()
    try:
        core = AsyncLLM.from_engine_args(wanted)
    except Exception as error:  # the library raises a dozen kinds, all of them about this model on this device
        raise UserError(f"Cannot load {settings.model} with vllm: {one_line(error)}") from error
    return VllmEngine(core, encoder, settings, place, orphans.Guard(orphans.children() - before))


def _arguments(settings: EngineSettings, place: str) -> dict[str, Any]:
    """What vLLM is told; also sets the environment that its processes read."""
    own, where = settings.vllm, devices.device(settings.device)
    os.environ["VLLM_WORKER_MULTIPROC_METHOD"] = "spawn"  # torch may have been used in this process
    os.environ.setdefault("VLLM_NO_USAGE_STATS", "1")
    os.environ.setdefault("VLLM_LOGGING_LEVEL", "WARNING")  # else a job's log begins with a hundred lines of its own
    gpus = torch.cuda.device_count() if where == "cuda" else 1  # Ray shows a process the GPUs that are its own
    arguments: dict[str, Any] = {
        "model": place,
        "revision": settings.revision,
        "skip_tokenizer_init": True,
        "trust_remote_code": False,
        "load_format": "safetensors",
        "generation_config": "vllm",
        "dtype": str(devices.dtype(settings, where)).removeprefix("torch."),
        "max_model_len": settings.context,
        "max_num_seqs": own.rows,
        "quantization": own.quantization,
        "enable_prefix_caching": own.prefix_caching,
        "disable_log_stats": True,
    }
    if where == "cuda":
        arguments |= {"gpu_memory_utilization": settings.memory_share, "tensor_parallel_size": gpus}
        if gpus > 1:
            arguments["distributed_executor_backend"] = "mp"
    else:
        os.environ["VLLM_CPU_KVCACHE_SPACE"] = f"{own.cpu_cache}"
        arguments["enforce_eager"] = True
        if settings.threads is not None:
            os.environ |= {"VLLM_CPU_OMP_THREADS_BIND": "nobind", "OMP_NUM_THREADS": str(settings.threads)}
    if own.lookup_tokens:
        fewest, most = _LOOKUP
        arguments["speculative_config"] = {
            "method": "ngram",
            "num_speculative_tokens": own.lookup_tokens,
            "prompt_lookup_min": fewest,
            "prompt_lookup_max": most,
        }
    if own.adapter is not None:
        rank = adapters.rank(own.adapter)
        room = min((size for size in _RANKS if size >= rank), default=rank)
        arguments |= {"enable_lora": True, "max_loras": 1, "max_lora_rank": room}
    return {**arguments, **own.engine_args}


class VllmEngine:
    """Hands rows to vLLM as they come; it batches them over all calls. Works on its own loop, so callers may come from any."""

    isolated = True

    def __init__(
        self, core: Any, encoder: PromptEncoder, settings: EngineSettings, place: str, guard: orphans.Guard
    ) -> None:
        config = core.vllm_config.model_config
        self._core, self._encoder, self._settings = core, encoder, settings
        self._bounds = Bounds(int(config.get_vocab_size()), int(config.max_model_len))
        self._end = sorted(end_tokens(place, settings.revision) | {encoder.end})
        self._adapter = _adapter(settings.vllm.adapter)
        self._numbers = itertools.count()
        self._guard, self._closed = guard, False
        self._loop = OwnLoop("vllm-engine")

    async def generate(self, requests: Sequence[Request]) -> list[Completion]:
        """Completions in the order of `requests`; those of a caller that is cancelled are given up.

        A row that vLLM refuses or fails on finishes with "error". Raises `EngineError` when its core is dead.
        """
        return await self._loop.each(self._complete, requests)

    async def loglikelihood(self, rows: Sequence[Continuation]) -> list[Likelihood]:
        """See `base.Scorer`."""
        return await self._loop.each(self._judge, rows)

    def close(self) -> None:
        """End the core's processes; callers still waiting get an `EngineError`."""
        if self._closed:
            return
        self._closed = True
        self._core.shutdown()
        self._guard.close()
        self._loop.close()

    async def _complete(self, request: Request) -> Completion:
        if refusal := self._bounds.refusal(request.ids, request.limit):
            return Completion("", "error", 0, refusal)
        assert request.ids is not None
        chosen: dict[str, Any] = {"max_tokens": request.limit, "temperature": self._settings.temperature}
        if self._settings.temperature > 0:
            seed = seed_of(request, self._settings.seed) >> 1  # vLLM's are signed
            chosen |= {"top_p": self._settings.top_p, "seed": seed}
        try:
            output = (await self._last(request.ids, stop_token_ids=self._end, **chosen)).outputs[0]
        except _RowError as error:
            return Completion("", "error", 0, str(error))
        ids, finish = ended(output.token_ids, request.limit, self._end)
        return Completion(self._encoder.decode(ids), finish, len(ids))

    async def _judge(self, row: Continuation) -> Likelihood:
        if refusal := self._bounds.refusal_of(row):
            return Likelihood(math.nan, 0, refusal)
        ids = [*row.prompt, *row.ids]
        try:
            found = (await self._last(ids, max_tokens=1, temperature=0.0, prompt_logprobs=0)).prompt_logprobs
        except _RowError as error:
            return Likelihood(math.nan, 0, str(error))
        begin = len(row.prompt)
        return Likelihood(math.fsum(found[place][ids[place]].logprob for place in range(begin, len(ids))), len(row.ids))

    async def _last(self, ids: Sequence[int], **sampling: Any) -> Any:
        """vLLM's output of one prompt once it is done. Raises `_RowError` or `EngineError`."""
        from vllm import SamplingParams
        from vllm.inputs import TokensPrompt
        from vllm.sampling_params import RequestOutputKind
        from vllm.v1.engine.exceptions import EngineDeadError

        output = None
        try:
            parameters = SamplingParams(detokenize=False, output_kind=RequestOutputKind.FINAL_ONLY, **sampling)
            prompt = TokensPrompt(prompt_token_ids=list(ids))
            name = str(next(self._numbers))
            async for output in self._core.generate(prompt, parameters, request_id=name, lora_request=self._adapter):  # noqa: B007 - the last one counts
                pass
        except EngineDeadError as error:
            raise EngineError(one_line(error)) from error
        except Exception as error:  # whatever it is, it is about this row, unless the core died of it
            if self._core.errored:
                raise EngineError(one_line(error)) from error
            raise _RowError(one_line(error)) from error
        if output is None:
            raise EngineError("The engine ended a request without an answer.")
        return output


class _RowError(Exception):
    """vLLM refused or failed on one row."""


def end_tokens(place: str, revision: str | None) -> set[int]:
    """The ids that end an answer by the model's own settings."""
    from transformers import GenerationConfig

    try:
        found = GenerationConfig.from_pretrained(place, revision=revision).eos_token_id
    except OSError:  # it has no generation_config.json
        found = models.load_config(place, revision).get_text_config().eos_token_id
    return {int(token) for token in (found if isinstance(found, list) else [found]) if token is not None}


def _adapter(path: str | None) -> Any:
    if path is None:
        return None
    from vllm.lora.request import LoRARequest

    return LoRARequest(_ADAPTER, 1, path)
