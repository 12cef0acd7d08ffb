"""The rows of the engine benchmark: a corpus with lengths as skewed as a real one's, a model, and the prompts of the boost job."""

from __future__ import annotations

import functools
import json
from pathlib import Path
from typing import Any, NamedTuple

import train_rows

from midb_ray.boosting.settings import BoostSettings
from midb_ray.boosting.work import BoostWork
from midb_ray.corpora.plan import planned
from midb_ray.engines import vllm
from midb_ray.engines.encoding import PromptEncoder, load_tokenizer
from midb_ray.engines.flight import unpack
from midb_ray.locales import load_locales
from midb_ray.runs import inputs, shards
from midb_ray.training.settings import TrainSettings

WIDTH, LAYERS, HEADS, VOCABULARY = 256, 6, 8, 8192  # of the model with random weights: about 9 million parameters
SHARED = 4  # query heads to a head of keys and values, as boosters have them
LIMIT = 512  # new tokens


class Rows(NamedTuple):
    """`model` and `corpus` are paths, `requests` a JSON file of {ids, limit, end} in the corpus's order, `total` of them, at most
    `per_language` of each; `prompt` and `answer` are mean numbers of tokens."""

    model: str
    corpus: str
    requests: str
    per_language: int
    total: int
    prompt: float
    answer: float


def make(scratch: Path, model: str | None, source: str | None, per_language: int) -> Rows:
    """The first rows of each language of `source` (of the samples, made longer, where it is None) for `model` (or one with
    random weights)."""
    revisions = source or train_rows.lengthened(scratch / "revisions")
    model = model or random_model(scratch, revisions)
    settings = boost_settings(model, revisions, str(scratch / "none"), {"limit": per_language})
    work = BoostWork(settings, json.dumps(load_locales(None).fingerprint(), ensure_ascii=False))
    files = inputs.find(settings.input)
    plan = planned(work.corpus, str(scratch / "plan"), files, 0, map)
    chosen = shards.from_table(plan)
    requests = [one for shard in chosen for one in unpack(work.prepare(shard)).requests if one is not None]
    end = sorted(
        vllm.end_tokens(model, None) | {PromptEncoder(load_tokenizer(model, None)).end}
    )  # as our engines have them
    path = scratch / "requests.json"
    path.write_text(json.dumps([{"ids": list(one.ids or ()), "limit": one.limit, "end": end} for one in requests]))
    mean = functools.partial(_mean, len(requests))
    return Rows(
        *(model, revisions, str(path), per_language, len(requests)),
        mean(len(one.ids or ()) for one in requests),
        mean(one.limit for one in requests),
    )


def boost_settings(model: str, corpus: str, output: str, more: dict[str, Any]) -> BoostSettings:
    """The boost job; the peers get the same prompts and limits."""
    engine = {"model": model, "device": "cpu", "dtype": "float32", "max_new_tokens": LIMIT, "answer_floor": 32}
    return BoostSettings.model_validate(
        {"input": [corpus], "output": output, "engine": {**engine, **more.pop("engine", {})}, **more}
    )


def random_model(scratch: Path, revisions: str) -> str:
    """A small Llama with random weights and a tokenizer for these revisions."""
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM

    from midb_ray.training import prepare, training_set

    scratch_model = {"vocabulary": VOCABULARY, "hidden_size": WIDTH, "layers": LAYERS, "heads": HEADS}
    settings = TrainSettings.model_validate(
        {"revisions": [revisions], "output": str(scratch / "start"), "scratch": scratch_model, "dtype": "float32"}
    )
    locales = load_locales(None)
    place = settings.output
    training_set.make(
        settings.revisions, settings.selection, settings.seed, locales, f"{place}/{prepare.REVISIONS}", map
    )
    start = prepare.start_model(place, settings, locales)
    config = AutoConfig.from_pretrained(start)
    config.num_key_value_heads = HEADS // SHARED
    torch.manual_seed(0)
    AutoModelForCausalLM.from_config(config).save_pretrained(start)
    return start


def _mean(count: int, numbers: Any) -> float:
    return float(sum(numbers)) / max(count, 1)
