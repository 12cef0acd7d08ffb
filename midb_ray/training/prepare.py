"""Before the workers start: the training set, the model to start from, and examples as token ids."""

from __future__ import annotations

import functools
import json
import logging
from collections import Counter
from typing import TYPE_CHECKING, Any, NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq
import xxhash

import midb_ray
from midb_ray.errors import UserError
from midb_ray.locales import Locales
from midb_ray.runs import folder, storage, transfer
from midb_ray.runs.stream import Spread
from midb_ray.training import examples as encoding
from midb_ray.training import model
from midb_ray.training.examples import Encoded
from midb_ray.training.settings import TrainSettings

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

logger = logging.getLogger("midb_ray")

REVISIONS, EXAMPLES, START = "revisions", "examples", "start"
SPLITS = ("train", "validation")
_FACTS = "facts.json"  # written last: it says that the examples are whole


class Part(NamedTuple):
    """A row group of a training set."""

    uri: str
    row_group: int


class Encoding(NamedTuple):
    """How rows become examples: everything a task needs, small enough to be sent with it. `start` is a URI, or a hub id."""

    start: str
    revision: str | None
    locales: str
    settings: TrainSettings


def start_model(place: str, settings: TrainSettings, locales: Locales) -> str:
    """Where training starts from: the model that is named, or one with random weights that is made below `place`."""
    if settings.model is not None:
        return settings.model
    target = storage.join(place, START)
    if storage.info(storage.join(target, "config.json")) is None:
        with storage.open_input(storage.join(place, REVISIONS, "train.parquet")) as source:
            table = pq.read_table(source)
        texts = (text for pair in encoding.texts(table, locales, settings.template) for text in pair)
        model.write_fresh(target, texts, settings)
    return target


def make(place: str, settings: TrainSettings, locales: Locales, start: str, spread: Spread) -> dict[str, Any]:
    """Write the examples of both splits below `place` as Arrow files; returns what is known of them. Done once.

    Raises `UserError` if none is left, or if some are too long and that is refused.
    """
    target = storage.join(place, EXAMPLES)
    if (found := _made(target)) is not None:
        return found
    task = Encoding(start, settings.revision, json.dumps(locales.fingerprint(), ensure_ascii=False), settings)
    facts: dict[str, Any] = {"version": midb_ray.__version__, "dropped": 0, "cut": 0, "longest": 0}
    kept = {split: Counter[str]() for split in SPLITS}
    for split in SPLITS:
        uri = storage.join(place, REVISIONS, f"{split}.parquet")
        with storage.open_input(uri) as source:
            groups = pq.ParquetFile(source).num_row_groups
        parts = [Part(uri, number) for number in range(groups)]
        counts = {"examples": 0, "tokens": 0, "answer_tokens": 0}
        with (
            storage.open_output(storage.join(target, f"{split}.arrow")) as sink,
            pa.ipc.new_file(sink, encoding.SCHEMA) as writer,
        ):
            for table, overlong in spread(functools.partial(encode_part, task), parts):
                _count(counts, table)
                kept[split].update(table.column("language").to_pylist())
                facts["cut"] += sum(one.cut for one in overlong)
                facts["dropped"] += sum(not one.cut for one in overlong)
                facts["longest"] = max([facts["longest"], *(one.tokens for one in overlong), *_lengths(table)])
                if overlong and settings.overlong == "refuse":
                    raise UserError(
                        f"{overlong[0].row} has {overlong[0].tokens} tokens as an example, more than max_tokens "
                        f"({settings.max_tokens}); raise that, or set overlong to drop or cut."
                    )
                writer.write_table(table)
        facts.update({f"{split}_{name}": count for name, count in counts.items()})
    if not facts["train_examples"]:
        raise UserError(
            f"All {facts['dropped']} examples are longer than max_tokens ({settings.max_tokens})"
            f"{', even without their answers' if settings.overlong == 'cut' else ''}, the longest has {facts['longest']}; raise "
            "max_tokens."
        )
    _refuse_lost(place, kept["train"], settings)
    facts |= {
        "languages": len(kept["train"] | kept["validation"]),
        "sources": ", ".join(source.rstrip("/").rpartition("/")[2] for source in settings.revisions),
        "start": settings.model or "random weights, tokenizer trained on the revisions",
    }
    facts["files"] = _digests(target)
    folder.write_json(target, _FACTS, facts)
    return facts


def _refuse_lost(place: str, kept: Counter[str], settings: TrainSettings) -> None:
    """Raise `UserError` for a language that is too long for too many of its training rows; tell of those that lose all of them."""
    with storage.open_input(storage.join(place, REVISIONS, "train.parquet")) as source:
        rows = Counter(pq.read_table(source, columns=["language"]).column("language").to_pylist())
    few = [name for name in sorted(rows) if kept[name] < min(settings.selection.minimum, rows[name])]
    advice = f"raise max_tokens ({settings.max_tokens}), set overlong to cut"
    if few:
        raise UserError(
            f"{few[0]} has {rows[few[0]]} training rows, but only {kept[few[0]]} of them can be examples within max_tokens, less "
            f"than selection.minimum ({settings.selection.minimum}); {advice}, or lower selection.minimum."
        )
    if lost := [name for name in sorted(rows) if not kept[name]]:
        logger.warning("No example is left of %s: all were too long; %s.", ", ".join(lost), advice)


def _made(target: str) -> dict[str, Any] | None:
    """What is known of the examples that are there; None if there are none, or others than were written."""
    try:
        found: dict[str, Any] = json.loads(storage.read_bytes(storage.join(target, _FACTS)))
        if found["files"] == _digests(target):
            return found
    except FileNotFoundError:
        return None
    except (ValueError, KeyError, TypeError):
        pass
    logger.warning("The examples in %s are damaged and made anew.", target)
    return None


def _digests(target: str) -> dict[str, str]:
    """What is in the files of both splits. Raises OSError."""
    found = {}
    for split in SPLITS:
        digest = xxhash.xxh3_128()
        with storage.open_input(storage.join(target, f"{split}.arrow")) as source:
            while block := source.read(1 << 24):
                digest.update(block)
        found[split] = digest.hexdigest()
    return found


def encode_part(task: Encoding, part: Part) -> Encoded:
    """The examples of one row group. Raises OSError."""
    with storage.open_input(part.uri) as source:
        table = pq.ParquetFile(source).read_row_group(part.row_group)
    encoder, locales = _tools(task.start, task.revision, task.locales)
    chosen = task.settings
    return encoding.encode(table, encoder, locales, chosen.template, chosen.max_tokens, chosen.overlong)


@functools.lru_cache(maxsize=2)
def _tools(start: str, revision: str | None, locales: str) -> tuple[Any, Locales]:
    from midb_ray.engines.encoding import PromptEncoder

    return PromptEncoder(tokenizer(start, revision)), Locales(json.loads(locales))


def tokenizer(start: str, revision: str | None) -> PreTrainedTokenizerBase:
    """The tokenizer of a start model. Raises `UserError`."""
    from midb_ray.engines.encoding import load_tokenizer

    return load_tokenizer(str(transfer.local(start)) if "://" in start else start, revision)


def _count(counts: dict[str, int], table: pa.Table) -> None:
    lengths = _lengths(table)
    counts["examples"] += table.num_rows
    counts["tokens"] += sum(lengths)
    counts["answer_tokens"] += sum(lengths) - sum(table.column("answer").to_pylist())


def _lengths(table: pa.Table) -> list[int]:
    return [len(ids) for ids in table.column("ids")]
