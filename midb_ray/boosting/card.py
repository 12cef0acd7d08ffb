"""The booster card: a finished booster is tried on validation rows, and its directory says how near it comes to the expert.

The pairs go the way of the boost job, through the same prompts, engine and guard; what comes of them is compared with the
expert's revision, beside the raw pair, which is what one has without a booster.
"""

from __future__ import annotations

import dataclasses
import datetime
import logging
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any, Final

import numpy as np
import numpy.typing as npt

import midb_ray
from midb_ray import prompts
from midb_ray.boosting import card_record, trials
from midb_ray.boosting.card_record import Card, CardFigures
from midb_ray.boosting.guard import Guard
from midb_ray.boosting.guard_settings import GuardSettings
from midb_ray.boosting.trials import Outcome, Trial
from midb_ray.engines import models
from midb_ray.engines.settings import EngineSettings
from midb_ray.locales import Locales
from midb_ray.pairs import Text
from midb_ray.runs import cluster, storage
from midb_ray.signals.distance import distance

logger = logging.getLogger("midb_ray")

HEADING: Final = "## Booster card"
_SECTION = re.compile(rf"^{HEADING}[ \t]*$.*?(?=^#{{1,2}} |\Z)", re.MULTILINE | re.DOTALL)
_RESAMPLES = 2_000


@dataclasses.dataclass(frozen=True)
class CardTask:
    """What a card is made of. Picklable: another machine of the cluster may make it.

    `booster` is the URI of its directory, `validation` that of a Parquet file with revisions, `rows` the number of rows of each
    language. `engine` says how the booster runs; its `model` is replaced by the booster.
    """

    booster: str
    validation: str
    rows: int
    template: prompts.Template
    locales: Locales
    engine: EngineSettings
    guard: GuardSettings = dataclasses.field(default_factory=GuardSettings)


def make(
    task: CardTask, gpus: float = 0, cpus: float = 1, nodes: Mapping[str, str] = MappingProxyType({})
) -> Card | None:
    """The card of a booster, or None if there is no validation row to try it on. Where Ray is initialised one task with so many
    GPUs and CPUs makes it on one of the `nodes` of a label selector, else this process does.

    Raises `UserError` for a booster or validation set that cannot be used, and what the engine raises when it is lost.
    """
    import ray

    if not ray.is_initialized():
        return measure(task)
    if not gpus and task.engine.device == "auto":  # a GPU that this task does not hold may be another's
        task = dataclasses.replace(task, engine=task.engine.model_copy(update={"device": "cpu"}))
    if ray.cluster_resources().get("GPU", 0) < gpus:
        logger.warning("No node of the cluster has a GPU at present; the booster card waits until one comes.")
    try:
        remote = ray.remote(num_cpus=cpus, num_gpus=gpus, label_selector=dict(nodes) or None)(measure)
        made: Card | None = ray.get(remote.remote(task))
    except ray.exceptions.RayError as error:
        raise cluster.original(error) from error
    return made


def measure(task: CardTask) -> Card | None:
    """The same in this process, with no cluster."""
    tried = trials.choose(task.validation, task.rows, task.locales)
    if not tried:
        return None
    with trials.directory(task.booster) as booster:
        engine = task.engine
        if engine.kind != "echo":
            engine = engine.model_copy(update={"model": booster, "revision": None})
        outcomes = trials.attempt(tried, task.template, task.locales, engine, Guard(task.guard, task.locales))
        model = card_record.model_digest(models.identity(booster)["files"])
    by_language: dict[str, list[tuple[Trial, Outcome]]] = {}
    for trial, outcome in zip(tried, outcomes, strict=True):
        by_language.setdefault(trial.language, []).append((trial, outcome))
    return Card(
        midb_ray=midb_ray.__version__,
        made=datetime.datetime.now(datetime.timezone.utc).replace(microsecond=0),
        model=model,
        template=task.template,
        seed=task.engine.seed if task.engine.temperature else None,
        rows_per_language=task.rows,
        all=figures(list(zip(tried, outcomes, strict=True))),
        languages={language: figures(found) for language, found in by_language.items()},
    )


def nearness(text: Text, expert: Text) -> float:
    """How near a pair comes to the expert's: 1 - distance / length of the longer of the two as they are serialised, so 1 is the
    same text and 0 shares nothing (normalised Levenshtein similarity). `signals.distance` caps distances at 10,000 edits, so that
    very long pairs of which nothing is left come out above 0."""
    longer = max(len(prompts.serialise(text)), len(prompts.serialise(expert)))
    return 1 - min(distance(text, expert) / longer, 1.0)


def figures(tried: Sequence[tuple[Trial, Outcome]]) -> CardFigures:
    """The figures of at least one trial. A row that the engine could not be asked about, or failed on, has no answer that
    parses."""
    rows = len(tried)
    raw = np.array([nearness(trial.raw, trial.expert) for trial, _ in tried])
    final = np.array([nearness(outcome.verdict.text, trial.expert) for trial, outcome in tried])
    answers = [nearness(outcome.answer, trial.expert) for trial, outcome in tried if outcome.answer is not None]
    reasons = Counter(reason for _, outcome in tried for reason in outcome.verdict.reasons)
    accepted = sum(outcome.verdict.decision in ("boosted", "unchanged") for _, outcome in tried)
    return CardFigures(
        rows=rows,
        parse_rate=_rounded(len(answers) / rows),
        pass_rate=_rounded(accepted / rows),
        truncated_share=_rounded(sum(outcome.truncated for _, outcome in tried) / rows),
        reasons=dict(sorted(reasons.items())),
        raw_nearness=_rounded(raw.mean()),
        final_nearness=_rounded(final.mean()),
        answer_nearness=_rounded(np.mean(answers)) if answers else None,
        gain=_rounded((final - raw).mean()),
        gain_interval=_interval(final - raw),
    )


def write(booster: str, card: Card) -> None:
    """Write card.json into a booster's directory, and the card as a section of its README.md, in place of an older one.

    Raises `UserError` if that cannot be done. Neither file belongs to the identity of a model.
    """
    readme = storage.join(booster, "README.md")
    try:
        try:
            text = storage.read_bytes(readme).decode("utf-8", "surrogateescape")
        except FileNotFoundError:
            text = ""
        storage.write_bytes(readme, _with_section(text, markdown(card)).encode("utf-8", "surrogateescape"))
        storage.write_bytes(storage.join(booster, card_record.FILE), card.to_json())
    except OSError as error:
        raise storage.explain(error, booster, "write the booster card into") from None


def markdown(card: Card) -> str:
    """The section of the model card."""
    rows = [("all", card.all), *sorted(card.languages.items())]
    lines = [
        HEADING,
        "",
        f"{card.all.rows} validation rows, up to {card.rows_per_language} of each language, boosted with template "
        f"`{card.template}`, {'greedy' if card.seed is None else f'seed {card.seed}'} (midb_ray {card.midb_ray}, "
        f"{card.made:%Y-%m-%d %H:%M} UTC). Nearness to the expert is 1 - edits / length, 1 the expert's own text: of the raw pair, "
        "of the final text (what the guard lets through, else the raw pair), and of all answers that parse.",
        "",
        "| language | rows | parse | pass the guard | truncated | raw | final | answers | final - raw (95 %) |",
        "|---|---:|---:|---:|---:|---:|---:|---:|---:|",
        *(_line(language, found) for language, found in rows),
    ]
    if card.all.reasons:
        shown = ", ".join(f"{reason} {count}" for reason, count in Counter(card.all.reasons).most_common())
        lines += ["", f"Refused for: {shown}."]
    if found := card_record.problems(card):
        lines += ["", "**The booster fails its own card.**", "", *(f"- {problem}" for problem in found)]
    return "\n".join(lines)


def _line(language: str, found: CardFigures) -> str:
    shares = [f"{100 * share:.0f} %" for share in (found.parse_rate, found.pass_rate, found.truncated_share)]
    answers = "-" if found.answer_nearness is None else f"{found.answer_nearness:.3f}"
    gain = f"{found.gain:+.3f}"
    if found.gain_interval is not None:
        gain += " ({:+.3f} to {:+.3f})".format(*found.gain_interval)
    cells = [
        language,
        str(found.rows),
        *shares,
        f"{found.raw_nearness:.3f}",
        f"{found.final_nearness:.3f}",
        answers,
        gain,
    ]
    return f"| {' | '.join(cells)} |"


def _with_section(text: str, section: str) -> str:
    """`text` with the section in place of the one that it has, else at its end."""
    match = _SECTION.search(text)
    before, after = (text[: match.start()], text[match.end() :]) if match else (text, "")
    return "\n\n".join(part for part in (before.rstrip(), section, after.strip()) if part) + "\n"


def _interval(differences: npt.NDArray[np.float64]) -> tuple[float, float] | None:
    """The 95 % percentile bootstrap interval of the mean (Efron 1979), the same every time; None for a single value."""
    count = len(differences)
    if count < 2:
        return None
    random = np.random.default_rng(0)
    means = [differences[random.integers(0, count, count)].mean() for _ in range(_RESAMPLES)]
    low, high = np.percentile(means, [2.5, 97.5])
    return _rounded(low), _rounded(high)


def _rounded(value: float | np.floating[Any]) -> float:
    return round(float(value), 6)
