"""Before the workers start: a model to start from, and the training set as examples, made once."""

from __future__ import annotations

import functools
import json
import pickle
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from transformers import AutoModelForCausalLM

import midb_ray
from midb_ray.engines import models
from midb_ray.engines.encoding import PromptEncoder, load_tokenizer
from midb_ray.errors import UserError
from midb_ray.locales import load_locales
from midb_ray.pairs import REVISION_SCHEMA
from midb_ray.runs import storage
from midb_ray.training import examples, prepare
from midb_ray.training.examples import Examples
from midb_ray.training.settings import TrainSettings
from tests.training.making import revision_row

pytestmark = pytest.mark.usefixtures("one_thread")


def settings(**changes: Any) -> TrainSettings:
    scratch = {"vocabulary": 400, "hidden_size": 32, "layers": 1, "heads": 2, "positions": 1024}
    given = {"revisions": ["experts.jsonl"], "output": "o", "scratch": scratch, "max_tokens": 1000}
    return TrainSettings.model_validate({**given, **changes})


def table(count: int, language: str = "de") -> pa.Table:
    rows = [revision_row(number, language, response=f"neu {number}" + " ja" * number) for number in range(count)]
    return pa.Table.from_pylist(rows, schema=REVISION_SCHEMA)


def write(place: str) -> str:
    """A training set of 10 German revisions in three row groups, and 2 French ones to validate on."""
    for name, rows in (("train", table(10)), ("validation", table(2, "fr"))):
        with storage.open_output(f"{place}/revisions/{name}.parquet") as sink:
            pq.write_table(rows, sink, row_group_size=4)
    return place


def here(function: Any, items: Any) -> Iterator[Any]:
    return map(function, items)


def make(place: str, chosen: TrainSettings, spread: Any = here) -> dict[str, Any]:
    start = prepare.start_model(place, chosen, load_locales())
    return prepare.make(place, chosen, load_locales(), start, spread)


@pytest.fixture
def place(tmp_path: Path) -> str:
    return write(str(tmp_path / "run"))


def test_a_model_is_made_where_none_is_given(place: str) -> None:
    start = prepare.start_model(place, settings(), load_locales())
    assert start == f"{place}/start"
    facts = models.check(start)
    assert facts.context == 1024
    assert 259 <= facts.vocabulary <= 400
    model = AutoModelForCausalLM.from_pretrained(start)
    assert (model.config.hidden_size, model.config.num_hidden_layers) == (32, 1)
    assert model.config.vocab_size == len(load_tokenizer(start))
    before = Path(start, "model.safetensors").stat().st_mtime_ns
    assert prepare.start_model(place, settings(), load_locales()) == start
    assert Path(start, "model.safetensors").stat().st_mtime_ns == before


def test_a_half_written_model_is_made_again(place: str) -> None:
    start = Path(prepare.start_model(place, settings(), load_locales()))
    (start / "config.json").unlink()  # it is written last
    (start / "model.safetensors").write_bytes(b"half")
    prepare.start_model(place, settings(), load_locales())
    models.check(str(start))


def test_random_weights_follow_the_seed(tmp_path: Path) -> None:
    weights = []
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        start = prepare.start_model(write(str(tmp_path / name)), settings(seed=seed), load_locales())
        weights.append(Path(start, "model.safetensors").read_bytes())
    assert weights[0] == weights[1] != weights[2]


def test_a_model_that_is_given_is_taken(place: str) -> None:
    assert prepare.start_model(place, settings(model="/models/base"), load_locales()) == "/models/base"
    assert not Path(place, "start").exists()


def test_the_training_set_becomes_examples_in_its_order(place: str) -> None:
    facts = make(place, settings())
    assert facts.pop("files").keys() == {"train", "validation"}
    train, held_out = (Examples(f"{place}/examples/{split}.arrow") for split in prepare.SPLITS)
    assert train.column("row") == [f"f:{number}" for number in range(10)]
    assert held_out.column("language") == ["fr", "fr"]
    encoder = PromptEncoder(load_tokenizer(f"{place}/start"))
    rendered = list(examples.texts(table(10), load_locales(), "locale"))
    for index, (prompt, answer) in enumerate(rendered):
        assert train.ids(index).tolist() == [*encoder.prompt(prompt), *encoder.answer(answer)]
    assert facts == {
        "version": midb_ray.__version__,
        "dropped": 0,
        "cut": 0,
        "longest": int(max(*train.lengths, *held_out.lengths)),
        "train_examples": 10,
        "train_tokens": int(train.lengths.sum()),
        "train_answer_tokens": int((train.lengths - train.answers).sum()),
        "validation_examples": 2,
        "validation_tokens": int(held_out.lengths.sum()),
        "validation_answer_tokens": int((held_out.lengths - held_out.answers).sum()),
        "languages": 2,
        "sources": "experts.jsonl",
        "start": "random weights, tokenizer trained on the revisions",
    }


def test_examples_are_made_once(place: str) -> None:
    facts = make(place, settings())
    content = Path(place, "examples", "train.arrow").read_bytes()

    def never(function: Any, items: Any) -> Iterator[Any]:
        raise AssertionError("made twice")

    assert make(place, settings(), never) == facts
    assert Path(place, "examples", "train.arrow").read_bytes() == content


@pytest.mark.parametrize("left", [None, "{", ""])
def test_examples_that_were_not_finished_are_made_again(place: str, left: str | None) -> None:
    facts = make(place, settings())
    path = Path(place, "examples", "facts.json")
    path.unlink()
    if left is not None:
        path.write_text(left)
    Path(place, "examples", "train.arrow").write_bytes(b"half")
    assert make(place, settings()) == facts
    assert json.loads(path.read_text()) == facts
    assert len(Examples(f"{place}/examples/train.arrow")) == 10


def test_what_is_too_long_is_left_out_and_counted(place: str, tmp_path: Path) -> None:
    longest = make(write(str(tmp_path / "whole")), settings())["longest"]
    facts = make(place, settings(max_tokens=longest - 1))
    assert facts["dropped"] > 0 == facts["cut"]
    assert facts["train_examples"] + facts["validation_examples"] + facts["dropped"] == 12
    assert facts["longest"] == longest  # that of the one that was left out
    assert Examples(f"{place}/examples/train.arrow").lengths.max() < longest


@pytest.fixture
def lengthy(tmp_path: Path) -> tuple[str, int]:
    """A training set of 10 German revisions and 3 long French ones, and a max_tokens that leaves out all of the latter."""
    german, french = table(10), [revision_row(50 + place, "fr", response="long " * 300) for place in range(3)]
    rows = pa.concat_tables([german, pa.Table.from_pylist(french, schema=REVISION_SCHEMA)])
    place = str(tmp_path / "lengthy")
    for name, part in (("train", rows), ("validation", table(2))):
        with storage.open_output(f"{place}/revisions/{name}.parquet") as sink:
            pq.write_table(part, sink, row_group_size=4)
    return place, 600


def test_a_language_that_is_too_long_for_its_minimum_is_refused(lengthy: tuple[str, int]) -> None:
    place, most = lengthy
    told = (
        r"^fr has 3 training rows, but only 0 of them can be examples within max_tokens, less than selection\.minimum "
    )
    with pytest.raises(UserError, match=told):
        make(place, settings(max_tokens=most))
    make(place, settings(max_tokens=most, overlong="cut"))


def test_a_language_that_is_lost_is_told(lengthy: tuple[str, int], listen: Callable[[object], list[str]]) -> None:
    heard = listen(prepare)
    place, most = lengthy
    facts = make(place, settings(max_tokens=most, selection={"minimum": 0}))
    assert facts["languages"] == 1
    assert heard == [f"No example is left of fr: all were too long; raise max_tokens ({most}), set overlong to cut."]


def test_what_is_too_long_can_be_cut_and_is_counted(place: str, tmp_path: Path) -> None:
    make(write(str(tmp_path / "whole")), settings())
    longest = int(Examples(f"{tmp_path}/whole/examples/train.arrow").lengths.max())
    facts = make(place, settings(max_tokens=longest - 1, overlong="cut"))
    assert facts["train_examples"] == 10
    assert facts["cut"] > 0 == facts["dropped"]
    assert Examples(f"{place}/examples/train.arrow").lengths.max() == longest - 1


def test_what_is_too_long_can_be_refused(place: str, tmp_path: Path) -> None:
    longest = make(write(str(tmp_path / "whole")), settings())["longest"]
    told = rf"^f:\d has {longest} tokens as an example, more than max_tokens \({longest - 1}\); raise that, or set overlong "
    with pytest.raises(UserError, match=told):
        make(place, settings(max_tokens=longest - 1, overlong="refuse"))
    assert make(place, settings(max_tokens=longest))["dropped"] == 0  # nothing of the refused ones is taken for whole


def test_nothing_left_is_one_sentence(place: str) -> None:
    with pytest.raises(UserError) as refusal:
        make(place, settings(max_tokens=20))
    told = str(refusal.value)
    assert told.startswith("All 12 examples are longer than max_tokens (20), the longest has ")
    assert told.endswith("; raise max_tokens.")


def test_languages_of_the_users_own_are_known_where_examples_are_made(place: str, tmp_path: Path) -> None:
    """Parts are encoded by processes that have not read the user's file."""
    added = tmp_path / "languages.yaml"
    added.write_text("{}")
    locales = load_locales(str(added))
    start = prepare.start_model(place, settings(), locales)
    task = prepare.Encoding(start, None, json.dumps(locales.fingerprint(), ensure_ascii=False), settings())
    encoded = prepare.encode_part(task, prepare.Part(f"{place}/revisions/train.parquet", 1))
    assert encoded.table.column("row").to_pylist() == [f"f:{number}" for number in (4, 5, 6, 7)]


def test_an_object_store_will_do(s3: str) -> None:
    place = write(f"{s3}/run")
    facts = make(place, settings())
    assert facts["train_examples"] == 10
    assert json.loads(storage.read_bytes(f"{place}/examples/facts.json")) == facts
    names = {file.uri.rpartition("/")[2] for file in storage.list_files(f"{place}/start")}
    assert {"config.json", "model.safetensors", "tokenizer.json"} <= names


def test_parts_are_small_enough_to_be_sent() -> None:
    task = prepare.Encoding("start", None, json.dumps(load_locales().fingerprint()), settings())
    assert len(pickle.dumps(functools.partial(prepare.encode_part, task))) < 100_000


@pytest.mark.parametrize("damage", ["cut", "garbled", "gone"])
def test_examples_that_storage_has_damaged_are_made_anew(place: str, damage: str) -> None:
    facts = make(place, settings())
    path = Path(place, "examples", "train.arrow")
    whole = path.read_bytes()
    middle = len(whole) // 2
    if damage == "gone":
        path.unlink()
    else:
        path.write_bytes(whole[:middle] if damage == "cut" else whole[:middle] + b"\xff" + whole[middle + 1 :])
    assert make(place, settings()) == facts
    assert path.read_bytes() == whole
