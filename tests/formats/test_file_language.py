"""The language in a file's name: only where it is clearly meant."""

from __future__ import annotations

import pytest

from midb_ray.formats.file_language import file_language
from midb_ray.locales import load_locales


@pytest.mark.parametrize(
    ("file", "tag"),
    [
        ("corpora/French.json", "fr"),
        ("FRENCH.jsonl.gz", "fr"),
        ("日本語.json", "ja"),
        ("Bahasa_Indonesia.json", "id"),
        ("fr.jsonl", "fr"),
        ("id.jsonl", "id"),
        ("it.json.zst", "it"),
        ("pt-BR.parquet", "pt"),
        ("fr-CA.jsonl", "fr-CA"),
        ("pt_br.jsonl", "pt"),
        ("corpus.fr.jsonl", "fr"),
        ("corpus-fr.jsonl", "fr"),
        ("alpaca_French.json", "fr"),
        ("corpus.id.jsonl", "id"),
        ("corpus-id-ID.jsonl", "id"),
        ("corpus-new-fr.jsonl", "fr"),
        ("train-fr-00000-of-00004.parquet", "fr"),
        ("corpora/fr/part-00001.jsonl", "fr"),
        ("s3://bucket/lang=pt-BR/x.jsonl", "pt"),
        ("corpora/language=Malay/x.jsonl", "ms"),
        ("corpora/lang=id/x.jsonl", "id"),
        ("de/French.json", "fr"),
        ("de/fr/x.json", "fr"),
    ],
)
def test_a_clear_name_states_the_language(file: str, tag: str) -> None:
    found = file_language(file, load_locales())
    assert found is not None
    assert found.tag == tag


@pytest.mark.parametrize(
    "file",
    [
        *(
            "all-in.jsonl",
            "with_id.jsonl",
            "user-ID.json",
            "do-it.json",
            "latency_ms.json",
            "part-vi.txt",
            "x_tr.jsonl",
        ),
        *("it-data.jsonl", "de-dupe.jsonl", "de-duplicated.jsonl", "de-it.jsonl", "french_fries_or_not.json"),
        *(
            "id/x.json",
            "/home/may/x.json",
            "zh-CN.json",
            "corpus.jsonl",
            "x.json",
            "",
            "lang=/x.json",
            "lang=xx/x.json",
        ),
    ],
)
def test_a_name_with_another_meaning_states_nothing(file: str) -> None:
    assert file_language(file, load_locales()) is None
