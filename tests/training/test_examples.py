"""Examples: the loss on the answer only; what is too long; files that are mapped; what goes through the model together."""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from midb_ray import prompts
from midb_ray.engines.encoding import PromptEncoder
from midb_ray.locales import load_locales
from midb_ray.pairs import REVISION_SCHEMA, Text
from midb_ray.training import examples, model
from midb_ray.training.examples import Encoded, Examples, micro_batch
from midb_ray.training.settings import Overlong, ScratchSettings
from tests.training.conftest import write_examples
from tests.training.making import revision_row


def revision(number: int, language: str) -> dict[str, object]:
    return revision_row(number, language, input="x" * (number % 3), response=f"neu {number}" + "!" * number)


@pytest.fixture(scope="module")
def revisions() -> pa.Table:
    rows = [revision(number, language) for language in ("de", "fr") for number in range(10)]
    return pa.Table.from_pylist(rows, schema=REVISION_SCHEMA)


@pytest.fixture(scope="module")
def encoder(revisions: pa.Table) -> PromptEncoder:
    texts = (text for pair in examples.texts(revisions, load_locales(), "locale") for text in pair)
    return PromptEncoder(model.fresh_tokenizer(texts, ScratchSettings(vocabulary=400)))


def encoded(table: pa.Table, encoder: PromptEncoder, most: int = 4096, overlong: Overlong = "drop") -> Encoded:
    return examples.encode(table, encoder, load_locales(), "locale", most, overlong)


def test_an_example_is_the_prompt_and_then_the_revised_pair(revisions: pa.Table, encoder: PromptEncoder) -> None:
    found = encoded(revisions, encoder)
    assert found.overlong == []
    assert found.table.schema == examples.SCHEMA
    assert found.table.column("row").to_pylist() == revisions.column("row").to_pylist()
    for made, row in zip(found.table.to_pylist(), revisions.to_pylist(), strict=True):
        raw = Text(row["raw_instruction"], row["raw_input"], row["raw_response"])
        prompt = prompts.prompt("locale", load_locales().resolve(row["language"]), raw)
        answer = prompts.serialise(Text(row["instruction"], row["input"], row["response"]))
        assert made["ids"][: made["answer"]] == encoder.prompt(prompt)
        assert encoder.decode(made["ids"][made["answer"] : -1]) == answer
        assert made["ids"][-1] == encoder.end
        assert (made["source_id"], made["language"]) == (row["source_id"], row["language"])


def test_an_example_of_exactly_the_most_tokens_is_kept(revisions: pa.Table, encoder: PromptEncoder) -> None:
    lengths = [len(ids) for ids in encoded(revisions, encoder).table.column("ids")]
    longest = max(lengths)
    assert encoded(revisions, encoder, longest).table.num_rows == 20
    left = encoded(revisions, encoder, longest - 1)
    out = [place for place, length in enumerate(lengths) if length == longest]
    assert left.overlong == [(f"f:{place % 10}", longest, False) for place in out]
    assert left.table.num_rows == 20 - len(out)


def test_a_cut_example_loses_the_end_of_its_answer(revisions: pa.Table, encoder: PromptEncoder) -> None:
    whole = encoded(revisions, encoder).table.to_pylist()
    most = max(len(row["ids"]) for row in whole) - 3
    cut = encoded(revisions, encoder, most, "cut")
    assert sum(one.cut for one in cut.overlong) == len(cut.overlong) == sum(len(row["ids"]) > most for row in whole) > 0
    assert [row["ids"] for row in cut.table.to_pylist()] == [row["ids"][:most] for row in whole]
    ends = [row["ids"][-1] == encoder.end for row in cut.table.to_pylist()]
    assert ends == [len(row["ids"]) <= most for row in whole]


def test_an_example_whose_prompt_alone_is_too_long_cannot_be_cut(revisions: pa.Table, encoder: PromptEncoder) -> None:
    shortest = min(encoded(revisions, encoder).table.column("answer").to_pylist())
    cut = encoded(revisions, encoder, shortest, "cut")
    assert (cut.table.num_rows, [one.cut for one in cut.overlong]) == (0, [False] * 20)
    one = encoded(revisions, encoder, shortest + 1, "cut")
    assert one.table.num_rows > 0
    assert all(len(row["ids"]) - row["answer"] == 1 for row in one.table.to_pylist())  # something is left to learn


@pytest.fixture
def written(tmp_path: Path) -> Examples:
    lengths = [3 + number % 7 for number in range(40)]  # in batches of 16, so three
    return Examples(str(write_examples(tmp_path / "e.arrow", lengths, ["de", "fr"] * 20)))


def test_a_file_is_read_as_it_was_written(written: Examples, tmp_path: Path) -> None:
    table = pa.ipc.open_file(str(tmp_path / "e.arrow")).read_all()
    assert len(written) == 40
    assert table.column("ids").num_chunks == 3
    for index, row in enumerate(table.to_pylist()):
        assert written.ids(index).tolist() == row["ids"]
        assert (written.lengths[index], written.answers[index]) == (len(row["ids"]), row["answer"])
    assert written.column("row") == [f"f:{number}" for number in range(40)]
    assert written.column("language") == ["de", "fr"] * 20


def test_a_file_is_mapped_and_not_read(written: Examples) -> None:
    before = pa.total_allocated_bytes()
    assert written.ids(17).base is not None
    assert not written.ids(17).flags.owndata
    assert pa.total_allocated_bytes() == before


def test_a_file_may_have_empty_batches_or_none(tmp_path: Path) -> None:
    path = tmp_path / "e.arrow"
    some = pa.Table.from_pylist(
        [{"row": "f:1", "source_id": None, "language": "de", "ids": [5, 6, 7], "answer": 1}], schema=examples.SCHEMA
    )
    with pa.OSFile(str(path), "wb") as sink, pa.ipc.new_file(sink, examples.SCHEMA) as writer:
        for batch in (*some.slice(0, 0).to_batches(), *some.to_batches()):
            writer.write_batch(batch)
        writer.write_batch(pa.RecordBatch.from_pylist([], schema=examples.SCHEMA))
    assert Examples(str(path)).ids(0).tolist() == [5, 6, 7]
    assert len(Examples(str(write_examples(tmp_path / "none.arrow", [], [])))) == 0


def test_a_micro_batch_is_one_row_whose_positions_start_anew(written: Examples) -> None:
    made = micro_batch(written, [20, 3, 39])
    lengths = written.lengths[[20, 3, 39]].tolist()
    assert made.ids[0].tolist() == np.concatenate([written.ids(index) for index in (20, 3, 39)]).tolist()
    assert made.positions[0].tolist() == [place for length in lengths for place in range(length)]
    assert made.bounds.tolist() == [0, *np.cumsum(lengths)]
    assert made.longest == max(lengths)


def test_targets_are_the_tokens_of_answers_and_places_the_ones_before(written: Examples) -> None:
    chosen = [20, 3, 39]
    made = micro_batch(written, chosen)
    answers = [written.ids(index)[written.answers[index] :].tolist() for index in chosen]
    assert made.targets.tolist() == list(itertools.chain(*answers))
    assert (made.ids[0][made.places + 1] == made.targets).all()
    starts = np.cumsum([0, *written.lengths[chosen]])
    first = [int(start + written.answers[index] - 1) for start, index in zip(starts, chosen, strict=False)]
    assert set(first) <= set(made.places.tolist())  # the last token of the prompt speaks of the answer's first
    assert not {int(end) - 1 for end in starts[1:]} & set(made.places.tolist())  # the last token speaks of nothing


def test_a_micro_batch_of_nothing_keeps_the_model_busy_without_labels(written: Examples) -> None:
    made = micro_batch(written, [])
    assert made.ids[0].tolist() == written.ids(0).tolist()
    assert made.places.tolist() == made.targets.tolist() == []
