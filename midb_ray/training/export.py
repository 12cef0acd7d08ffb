"""The booster as a plain Hugging Face directory, and the proof that what was written is what was trained."""

from __future__ import annotations

import math
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from midb_ray.errors import UserError
from midb_ray.runs import storage, tensors, transfer
from midb_ray.training import loop, lora
from midb_ray.training.examples import Examples, MicroBatch, micro_batch
from midb_ray.training.settings import TrainSettings
from midb_ray.training.steppers import Stepper

if TYPE_CHECKING:
    import torch

BOOSTER, ADAPTER = "booster", "adapter"
_PROBE = 512  # tokens that trained and reloaded model are compared on
_TOLERANCE = {"float32": 1e-3, "bfloat16": 0.1}  # mean difference of log-probabilities; merging rounds
_LEAST = 0.5  # of what adapters change, the share that must be found in the merged model
_SURE = 3  # standard errors by which it must be missed


class Probe(NamedTuple):
    """Tokens, and the log-probabilities (tokens - 1,) that the trained model gives to each but the first, with its adapters and,
    `before`, without them (None if it has none)."""

    batch: MicroBatch
    expected: torch.Tensor
    before: torch.Tensor | None


def probe(stepper: Stepper, examples: Examples) -> Probe:
    """What the trained model says of an example. Every worker must call it: ZeRO 3 computes together."""
    import torch

    whole = micro_batch(examples, [int(examples.lengths.argmax())])
    size = min(_PROBE, whole.ids.shape[1])
    bounds = torch.tensor([0, size], dtype=torch.int32)
    places = torch.arange(size - 1)
    batch = MicroBatch(whole.ids[:, :size], whole.positions[:, :size], bounds, size, places, whole.ids[0, 1:size])
    module: Any = getattr(stepper.module, "module", stepper.module)
    trained = _likelihoods(stepper, batch)
    before = None
    if hasattr(module, "disable_adapter"):
        with module.disable_adapter():
            before = _likelihoods(stepper, batch)
    return Probe(batch, trained, before)


def _likelihoods(stepper: Stepper, batch: MicroBatch) -> torch.Tensor:
    import torch

    here = batch.to(stepper.device)
    stepper.module.eval()
    with torch.no_grad(), stepper.compute():
        logits = stepper.module(**loop.inputs(stepper, here)).logits[0, :-1]
    stepper.module.train()
    return _chosen(logits.cpu(), batch.targets)


def export(
    run: str, stepper: Stepper, examples: Examples, settings: TrainSettings, start: str, revision: str | None, card: str
) -> float | None:
    """Write the booster, and the adapter if there is one, into the run folder; returns on the first worker how far the reloaded
    model is from the trained one (mean difference of log-probabilities). Every worker must call it.

    Raises `UserError` if it cannot be written, or is not what was trained.
    """
    module: Any = getattr(stepper.module, "module", stepper.module)
    adapted = lora.adapters(module) if settings.method == "lora" else {}
    seen = probe(stepper, examples)
    trained = stepper.weights(trained_only=True) if adapted else {}
    weights = stepper.weights()
    if stepper.rank != 0:
        return None
    try:
        with tempfile.TemporaryDirectory(prefix="midb-export-") as scratch:
            booster, adapter = Path(scratch) / BOOSTER, Path(scratch) / ADAPTER
            if adapted:
                lora.write(adapter, module, trained, start, revision)
                lora.check(adapter)
                weights = lora.merge(weights, adapted)
            write_model(booster, start, revision, weights, settings.dtype)
            weights.clear()
            (booster / "README.md").write_text(card, encoding="utf-8")
            difference = verify(booster, seen, settings.dtype)
            for folder in (booster, adapter) if adapted else (booster,):
                target = storage.join(run, folder.name)
                storage.delete_folder(target)
                transfer.upload(folder, target, last=lambda name: name.endswith("config.json"))
    except OSError as error:
        raise storage.explain(error, storage.join(run, BOOSTER), "write the booster") from error
    return difference


def write_model(target: Path, start: str, revision: str | None, weights: dict[str, torch.Tensor], dtype: str) -> None:
    """Write model and tokenizer to `target`; `weights` are used, not copied. Raises OSError."""
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM, GenerationConfig

    from midb_ray.engines.encoding import PromptEncoder, load_tokenizer

    tokenizer = load_tokenizer(start, revision)
    config = AutoConfig.from_pretrained(start, revision=revision, trust_remote_code=False)
    config.dtype = getattr(torch, dtype)
    with torch.device("meta"):
        model = AutoModelForCausalLM.from_config(config, trust_remote_code=False)
    given = {
        name: tensor.to(config.dtype) if tensor.is_floating_point() else tensor for name, tensor in weights.items()
    }
    missing = model.load_state_dict(given, strict=False, assign=True)
    model.tie_weights()
    tied = {"lm_head.weight"} if config.tie_word_embeddings else set()
    if absent := [*(set(missing.missing_keys) - tied), *missing.unexpected_keys]:
        raise AssertionError(f"weights do not fit the model: {absent}")
    end = PromptEncoder(tokenizer).end
    pad = tokenizer.pad_token_id if tokenizer.pad_token_id is not None else end
    model.generation_config = GenerationConfig(do_sample=False, eos_token_id=end, pad_token_id=pad)
    with tensors.os_errors():
        model.save_pretrained(target)
        tokenizer.save_pretrained(target)


def verify(booster: Path, seen: Probe, dtype: str) -> float:
    """How far what was written is from what was trained, loaded as an engine would; see `export`. Raises `UserError`."""
    import torch
    from transformers import AutoModelForCausalLM

    from midb_ray.engines import models

    models.check(str(booster))
    model = AutoModelForCausalLM.from_pretrained(booster, dtype=getattr(torch, dtype), trust_remote_code=False).eval()
    with torch.no_grad():
        logits = model(input_ids=seen.batch.ids, use_cache=False).logits[0, :-1]
    found = _chosen(logits, seen.batch.targets)
    difference = float((found - seen.expected).abs().mean())
    advice = "it is not kept, the checkpoints are. Run again with --dtype float32 --accept dtype."
    if seen.before is not None and (share := _kept(found, seen.expected, seen.before)) < _LEAST:
        raise UserError(
            f"Merging has lost what the adapters learnt: of their effect {max(share, 0):.0%} at most is in the booster; {advice}"
        )
    if not difference <= (limit := _TOLERANCE[dtype]):
        raise UserError(
            "The booster as it was written gives other answers than the trained model (log-probabilities differ by "
            f"{difference:.3g} on average, at most {limit:.3g} was expected); {advice}"
        )
    return difference


def _kept(found: torch.Tensor, trained: torch.Tensor, before: torch.Tensor) -> float:
    """How much of what adapters change is in the merged model at most: the slope of found - before over trained - before, least
    squares, and a few standard errors on top. A mean difference would not tell: rounding may be larger than what was learnt, but
    does not know its direction."""
    learnt, there = (trained - before).double(), (found - before).double()
    size = float(learnt.square().sum())
    if not size:
        return 1.0
    slope = float((learnt * there).sum()) / size
    rest = there - slope * learnt
    return slope + _SURE * math.sqrt(float(rest.square().mean()) / size)


def _chosen(logits: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """(tokens,) log-probabilities of the tokens that follow."""
    return logits.float().log_softmax(-1).gather(1, targets[:, None])[:, 0]
