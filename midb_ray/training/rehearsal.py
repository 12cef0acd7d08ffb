"""What `midb-ray train --dry-run` prints: settings with their origin, sizes, steps, and what would not fit."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from midb_ray import config
from midb_ray.training import capacity, remedies, sizes
from midb_ray.training.settings import TrainSettings


class DataFacts(NamedTuple):
    """The training set: `dropped` and `cut` are examples over max_tokens; tokens are of one epoch, `longest` of one example;
    `steps` are all of the run's."""

    train_examples: int
    validation_examples: int
    dropped: int
    cut: int
    train_tokens: int
    answer_tokens: int
    longest: int
    steps: int
    languages: int


class Facts(NamedTuple):
    """What is known beside the settings. `model` is the transformers config of the model."""

    model: Any = None
    data: DataFacts | None = None
    room: capacity.Room | None = None


def lines(settings: TrainSettings, origins: config.Origins, facts: Facts) -> list[str]:
    """Everything to print, without line ends. Raises `UserError` for a model that cannot be built."""
    told = ["settings", *_settings(settings, origins)]
    counted = needed = None
    if facts.model is not None:
        counted = sizes.parameters(facts.model, settings)
        needed = sizes.memory(counted, facts.model, settings, settings.workers[0], _labelled(facts))
        told += ["", "model", *_parameters(counted), "", *_memory(needed, counted, settings, facts)]
    if facts.data is not None:
        told += ["", "training set", *_data(facts.data, settings)]
    if remarks := ignored(settings, origins) + _remarks(settings, facts):
        told += ["", "remarks", *(f"  {remark}" for remark in remarks)]
    if found := _limits(settings, facts) + (_too_large(needed, counted, settings, facts) if needed and counted else []):
        told += ["", "would not fit", *(f"  {problem}" for problem in found)]
    elif facts.model is not None:
        told += ["", "Nothing was found that would not fit."]
    return told


def ignored(settings: TrainSettings, origins: config.Origins) -> list[str]:
    """A sentence for each setting that was given and that another one makes pointless."""
    last = settings.schedule == "constant"
    rules: list[tuple[str, bool, str]] = [
        ("lora.", settings.method == "full", "method is full"),
        ("scratch.", settings.model is not None, "a model is given"),
        ("batch_size", settings.batch_tokens is not None, "batch_tokens is given"),
        ("micro_tokens", not settings.packing, "packing is false, and examples go one by one"),
        ("final_learning_rate", last, "schedule is constant"),
        ("selection.share", settings.selection.count is not None, "selection.count is given"),
        ("card_rows", not settings.selection.validation and settings.card_rows > 0, "selection.validation is 0"),
        ("accept", settings.fresh, "fresh starts over"),
    ]
    return [
        f"{key} ({_origin(origins[key])}) is ignored: {why}."
        for start, pointless, why in rules
        for key in sorted(origins)
        if pointless and (key == start or (start.endswith(".") and key.startswith(start)))
    ]


def _settings(settings: TrainSettings, origins: Mapping[str, str]) -> list[str]:
    rows = [(key, _value(value), _origin(origins.get(key))) for key, value in config.flat(settings).items()]
    return _columns(rows)


def _parameters(counted: sizes.Parameters) -> list[str]:
    kinds = [(f"  {kind}", f"{count:,}", "") for kind, count in counted.kinds.items()]
    share = f"{counted.trainable:,}", f"{100 * counted.share:.3g} %"
    return _columns([("parameters", f"{counted.total:,}", ""), *kinds, ("trained", *share)], right=True)


def _memory(needed: sizes.Memory, counted: sizes.Parameters, settings: TrainSettings, facts: Facts) -> list[str]:
    fewest, most = settings.workers[0], settings.workers[-1]
    unit = "GPU" if settings.device == "cuda" else "worker"
    rows = [(part, _size(getattr(needed, part)), "") for part in _PARTS if getattr(needed, part)]
    rows.append(("at once, at most", _size(needed.total), _cards(needed.total) if unit == "GPU" else ""))
    if most > fewest:
        total = sizes.memory(counted, facts.model, settings, most, _labelled(facts)).total
        rows.append((f"with {most} workers", _size(total), _cards(total) if unit == "GPU" else ""))
    if needed.cpu:
        rows.append(("of the machine", _size(needed.cpu), "for each worker, by offload"))
    workers = f"{fewest} worker{'s' if fewest > 1 else ''}"
    return [f"memory of one {unit}, {workers}, ZeRO {settings.zero.stage} (an estimate)", *_columns(rows, right=True)]


_PARTS = ("weights", "gradients", "optimizer", "activations", "logits", "gathered", "buffers", "update", "reserve")


def _data(data: DataFacts, settings: TrainSettings) -> list[str]:
    tokens = round(data.train_tokens * settings.epochs / max(data.steps, 1))
    rows = [
        ("languages", f"{data.languages:,}", ""),
        ("training examples", f"{data.train_examples:,}", ""),
        ("validation examples", f"{data.validation_examples:,}", ""),
        ("over max_tokens", f"{data.dropped:,}", "dropped"),
        ("", f"{data.cut:,}", "cut"),
        ("tokens of an epoch", f"{data.train_tokens:,}", ""),
        ("  of answers", f"{data.answer_tokens:,}", f"{100 * data.answer_tokens / max(data.train_tokens, 1):.3g} %"),
        ("longest example", f"{data.longest:,}", "tokens"),
        ("steps of an epoch", f"{data.steps / settings.epochs:,.4g}", ""),
        ("steps in all", f"{data.steps:,}", f"{settings.epochs:g} epochs"),
        ("tokens of a step", f"{tokens:,}", "on average"),
    ]
    return _columns(rows, right=True)


def _remarks(settings: TrainSettings, facts: Facts) -> list[str]:
    most, found = settings.workers[-1], []
    if settings.batch_tokens is None and settings.batch_size < most:
        found.append(
            f"batch_size {settings.batch_size} leaves some of {most} workers without an example in every step."
        )
    room = facts.room
    if room is not None and room.local and room.workers < settings.workers[0]:
        found.append(
            f"This machine can hold {room.workers} of the {settings.workers[0]} workers; name their cluster with --address."
        )
    elif room is not None and settings.workers[0] <= room.workers < most:
        found.append(f"Of the {most} workers that may be, the cluster can hold {room.workers}.")
    if facts.data is not None and facts.data.steps <= settings.checkpoint.steps:
        found.append(
            f"checkpoint.steps {settings.checkpoint.steps} is no less than all {facts.data.steps} steps: "
            "a run that breaks off begins again."
        )
    return found


def _limits(settings: TrainSettings, facts: Facts) -> list[str]:
    room = facts.room
    if room is None or room.local or settings.workers[0] <= room.workers:
        return []
    return [
        f"workers is {settings.workers[0]} at least, and the cluster can hold {room.workers} with cpus_per_worker "
        f"{settings.cpus_per_worker:g} and gpus_per_worker {settings.gpus_per_worker:g}; lower workers or add nodes."
    ]


def _too_large(needed: sizes.Memory, counted: sizes.Parameters, settings: TrainSettings, facts: Facts) -> list[str]:
    """Why the memory does not do, and what to change; on GPUs without a known size, where no common card would do."""
    limit = None if facts.room is None else facts.room.memory
    known = limit is not None
    if limit is None:
        if settings.device == "cpu":
            return []
        limit = remedies.card_bytes(remedies.CARDS[-1])
    if needed.total <= limit:
        return []
    where = "GPU" if settings.device == "cuda" else "worker"
    there = f"there are {_size(limit)}" if known else f"the largest common card has {remedies.CARDS[-1]} GB"
    found = [f"A {where} needs {_size(needed.total)}, and {there}."]
    ways = remedies.remedies(counted, facts.model, settings, settings.workers[0], limit, _labelled(facts))
    found += [f"  {', '.join(way.changes)} makes it {_size(way.total)}" for way in ways]
    if not ways:
        found.append("  No setting of memory is enough; train " + _smaller(settings) + ".")
    return found


def _smaller(settings: TrainSettings) -> str:
    return "with method lora or a smaller model" if settings.method == "full" else "a smaller model or lower max_tokens"


def _labelled(facts: Facts) -> float:
    return facts.data.answer_tokens / facts.data.train_tokens if facts.data and facts.data.train_tokens else 1.0


def _cards(total: int) -> str:
    card = remedies.smallest_card(total)
    return f"fits on cards from {card} GB" if card else f"on no card of {remedies.CARDS[-1]} GB"


def _size(count: int) -> str:
    return f"{count / 2**30:.2f} GiB" if count >= 2**27 else f"{count / 2**20:.1f} MiB"


def _origin(origin: str | None) -> str:
    return origin or "default"


def _value(value: Any) -> str:
    if value is None:
        return "none"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list):
        return " ".join(map(_value, value)) or "none"
    return str(value).removesuffix(".0") if isinstance(value, float) else str(value)


def _columns(rows: Sequence[tuple[str, str, str]], right: bool = False) -> list[str]:
    """Rows below a heading; `right` aligns the second column as numbers are."""
    first, second = (max(len(row[place]) for row in rows) for place in (0, 1))
    second = second if right else min(second, 48)
    return [
        f"  {a:<{first}}  {b:>{second}}  {c}".rstrip() if right else f"  {a:<{first}}  {b:<{second}}  {c}"
        for a, b, c in rows
    ]
