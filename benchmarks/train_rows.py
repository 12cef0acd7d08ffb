"""The rows of the training benchmark: examples with real lengths, a small model, and the batches that are measured."""

from __future__ import annotations

import json
import math
import random
from importlib import resources
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa

from midb_ray.locales import load_locales
from midb_ray.training import prepare, training_set
from midb_ray.training.examples import SCHEMA, Examples
from midb_ray.training.settings import TrainSettings

_ROWS = 200  # of each language, where none are given
_PARTS, _SPREAD = 4.0, 0.5  # sample revisions in one of them: median, and deviation of the logarithm


class Rows(NamedTuple):
    """Where model and examples lie: `measured` holds whole batches of what is timed, in the peer's order, `check` one of them.
    `lengths` are the tokens of all training examples, `answers` the share of them in answers."""

    folder: str
    start: str
    measured: str
    check: str
    lengths: np.ndarray[Any, np.dtype[np.int64]]
    answers: float

    def tokens(self) -> int:
        """Tokens of what is measured."""
        return int(Examples(self.measured).lengths.sum())


def make(scratch: Path, settings: TrainSettings, batches: int, workers: int) -> Rows:
    """Choose and encode revisions as the train job does, in this process, and take `batches` of them to measure."""
    locales = load_locales(None)
    folder = str(scratch / "rows")
    training_set.make(
        settings.revisions, settings.selection, settings.seed, locales, f"{folder}/{prepare.REVISIONS}", map
    )
    start = prepare.start_model(folder, settings, locales)
    prepare.make(folder, settings, locales, start, map)
    path = Path(folder) / prepare.EXAMPLES / "train.arrow"
    examples = Examples(str(path))
    chosen = measured(examples.lengths, settings.batch_size, batches, workers, settings.seed)
    with pa.memory_map(str(path)) as source:
        table = pa.ipc.open_file(source).read_all()
    parts = {"measured": np.concatenate(chosen), "check": chosen[batches // 2]}
    for name, rows in parts.items():
        with pa.OSFile(f"{folder}/{name}.arrow", "wb") as sink, pa.ipc.new_file(sink, SCHEMA) as writer:
            writer.write_table(table.take(rows).combine_chunks())
    answers = float((examples.lengths - examples.answers).sum() / examples.lengths.sum())
    return Rows(folder, start, f"{folder}/measured.arrow", f"{folder}/check.arrow", examples.lengths, answers)


def measured(
    lengths: np.ndarray[Any, np.dtype[np.int64]], batch_size: int, batches: int, workers: int, seed: int
) -> list[np.ndarray[Any, np.dtype[np.int64]]]:
    """Some of the batches that the peer's own grouping by length makes of all examples.

    Grouped well, a batch is of one length, so those are taken that stand for all: at even steps from the shortest to the longest.
    """
    import torch
    from transformers.trainer_pt_utils import get_length_grouped_indices

    chance = torch.Generator().manual_seed(seed)
    order = np.asarray(get_length_grouped_indices(lengths.tolist(), batch_size // workers, generator=chance))
    groups = np.split(order, range(batch_size, len(order), batch_size))[: len(order) // batch_size]
    if len(groups) < batches:
        raise SystemExit(f"{len(lengths)} examples are too few for {batches} batches of {batch_size}.")
    groups.sort(key=lambda group: int(lengths[group].sum()))
    taken = [groups[math.floor((number + 0.5) / batches * len(groups))] for number in range(batches)]
    random.Random(seed).shuffle(taken)
    return taken


def lengthened(folder: Path) -> str:
    """Revisions made of the samples, where none are given: each joins some of one language, as many as gives lengths as skewed as
    those of instruction data. Returns the folder."""
    folder.mkdir(parents=True)
    chance = random.Random(1)
    fields = ("instruction", "input", "response")
    for source in sorted(
        resources.files("midb_ray").joinpath("samples/revisions").iterdir(), key=lambda file: file.name
    ):
        samples = [json.loads(line) for line in source.read_text(encoding="utf-8").splitlines()]
        with (folder / source.name).open("w", encoding="utf-8") as file:
            for number in range(_ROWS):
                count = round(chance.lognormvariate(math.log(_PARTS), _SPREAD))
                joined = chance.sample(samples, k=min(max(count, 1), len(samples)))
                row = {"source_id": f"b{number}", "language": joined[0]["language"]}
                for name in (*fields, *(f"raw_{name}" for name in fields)):
                    row[name] = "\n".join(part[name] for part in joined if part[name])
                file.write(json.dumps(row, ensure_ascii=False) + "\n")
    return str(folder)
