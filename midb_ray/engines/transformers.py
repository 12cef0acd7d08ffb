"""Any causal language model of Hugging Face transformers as an engine: static batches on a thread of its own, callers wait.

Of the model's own generation settings only the end tokens are used: how to generate is said in `EngineSettings` alone.
"""

from __future__ import annotations

import asyncio
import logging
import threading
import traceback
from collections.abc import Sequence
from typing import Any

import torch
from transformers import AutoModelForCausalLM, GenerationConfig
from transformers import __version__ as version

from midb_ray.engines import devices, likelihood, models, weights
from midb_ray.engines.base import Completion, Continuation, Engine, EngineError, Likelihood, Request
from midb_ray.engines.batching import Call, Row, cost, cut
from midb_ray.engines.decoding import Sampling, decode
from midb_ray.engines.encoding import PromptEncoder, load_tokenizer
from midb_ray.engines.form import Form
from midb_ray.engines.settings import EngineSettings
from midb_ray.errors import UserError, one_line

_log = logging.getLogger(__name__)


def load(settings: EngineSettings) -> Engine:
    """The engine with its weights on the device. Raises `UserError` when the model cannot be loaded there."""
    model, revision = settings.model, settings.revision
    assert model is not None  # the settings see to it
    place = str(models.directory(model) or model)
    device = devices.device(settings.device)
    if settings.threads is not None:
        torch.set_num_threads(settings.threads)
    network = weights.load(AutoModelForCausalLM, place, model, device, devices.dtype(settings, device), revision)
    return _batching(network, PromptEncoder(load_tokenizer(place, revision)), settings)


def _batching(network: Any, encoder: PromptEncoder, settings: EngineSettings) -> Engine:
    """The engine that batches as the settings say. Raises `UserError` where continuous batching is asked for in vain."""
    from midb_ray.engines import continuous

    before = network.config._attn_implementation
    possible = continuous.is_possible(network, settings)
    if settings.batching == "continuous" and not possible:
        raise UserError(
            f"engine.batching: {settings.model} cannot be batched continuously with transformers {version}; set static."
        )
    if settings.batching == "static" or not possible:
        return TransformersEngine(network, encoder, settings)
    end, own = end_tokens(network, encoder), network.generation_config
    network.generation_config = GenerationConfig()
    engine = continuous.ContinuousEngine(network, encoder, end, settings)
    if engine.is_proven:
        return engine
    engine.close()
    sentence = f"Batched continuously, {settings.model} gives other answers than by itself (transformers {version})"
    if settings.batching == "continuous":
        raise UserError(f"{sentence}; set engine.batching to static.")
    _log.warning("%s; its batches are static.", sentence)
    network.generation_config, network.config._attn_implementation = own, before
    return TransformersEngine(network, encoder, settings)


def end_tokens(network: Any, encoder: PromptEncoder) -> frozenset[int]:
    """The ids that end an answer: the encoder's, and the model's own."""
    own = network.generation_config.eos_token_id
    return frozenset([encoder.end, *(own if isinstance(own, list) else [own])]) - {None}


class TransformersEngine:
    """Batches what several callers wait for, under a budget of tokens. Its thread starts with it and ends with `close`."""

    isolated = False

    def __init__(self, model: Any, encoder: PromptEncoder, settings: EngineSettings) -> None:
        self._end = end_tokens(model, encoder)
        model.generation_config = GenerationConfig()
        self._model, self._encoder = model, encoder
        self._form = Form(encoder, self._end) if settings.guided else None
        self._sampling = Sampling(settings.temperature, settings.top_p, settings.seed)
        self._budget = settings.batch_tokens
        self._bounds = models.bounds(model, settings.context)
        self._owned = threading.Lock()  # by whoever runs the model
        self._wake = threading.Condition()
        self._waiting: list[Row] = []  # guarded by _wake, as is _end_of_service
        self._end_of_service: str | None = None
        self._thread = threading.Thread(target=self._serve, name="transformers-engine", daemon=True)
        self._thread.start()

    async def generate(self, requests: Sequence[Request]) -> list[Completion]:
        """Completions in the order of `requests`; a caller that is cancelled leaves its rows out of later batches.

        A row that no batch could hold (no room in the context, ids beyond the vocabulary, out of memory on its own)
        finishes with "error". Raises `EngineError` when the device is dead, or what the model raised for these rows.
        """
        if not requests:
            return []
        call = Call(requests)
        rows = []
        for position, request in enumerate(requests):
            if refusal := self._bounds.refusal(request.ids, request.limit):
                call.put(position, Completion("", "error", 0, refusal))
            else:
                rows.append(Row(call, position))
        with self._wake:
            if self._end_of_service is not None:
                raise EngineError(self._end_of_service)
            self._waiting.extend(rows)
            self._wake.notify()
        return await call.future

    async def loglikelihood(self, rows: Sequence[Continuation]) -> list[Likelihood]:
        """See `base.Scorer`."""
        return await asyncio.to_thread(self._judge, rows)

    def close(self) -> None:
        """Stop after the token at hand and release the model; callers still waiting get an `EngineError`."""
        self._stop("The engine was closed.")
        if threading.current_thread() is not self._thread:
            self._thread.join()
        self._model = None
        devices.release_memory()

    def _judge(self, rows: Sequence[Continuation]) -> list[Likelihood]:
        with self._owned:
            if self._end_of_service is not None:
                raise EngineError(self._end_of_service)
            return likelihood.judge(self._model, rows, self._bounds)

    def _serve(self) -> None:
        """The thread: batch after batch until the end of service."""
        while batch := self._next_batch():
            try:
                with self._owned:
                    self._run(batch)
            except Exception as error:  # an EngineError or a mistake of this file: nobody may be left waiting
                self._stop(f"The engine failed: {one_line(error)}")
            if self._end_of_service is not None:
                _fail(batch, self._end_of_service)

    def _next_batch(self) -> list[Row]:
        """Wait for rows and take a batch of them; none at the end of service."""
        with self._wake:
            while self._end_of_service is None:
                self._waiting = [row for row in self._waiting if not row.call.over]
                if self._waiting:
                    batch, self._waiting = cut(self._waiting, self._budget)
                    return batch
                self._wake.wait()
        return []

    def _stop(self, reason: str) -> None:
        with self._wake:
            self._end_of_service = self._end_of_service or reason
            rows, self._waiting = self._waiting, []
            self._wake.notify()
        _fail(rows, reason)

    def _run(self, rows: Sequence[Row]) -> None:
        """Run a batch and deliver its completions, in smaller batches where it fails. Raises `EngineError`."""
        rows = [row for row in rows if not row.call.over]
        if not rows or self._end_of_service is not None:
            return
        error = self._attempt(rows)
        if error is None:
            return
        if devices.is_out_of_memory(error):
            message = one_line(error)
            traceback.clear_frames(error.__traceback__)  # they hold the tensors that filled the memory
            del error
            devices.release_memory()
            self._run_in_halves(rows, message)
        elif devices.is_dead(error):
            raise EngineError(one_line(error)) from error
        elif len(calls := {id(row.call) for row in rows}) > 1:
            for call in calls:  # nobody fails for a neighbour's row
                self._run([row for row in rows if id(row.call) == call])
        else:
            rows[0].call.fail(error)

    def _run_in_halves(self, rows: Sequence[Row], message: str) -> None:
        """After memory ran out: the same rows in two batches, and no batch as large again."""
        if len(rows) == 1:
            rows[0].call.put(rows[0].position, Completion("", "error", 0, f"out of memory on its own: {message}"))
            return
        self._budget = min(self._budget, cost(rows) // 2)
        _log.warning("Out of memory with %d rows; batches have at most %d tokens from now on.", len(rows), self._budget)
        half = len(rows) // 2
        self._run(rows[:half])
        self._run(rows[half:])

    def _attempt(self, rows: Sequence[Row]) -> Exception | None:
        """Run rows through the model and deliver the answers, or return what the model raised."""

        def abandoned() -> bool:
            return self._end_of_service is not None or all(row.call.over for row in rows)

        try:
            answers = decode(
                self._model, [row.request for row in rows], self._end, self._sampling, abandoned, self._form
            )
            if abandoned():
                return None
            completions = [Completion(self._encoder.decode(ids), finish, len(ids)) for ids, finish in answers]
        except Exception as error:
            return error
        for row, completion in zip(rows, completions, strict=True):
            row.call.put(row.position, completion)
        return None


def _fail(rows: Sequence[Row], reason: str) -> None:
    for call in {id(row.call): row.call for row in rows}.values():
        call.fail(EngineError(reason))
