"""Examples: revisions as token ids, in Arrow files that every worker maps into its memory. The loss is on the answer only
(MIDB, CoachLM: log P(revised | raw))."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from midb_ray import prompts
from midb_ray.locales import Locales
from midb_ray.pairs import TEXT, Text
from midb_ray.training.settings import Overlong

if TYPE_CHECKING:
    import torch

    from midb_ray.engines.encoding import PromptEncoder

SCHEMA = pa.schema(
    [
        pa.field("row", TEXT, nullable=False),
        pa.field("source_id", TEXT),
        pa.field("language", TEXT, nullable=False),
        pa.field("ids", pa.large_list(pa.field("item", pa.int32(), nullable=False)), nullable=False),
        pa.field("answer", pa.int32(), nullable=False),
    ]
)
"""`ids` are prompt and answer, the end token included; the answer begins at `answer`."""


class Long(NamedTuple):
    """A row that has more tokens than allowed as an example, and whether it was `cut` to them or left out."""

    row: str
    tokens: int
    cut: bool


class Encoded(NamedTuple):
    """Some rows as a table of `SCHEMA`, and those among them that were too long."""

    table: pa.Table
    overlong: list[Long]


def texts(table: pa.Table, locales: Locales, template: prompts.Template) -> Iterator[tuple[str, str]]:
    """Prompt and answer of every row of a table of `pairs.REVISION_SCHEMA`."""
    raw = zip(*(table.column(f"raw_{name}").to_pylist() for name in Text._fields), strict=True)
    revised = zip(*(table.column(name).to_pylist() for name in Text._fields), strict=True)
    for language, before, after in zip(table.column("language").to_pylist(), raw, revised, strict=True):
        prompt = prompts.prompt(template, locales.resolve(language), Text(*before))
        yield prompt, prompts.serialise(Text(*after))


def encode(
    table: pa.Table,
    encoder: PromptEncoder,
    locales: Locales,
    template: prompts.Template,
    max_tokens: int,
    overlong: Overlong,
) -> Encoded:
    """Token ids of a table of `pairs.REVISION_SCHEMA`. An example of more than `max_tokens` is left out, or cut at the end of
    its answer, and then without an end token; one whose prompt alone is so long is left out."""
    kept: list[int] = []
    ids: list[list[int]] = []
    answers: list[int] = []
    long: list[Long] = []
    names = table.column("row").to_pylist()
    for place, (prompt, answer) in enumerate(texts(table, locales, template)):
        front = encoder.prompt(prompt)
        whole = [*front, *encoder.answer(answer)]
        if len(whole) > max_tokens:
            cut = overlong == "cut" and len(front) < max_tokens
            long.append(Long(names[place], len(whole), cut))
            if not cut:
                continue
        kept.append(place)
        ids.append(whole[:max_tokens])
        answers.append(len(front))
    about = table.select(["row", "source_id", "language"]).take(pa.array(kept, pa.int64()))
    columns = [*about.columns, pa.array(ids, SCHEMA.field("ids").type), pa.array(answers, pa.int32())]
    return Encoded(pa.Table.from_arrays(columns, schema=SCHEMA), long)


class Examples:
    """The examples in a file that `encode` made, mapped into memory and read where they are wanted.

    `lengths` are their tokens, `answers` the tokens of their prompts: (examples,) each.
    """

    def __init__(self, path: str) -> None:
        with pa.memory_map(path) as source:
            self._table = pa.ipc.open_file(source).read_all()
        chunks = self._table.column("ids").chunks
        self._values = [chunk.values.to_numpy(zero_copy_only=True) for chunk in chunks]
        self._offsets = [chunk.offsets.to_numpy(zero_copy_only=True) for chunk in chunks]
        self._first = np.cumsum([0, *(len(chunk) for chunk in chunks)])
        found = [np.diff(offsets) for offsets in self._offsets]
        self.lengths: npt.NDArray[np.int64] = np.concatenate(found) if found else np.zeros(0, np.int64)
        self.answers: npt.NDArray[np.int32] = self._table.column("answer").to_numpy()

    def __len__(self) -> int:
        return len(self.lengths)

    def ids(self, index: int) -> npt.NDArray[np.int32]:
        """The tokens of one example."""
        chunk = int(np.searchsorted(self._first, index, side="right")) - 1
        place = index - int(self._first[chunk])
        begin, end = self._offsets[chunk][place : place + 2]
        found: npt.NDArray[np.int32] = self._values[chunk][begin:end]
        return found

    def column(self, name: str) -> list[str]:
        """`row` or `language` of every example."""
        return list(self._table.column(name).to_pylist())


class MicroBatch(NamedTuple):
    """What goes through the model at once on one worker: examples one behind the other in a row.

    `ids`, `positions`: (1, tokens). `bounds`: (examples + 1,) int32, where examples begin and the last one ends, `longest` the
    tokens of the longest. `places`: (labels,), the tokens whose next one is in an answer; `targets`: (labels,), those next ones.
    """

    ids: torch.Tensor
    positions: torch.Tensor
    bounds: torch.Tensor
    longest: int
    places: torch.Tensor
    targets: torch.Tensor

    def to(self, device: torch.device) -> MicroBatch:
        """The same on a device, copied while that computes."""
        moved = [part if isinstance(part, int) else part.to(device, non_blocking=True) for part in self]
        return MicroBatch(*moved)


def micro_batch(examples: Examples, chosen: Sequence[int]) -> MicroBatch:
    """Put examples together. Without any, the first example without labels: a worker that has nothing keeps in step."""
    import torch

    shown = list(chosen) or [0]
    ids = [examples.ids(index) for index in shown]
    bounds = np.cumsum([0, *map(len, ids)])
    answers = examples.answers[shown]
    places = [
        np.arange(begin + answer - 1, end - 1) for begin, end, answer in zip(bounds, bounds[1:], answers, strict=False)
    ]
    labelled = np.concatenate(places) if chosen else np.zeros(0, np.int64)
    row = np.concatenate(ids).astype(np.int64)
    return MicroBatch(
        torch.from_numpy(row)[None],
        torch.from_numpy(np.concatenate([np.arange(len(one)) for one in ids]))[None],
        torch.from_numpy(bounds.astype(np.int32)),
        max(map(len, ids)),
        torch.from_numpy(labelled),
        torch.from_numpy(row[labelled + 1]),
    )
