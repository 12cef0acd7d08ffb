"""Scoring around the engine: shards that travel together, and what stands beside a model's measures."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from transformers import PreTrainedTokenizerFast

from midb_ray.engines import bundles
from midb_ray.engines.base import Completion, Likelihood
from midb_ray.engines.flight import Flight, unpack
from midb_ray.locales import load_locales
from midb_ray.quality.output import SCORED_SCHEMA
from midb_ray.quality.settings import ScoreSettings
from midb_ray.quality.work import ScoreWork
from tests.corpora.plans import plan
from tests.engines.conftest import _tiny_llama, byte_level
from tests.quality.test_judge import answer

SOURCE = {"source_instruction": "How high is the tower?", "source_response": "The tower is 48 metres high."}
ROW = {"instruction": "Wie hoch ist der Turm?", "output": "Der Turm ist 48 Meter hoch.", "language": "de", **SOURCE}


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("model")
    _tiny_llama(max_position_embeddings=4096).save_pretrained(folder)
    PreTrainedTokenizerFast(tokenizer_object=byte_level(), bos_token="<s>", eos_token="</s>").save_pretrained(folder)
    return str(folder)


def flights(path: Path, lines: list[str], **given: Any) -> Iterator[tuple[ScoreWork, Flight]]:
    """The shards of a corpus, after they have travelled as one bundle."""
    settings = ScoreSettings.model_validate({"input": ["corpus"], "output": "run", **given})
    work = ScoreWork(settings, json.dumps(load_locales().fingerprint(), ensure_ascii=False))
    shards = plan(path, "".join(f"{line}\n" for line in lines).encode())
    parcels = bundles.unfold(bundles.fold(*map(work.prepare, shards)))
    for place in range(parcels.num_rows):
        yield work, unpack(parcels.slice(place, 1))


@pytest.mark.parametrize("measured", [False, True])
def test_a_shard_without_a_single_pair_travels_with_others(tmp_path: Path, model: str, measured: bool) -> None:
    on = {"difficulty": {"on": True}, "engine": {"kind": "transformers", "model": model}} if measured else {}
    told = []
    for work, flight in flights(tmp_path, ["no JSON"] * 8 + [json.dumps(ROW)], **on):
        likelihoods = [Likelihood(-4.0, 4)] * len(flight.continuations)
        rows, dead, figures = work.finish(flight._replace(likelihoods=likelihoods), [None] * flight.pairs.num_rows)
        assert rows.schema.equals(SCORED_SCHEMA)
        told.append((rows.num_rows, dead.num_rows, figures.rows_in))
    assert told == [(0, 8, 8), (1, 0, 1)]


def test_a_model_judges_and_measures_the_same_pair(tmp_path: Path, model: str) -> None:
    on = {name: {"on": True} for name in ("difficulty", "explained", "judge")}
    on["explained"]["least"] = 0.5  # type: ignore[assignment]
    ((work, flight),) = flights(tmp_path, [json.dumps(ROW)], **on, engine={"kind": "transformers", "model": model})
    assert (len(flight.requests), len(flight.continuations)) == (1, 4)
    found = [Likelihood(-total, 10) for total in (10.0, 20.0, 7.0, 9.0)]
    rows, _, figures = work.finish(flight._replace(likelihoods=found), [Completion(answer(), "stop", 50)])
    (row,) = rows.to_pylist()
    assert row["perplexity"] == pytest.approx(2.718, abs=1e-3)
    assert row["ifd"] == pytest.approx(0.368, abs=1e-3)
    assert row["explained"] == pytest.approx(0.2)
    assert [one["kind"] for one in row["findings"]] == ["unexplained"]
    assert row["translation"] == 50 < row["judge_translation"]  # the lower of the two counts
    tokens = sum(len(one.prompt) + len(one.ids) for one in flight.continuations if one is not None)
    assert flight.requests[0] is not None
    assert figures.prompt_tokens == tokens + len(flight.requests[0].ids or ())
