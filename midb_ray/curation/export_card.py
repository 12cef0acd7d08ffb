"""The data card of an export: README.md, with the front matter by which the Hugging Face hub and `datasets` know the files."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final, NamedTuple

import pyarrow as pa
import yaml

import midb_ray
from midb_ray.curation.export_books import Books
from midb_ray.curation.export_rows import REASONS, form_schema
from midb_ray.curation.export_settings import ExportSettings
from midb_ray.curation.lineage import Origin
from midb_ray.pairs import SCORES

_SHOWN = 20  # sources of a run that are named
_SIZES: Final = {
    10**3: "n<1K",
    10**4: "1K<n<10K",
    10**5: "10K<n<100K",
    10**6: "100K<n<1M",
    10**7: "1M<n<10M",
    10**8: "10M<n<100M",
    10**9: "100M<n<1B",
    10**10: "1B<n<10B",
}
_FORMS: Final = {
    "messages": "conversations: `messages`, turns with `role` and `content`",
    "sharegpt": "conversations: `conversations`, turns with `from` and `value`",
    "alpaca": "`instruction`, `input` (empty where there is none) and `output`",
    "preference": "preferences for DPO: turns with `role` and `content` in `prompt`, `chosen` (what the booster made of the "
    "response) and `rejected` (the raw response); the prompt is the booster's too",
}


class _Plain(yaml.SafeDumper):
    """YAML without references: what stands there twice is written twice."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


class Card(NamedTuple):
    """What a data card tells: the name of the data set, its settings, what was counted, where it comes from (the run that was
    exported first), the names of its languages by tag, and the day."""

    name: str
    settings: ExportSettings
    books: Books
    origins: Sequence[Origin]
    languages: Mapping[str, str]
    day: str


def markdown(card: Card) -> str:
    """The whole card."""
    rows, books = sum(card.books.rows.values()), card.books
    languages = sorted(language for language, count in books.rows.items() if count)
    front = yaml.dump(_front(card, languages), Dumper=_Plain, sort_keys=False, default_flow_style=None, width=120)
    lines = [
        "---",
        front.rstrip(),
        "---",
        "",
        f"# {_safe(card.name)}",
        "",
        f"{_plural(rows, 'row')} in {_plural(len(languages), 'language')}, written on {card.day} by "
        f"midb_ray {midb_ray.__version__}: {_FORMS[card.settings.form]}. `id` and `source_id` are those of the input where it "
        "had any, `language` is a BCP-47 tag.",
        "",
        *_contents(card, languages),
        *_left_out(card),
        *_lineage(card.origins),
        *_decisions(card.origins),
        "## Before you publish",
        "",
        "The licence is that of the sources: state it here. What is named above as a source stands as it was given to the job.",
    ]
    return "\n".join(lines) + "\n"


def _front(card: Card, languages: Sequence[str]) -> dict[str, Any]:
    settings, rows = card.settings, sum(card.books.rows.values())
    regional = [tag for tag in languages if "-" in tag]
    front: dict[str, Any] = {
        "language": list(dict.fromkeys(tag.partition("-")[0] for tag in languages)),
        **({"language_bcp47": regional} if regional else {}),
        "size_categories": [_size(rows)],
        "task_categories": ["text-generation"],
        "tags": ["dpo" if settings.form == "preference" else "instruction-tuning", "midb-ray"],
    }
    if not languages:
        return front
    files = {
        name: f"{folder}/train-*.{settings.files}"
        for name, folder in (("default", "*"), *zip(languages, languages, strict=True))
    }
    front["configs"] = [
        {"config_name": name, "data_files": [{"split": "train", "path": path}]} for name, path in files.items()
    ]
    if settings.extra != "keys":
        features = [_feature(field) for field in form_schema(settings)]
        front["dataset_info"] = [{"config_name": name, "features": features} for name in files]
    return front


def _feature(field: pa.Field) -> dict[str, Any]:
    if pa.types.is_list(field.type):
        return {"name": field.name, "list": [_feature(inner) for inner in field.type.value_type]}
    return {"name": field.name, "dtype": "string"}


def _contents(card: Card, languages: Sequence[str]) -> list[str]:
    books = card.books
    means = {language: books.means(language) for language in sorted({*languages, *books.left_out})}
    scores = SCORES if any(means.values()) else ()
    head = ["language", "tag", "rows", "pairs left out", *(f"mean {name}" for name in scores)]
    body = [
        [
            _safe(card.languages.get(language, language)),
            f"`{language}`",
            f"{books.rows[language]:,}",
            f"{sum(books.left_out.get(language, {}).values()):,}",
            *(f"{mean[name]:.1f}" if mean else "–" for name in scores),
        ]
        for language, mean in means.items()
    ]
    lines = ["## Contents", "", *_table(head, body), ""]
    if not languages:
        return lines
    return [
        *lines,
        "```python",
        "import datasets",
        "",
        'everything = datasets.load_dataset("PATH", split="train")',
        f'one_language = datasets.load_dataset("PATH", "{languages[0]}", split="train")',
        "```",
        "",
    ]


def _left_out(card: Card) -> list[str]:
    reasons, dead = card.books.reasons, Counter[str]()
    for origin in card.origins:
        dead.update(origin.dead_letters)
    pairs, written = sum(card.books.pairs.values()), sum(card.books.written.values())
    said = f"Of {_plural(pairs, 'pair')} in the run {written:,} are in these rows"
    if not reasons:
        said += ", none is left out."
    lines = ["## What is left out", "", said + (" and the others are not:" if reasons else "")]
    body = [[f"`{reason}`", f"{count:,}", REASONS[reason]] for reason, count in reasons.most_common()]
    if body:
        lines += ["", *_table(["reason", "pairs", "means"], body)]
    for origin in card.origins:
        if origin.excluded:
            shown = ", ".join(f"{_safe(reason)} {count:,}" for reason, count in Counter(origin.excluded).most_common())
            lines += ["", f"Pairs that the selection of {_safe(origin.created)} excluded: {shown}."]
    if dead:
        shown = ", ".join(f"{_safe(reason)} {count:,}" for reason, count in dead.most_common())
        lines += ["", f"Rows of the sources that never became a pair: {shown}."]
    return [*lines, ""]


def _lineage(origins: Iterable[Origin]) -> list[str]:
    lines = ["## Where it comes from", ""]
    for origin in origins:
        model = f", model {_code(origin.model)}" if origin.model else ""
        lines.append(
            f"- `{_safe(origin.job)}`, begun {_safe(origin.created)}, {_plural(origin.rows, 'row')} read{model}; sources:"
        )
        lines += [f"  - {_code(source)}" for source in origin.sources[:_SHOWN]]
        if len(origin.sources) > _SHOWN:
            lines.append(f"  - and {len(origin.sources) - _SHOWN:,} more files")
    return [*lines, ""]


def _decisions(origins: Iterable[Origin]) -> list[str]:
    lines = []
    for origin in origins:
        names = sorted({name for counts in origin.decisions.values() for name in counts})
        if not names:
            continue
        body = [
            [f"`{_safe(language)}`", *(f"{counts.get(name, 0):,}" for name in names)]
            for language, counts in sorted(origin.decisions.items())
        ]
        lines += [f"## Decisions of `{_safe(origin.job)}`", "", *_table(["language", *map(_safe, names)], body), ""]
    return lines


def _table(head: Sequence[str], body: Iterable[Sequence[str]]) -> list[str]:
    rule = ["---" if name in ("language", "tag", "reason", "means") else "---:" for name in head]
    return [f"| {' | '.join(cells)} |" for cells in (head, rule, *body)]


def _size(rows: int) -> str:
    """The size category of the hub."""
    return next((name for bound, name in _SIZES.items() if rows < bound), "10B<n<100B")


def _plural(count: int, word: str) -> str:
    return f"{count:,} {word}" + ("" if count == 1 else "s")


def _safe(text: str) -> str:
    """A word that is not ours, as it may stand in Markdown: on one line, without anything that means something there."""
    return re.sub(r"[^\w .,:;+/()@#-]", "?", " ".join(text.split()))[:200]


def _code(text: str) -> str:
    """A name that is not ours, as code on one line."""
    return "`" + "".join(" " if ord(one) < 32 else one for one in text).replace("`", "'")[:500] + "`"
