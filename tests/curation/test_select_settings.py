"""The settings of select: what is refused, what is on, and what a selection depends on."""

from __future__ import annotations

from pathlib import Path

import pytest

from midb_ray import config
from midb_ray.curation import select_summary
from midb_ray.curation.select_settings import SelectSettings, fingerprint
from midb_ray.errors import UserError


def load(*arguments: str) -> SelectSettings:
    return config.load(SelectSettings, "midb-ray select", ["--input", "a", "--output", "b", *arguments])[0]


def test_every_setting_is_described() -> None:
    assert [key for key, field in config.options(SelectSettings) if not field.description] == []


@pytest.mark.parametrize("word", ["no", "none", "false"])
def test_near_duplicates_can_be_switched_off_by_any_of_these_words(word: str, tmp_path: Path) -> None:
    assert load("--near-duplicates", word).near_duplicates is None
    (tmp_path / "a.yaml").write_text(f"near_duplicates: {word}\n")
    assert load("--config", str(tmp_path / "a.yaml")).near_duplicates is None


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--near-duplicates", "true"], "near_duplicates"),
        (["--near-duplicates", "0.1"], "near_duplicates"),
        (["--exact-duplicates", "false"], "expected near_duplicates none beside it"),
        (["--keep", "0"], "keep"),
        (["--keep", "1.5"], "keep"),
        (["--limit", "0"], "limit"),
        (["--at-least.overall", "101"], "at_least.overall"),
        (["--diversity.share", "2"], "diversity.share"),
        (["--by", "length"], "by"),
    ],
)
def test_what_means_nothing_is_refused_by_name(arguments: list[str], said: str) -> None:
    with pytest.raises(UserError, match=said):
        load(*arguments)


def test_a_selection_depends_on_its_rules_and_its_input_and_not_on_where_and_how_it_runs() -> None:
    def settled(*arguments: str) -> dict[str, object]:
        return fingerprint(load(*arguments), ["v1"])

    plain = settled()
    for same in (["--output", "c"], ["--address", "x"], ["--progress-seconds", "1"], ["--without"]):
        assert settled(*same) == plain
    assert settled("--without", "echo", "refusal") == settled("--without", "refusal", "echo", "echo")
    others = [
        ["--keep", "0.5"], ["--by", "content"], ["--limit", "3"], ["--without", "echo"], ["--near-duplicates", "0.9"],
        ["--near-duplicates", "no"], ["--diversity.pairs", "3"], ["--at-least.content", "3"],
    ]  # fmt: skip
    found = [str(settled(*other)) for other in others]
    assert len({str(plain), *found}) == len(others) + 1
    assert fingerprint(load(), ["v2"]) != plain


def test_a_dry_run_tells_the_rules_in_their_order() -> None:
    rules = select_summary.rules(
        load(
            "--keep",
            "0.7",
            "--limit",
            "9",
            "--diversity.share",
            "0.01",
            "--at-least.content",
            "60",
            "--without",
            "echo",
        )
    )
    assert rules == [
        "content at least 60",
        "without echo",
        "of pairs that are alike to 0.8 or more the best by overall",
        "of a cluster at most 1.0% of a language",
        "of each language the best 70.0% by overall",
        "of each language at most 9 pairs",
    ]
    assert select_summary.rules(load("--near-duplicates", "no", "--exact-duplicates", "false")) == [
        "every pair is kept"
    ]
