"""What similarities say of pairs: the worse of question and response counts, and where it stands."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pydantic
import pytest

from midb_ray.engines.base import Comparison, Similarity
from midb_ray.quality import similarity
from midb_ray.quality.settings import ScoreSettings, fingerprint
from midb_ray.quality.similarity import Nearness
from tests.quality.test_work import ROW, flights

GIVEN = {"similarity": {"model": "some/encoder", "least": 0.5}}


def test_question_and_response_stand_beside_those_of_the_source(tmp_path: Path) -> None:
    rows = [{**ROW, "input": "Siehe Karte.", "source_input": "See the map."}, {**ROW, "source_response": None}]
    rows.append({**ROW, "source_response": " "})
    ((_, flight),) = flights(tmp_path, [json.dumps(row) for row in rows], **GIVEN)
    assert flight.comparisons == [
        Comparison("Wie hoch ist der Turm?\n\nSiehe Karte.", "How high is the tower?\n\nSee the map."),
        Comparison("Der Turm ist 48 Meter hoch.", "The tower is 48 metres high."),
        *[None] * 4,
    ]
    assert flight.requests == [None] * 3


def test_a_pair_without_a_text_is_no_error_of_the_encoder(tmp_path: Path) -> None:
    ((work, flight),) = flights(tmp_path, [json.dumps({**ROW, "source_response": "", "source_input": "x"})], **GIVEN)
    rows, _, figures = work.finish(flight._replace(similarities=[None, None]), [None])
    (row,) = rows.to_pylist()
    assert (row["similarity"], row["measure_error"]) == (None, "there is no text to compare")
    assert figures.to_dict()["reasons"]["de"]["unmeasured"] == 1


def test_the_worse_of_the_two_counts() -> None:
    found = [Similarity(0.9), Similarity(0.4), Similarity(0.2), Similarity(0.8), None, None]
    found += [Similarity(0.9), Similarity(math.nan, "no text")]
    assert similarity.nearness(found) == [
        Nearness(0.4, "response"),
        Nearness(0.2, "instruction"),
        Nearness(),
        Nearness(error="no text"),
    ]


def test_a_pair_that_means_something_else_has_a_finding_and_a_lower_score(tmp_path: Path) -> None:
    ((work, flight),) = flights(tmp_path, [json.dumps(ROW)] * 4, **GIVEN)
    found = [Similarity(0.9), Similarity(0.4), Similarity(0.2), Similarity(0.8), Similarity(0.9), Similarity(0.8)]
    found += [Similarity(0.9), Similarity(math.nan, "ValueError: this text")]
    rows, _, figures = work.finish(flight._replace(similarities=found), [None] * 4)
    told = rows.to_pylist()
    assert [row["similarity"] for row in told] == [0.4, 0.2, 0.8, None]
    assert [row["measure_error"] for row in told] == [None, None, None, "ValueError: this text"]
    assert [[(one["kind"], one["section"]) for one in row["findings"]] for row in told] == [
        [("unlike", "response")],
        [("unlike", "instruction")],
        [],
        [],
    ]
    assert told[0]["findings"][0]["end"] == len(ROW["output"])
    assert [row["translation"] for row in told] == [50, 50, 100, 100]
    assert figures.to_dict()["reasons"] == {"de": {"unlike": 2, "unmeasured": 1}}


def test_without_a_limit_nothing_is_found(tmp_path: Path) -> None:
    ((work, flight),) = flights(tmp_path, [json.dumps(ROW)], similarity={"model": "some/encoder"})
    rows, _, _ = work.finish(flight._replace(similarities=[Similarity(-0.1), Similarity(0.1)]), [None])
    (row,) = rows.to_pylist()
    assert (row["similarity"], row["findings"]) == (-0.1, [])


def test_the_run_depends_on_encoder_and_limit_and_not_on_where_it_computes() -> None:
    def of(encoder: Any, **own: Any) -> Any:
        settings = ScoreSettings.model_validate({"input": ["a"], "output": "b", "similarity": {"model": "x", **own}})
        return fingerprint(settings, {}, {}, None, encoder)

    assert of({"files": 1}) == of({"files": 1}, device="cpu") != of({"files": 2})
    assert of({"files": 1}) != of({"files": 1}, least=0.2)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"least": 0.5}, "nothing is compared without similarity.model"),
        ({"revision": "main"}, "it says something of a model"),
        ({"device": "cpu"}, "it says something of a model"),
        ({"model": "x", "least": 2}, "less than or equal to 1"),
    ],
)
def test_settings_without_effect_are_refused(given: dict[str, Any], said: str) -> None:
    with pytest.raises(pydantic.ValidationError, match=said):
        ScoreSettings.model_validate({"input": ["a"], "output": "b", "similarity": given})
