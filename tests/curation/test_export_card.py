"""The data card: front matter that names every file, figures, and nothing of the data that means something in Markdown."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest
import yaml

from midb_ray.curation import export_card
from midb_ray.curation.export_books import Books
from midb_ray.curation.export_card import Card
from midb_ray.curation.export_settings import ExportSettings
from midb_ray.curation.lineage import Origin

BOOKS = Books(
    pairs=Counter({"fr": 3, "no": 1, "pt-PT": 1}),
    written=Counter({"fr": 2, "pt-PT": 1}),
    rows=Counter({"fr": 2, "pt-PT": 1}),
    left_out={"fr": Counter(unchanged=1), "no": Counter(kept_original=1)},
    scored=Counter({"fr": 2}),
    scores={"fr": [100.0, 150.0, 199.0, 120.0]},
)
ORIGIN = Origin(
    "boost", "2026-01-01", ("a|`b`\n<c>.jsonl",), "org/model (vllm)", 9, {"fr": {"boosted": 2}}, {"invalid_json": 4}, {}
)


def front(text: str) -> dict[str, Any]:
    return dict(yaml.safe_load(text.split("---\n")[1]))


def card(books: Books = BOOKS, origins: tuple[Origin, ...] = (ORIGIN,), name: str = "data", **given: Any) -> str:
    settings = ExportSettings(input="run", output="out", **given)
    names = {"fr": "French", "no": "Norwegian", "pt-PT": "Portuguese"}
    return export_card.markdown(Card(name, settings, books, origins, names, "2026-01-02"))


def test_the_front_matter_names_the_files_of_every_language_with_rows() -> None:
    found = front(card(form="preference", files="parquet"))
    assert (found["language"], found["language_bcp47"]) == (["fr", "pt"], ["pt-PT"])
    assert (found["size_categories"], found["tags"]) == (["n<1K"], ["dpo", "midb-ray"])
    assert {one["config_name"]: one["data_files"][0]["path"] for one in found["configs"]} == {
        "default": "*/train-*.parquet",
        "fr": "fr/train-*.parquet",
        "pt-PT": "pt-PT/train-*.parquet",
    }
    prompt = found["dataset_info"][0]["features"][0]
    assert prompt["list"] == [{"name": "role", "dtype": "string"}, {"name": "content", "dtype": "string"}]


def test_a_language_whose_code_is_a_word_of_yaml_stays_text() -> None:
    assert front(card(Books(rows=Counter({"no": 1}))))["language"] == ["no"]


def test_columns_are_not_promised_where_rows_bring_their_own() -> None:
    assert "dataset_info" not in front(card(extra="keys"))
    features = front(card(extra="column", form="alpaca"))["dataset_info"][0]["features"]
    assert [one["name"] for one in features][-1] == "extra"


@pytest.mark.parametrize(
    ("rows", "size"), [(999, "n<1K"), (1000, "1K<n<10K"), (10**6, "1M<n<10M"), (10**9, "1B<n<10B")]
)
def test_the_size_category_is_that_of_the_rows(rows: int, size: str) -> None:
    assert front(card(Books(rows=Counter({"fr": rows}))))["size_categories"] == [size]


def test_the_card_tells_rows_scores_reasons_and_origin() -> None:
    text = card()
    assert "| French | `fr` | 2 | 1 | 50.0 | 75.0 | 99.5 | 60.0 |" in text
    assert "| Portuguese | `pt-PT` | 1 | 0 | – | – | – | – |" in text
    assert "| Norwegian | `no` | 0 | 1 |" in text
    assert "Of 5 pairs in the run 3 are in these rows" in text
    assert "| `unchanged` | 1 | the booster found nothing to change |" in text
    assert "never became a pair: invalid_json 4." in text
    assert "model `org/model (vllm)`" in text


def test_names_that_are_not_ours_cannot_become_structure() -> None:
    text = card(name="# x\n---\n<script>`")
    assert "<script>" not in text
    assert "# # x --- ?script??" in text
    assert "  - `a|'b' <c>.jsonl`\n" in text


def test_an_export_without_rows_names_no_files() -> None:
    found = front(card(Books(pairs=Counter({"fr": 1}), left_out={"fr": Counter(unchanged=1)})))
    assert "configs" not in found
    assert found["language"] == []
