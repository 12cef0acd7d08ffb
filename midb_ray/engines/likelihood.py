"""How likely a model of transformers finds given texts: one forward pass over rows that lie packed behind each other."""

from __future__ import annotations

import contextlib
import itertools
import math
import traceback
from collections.abc import Iterator, Sequence
from typing import Any

import torch

from midb_ray.engines import devices, paged
from midb_ray.engines.base import Bounds, Continuation, EngineError, Likelihood
from midb_ray.errors import one_line

_TOKENS = 4096  # in a pass, unless one row has more
_SLICE = 1024  # tokens whose probabilities stand in float32 at the same time, each a vocabulary wide


def judge(model: Any, rows: Sequence[Continuation], bounds: Bounds) -> list[Likelihood]:
    """Log-probability of each continuation; in the order of `rows`, those that do not fit the model with an error. Raises
    `EngineError` when the device is dead, or what the model raised for these rows."""
    refusals = [bounds.refusal_of(row) for row in rows]
    fitting = [row for row, refusal in zip(rows, refusals, strict=True) if refusal is None]
    try:
        with _attending(model) as together:
            found = itertools.chain.from_iterable(_pass(model, part, together) for part in _parts(fitting, together))
            return [Likelihood(math.nan, 0, refusal) if refusal else next(found) for refusal in refusals]
    except Exception as error:
        if devices.is_out_of_memory(error):  # whoever asks for fewer rows at once may have luck
            traceback.clear_frames(error.__traceback__)  # they hold the tensors that filled the memory
            devices.release_memory()
        elif devices.is_dead(error):
            raise EngineError(one_line(error)) from error
        raise


@contextlib.contextmanager
def _attending(model: Any) -> Iterator[bool]:
    """Lets rows stand behind each other without seeing each other, where the model can."""
    before = model.config._attn_implementation
    if before == paged.NAME or not paged.is_supported(model):
        yield before == paged.NAME
        return
    paged.use(model)
    try:
        yield True
    finally:
        model.config._attn_implementation = before


def _parts(rows: Sequence[Continuation], together: bool) -> Iterator[list[Continuation]]:
    part: list[Continuation] = []
    tokens = 0
    for row in rows:
        size = len(row.prompt) + len(row.ids)
        if part and (not together or tokens + size > _TOKENS):
            yield part
            part, tokens = [], 0
        part.append(row)
        tokens += size
    if part:
        yield part


@torch.inference_mode()  # type: ignore[untyped-decorator]
def _pass(model: Any, rows: Sequence[Continuation], together: bool) -> list[Likelihood]:
    """One forward pass."""
    sizes = [len(row.prompt) + len(row.ids) for row in rows]
    begins = [0, *itertools.accumulate(sizes)]
    ids = torch.tensor([[token for row in rows for token in (*row.prompt, *row.ids)]], device=model.device)
    positions = torch.cat([torch.arange(size) for size in sizes])[None].to(model.device)
    places = torch.cat(  # each token is foretold by the one before it
        [
            torch.arange(begin + len(row.prompt) - 1, end - 1)
            for row, (begin, end) in zip(rows, itertools.pairwise(begins), strict=True)
        ]
    ).to(model.device)
    given: dict[str, Any] = {"input_ids": ids, "position_ids": positions, "use_cache": False}
    if together:
        bounds = torch.tensor(begins, dtype=torch.int32, device=model.device)
        given |= {"cu_seq_lens_q": bounds, "cu_seq_lens_k": bounds}
        given |= {"max_length_q": max(sizes), "max_length_k": max(sizes)}
    logits = model(**given, logits_to_keep=places).logits[0]
    targets = ids[0, places + 1]
    chosen = [
        part.float().log_softmax(dim=-1).gather(1, aim[:, None])[:, 0]
        for part, aim in zip(logits.split(_SLICE), targets.split(_SLICE), strict=True)
    ]
    each = torch.cat(chosen).double().split([len(row.ids) for row in rows])
    return [Likelihood(float(one.sum()), len(one)) for one in each]
