"""The score job with a sentence encoder and nothing else: its column is what the encoder says of each pair by itself."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from midb_ray import cli
from midb_ray.engines import encoder
from midb_ray.engines.base import Comparison
from midb_ray.errors import ExitCode
from tests.engines.encoders import save_plain
from tests.quality.test_job import rows, summary

SOURCE = {"source_instruction": "the house", "source_response": "a small cat sat in the red house"}
RESPONSES = ("die kleine Katze sat in the house", "eats bread", "die kleine Katze " * 40, "a cat", "a dog sings")
SOURCES: tuple[dict[str, str], ...] = (SOURCE, SOURCE, SOURCE, {**SOURCE, "source_response": "  "}, {})
QUESTION = "das Haus"


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_plain(tmp_path_factory.mktemp("encoder"))


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    path = tmp_path / "a.jsonl"
    with path.open("w", encoding="utf-8") as file:
        for number, response in enumerate(RESPONSES):
            pair = {"id": f"{number}", "instruction": QUESTION, "output": response, "language": "de"}
            file.write(json.dumps({**pair, **SOURCES[number]}) + "\n")
    return path


@pytest.mark.usefixtures("ray_cluster")
def test_each_pair_is_as_near_as_the_encoder_says(tmp_path: Path, model: Path, corpus: Path) -> None:
    by_hand = encoder.load(str(model), None, "cpu")
    sides = [Comparison(response, SOURCE["source_response"]) for response in RESPONSES[:3]]
    asked, *answered = by_hand.similarities([Comparison(QUESTION, SOURCE["source_instruction"]), *sides])
    by_hand.close()
    expected = [min(asked.cosine, one.cosine) for one in answered]
    least = (min(expected) + max(expected)) / 2
    given = ["--input", corpus, "--output", tmp_path / "run", "--shard-rows", 2, "--similarity.model", model]
    assert cli.score([str(one) for one in [*given, "--similarity.least", least]]) == 0
    found = {int(row["id"]): row for row in rows(tmp_path / "run")}
    assert [found[number]["similarity"] for number in range(3)] == pytest.approx(expected, abs=1e-5)
    assert [found[number]["similarity"] for number in (3, 4)] == [None, None]
    assert [found[number]["measure_error"] for number in range(5)] == [*[None] * 3, "there is no text to compare", None]
    is_unlike = ["unlike" in {one["kind"] for one in found[number]["findings"]} for number in range(5)]
    assert is_unlike == [*(cosine < least for cosine in expected), False, False]
    assert len(set(is_unlike[:3])) == 2
    books = summary(tmp_path / "run")
    assert books["reasons"]["de"]["unmeasured"] == 1
    assert books["engines"][0]["errors"] == 0


def test_a_model_without_an_encoder_is_refused_before_anything_starts(
    tmp_path: Path, corpus: Path, capsys: Any
) -> None:
    given = ["--input", str(corpus), "--output", str(tmp_path / "run"), "--similarity.model", str(tmp_path)]
    assert cli.score(given) == ExitCode.USER_ERROR
    told = capsys.readouterr().err
    assert f"{tmp_path} is no model directory: it has no config.json." in told
    assert not (tmp_path / "run").exists()
