"""What the dry run prints."""

from __future__ import annotations

from pathlib import Path

import pytest

from midb_ray import config
from midb_ray.training import rehearsal, remedies, sizes
from midb_ray.training.capacity import Room
from midb_ray.training.rehearsal import DataFacts, Facts
from midb_ray.training.settings import TrainSettings
from tests.training.making import llama_8b

DATA = DataFacts(
    train_examples=1000,
    validation_examples=50,
    dropped=3,
    cut=4,
    train_tokens=400_000,
    answer_tokens=100_000,
    longest=2048,
    steps=300,
    languages=16,
)
GIB = 2**30


def load(tmp_path: Path, text: str = "", *arguments: str) -> tuple[TrainSettings, config.Origins]:
    (tmp_path / "train.yaml").write_text(text)
    given = ["--config", str(tmp_path / "train.yaml"), "--revisions", "a", "b", "--output", "c", *arguments]
    return config.load(TrainSettings, "midb-ray train", given)


def printed(tmp_path: Path, facts: Facts, text: str = "", *arguments: str) -> str:
    return "\n".join(rehearsal.lines(*load(tmp_path, text, *arguments), facts))


def row(text: str, name: str) -> list[str]:
    (found,) = [
        line for line in text.splitlines() if line.split()[:1] == [name] or line.strip().startswith(f"{name}  ")
    ]
    return found.strip().removeprefix(name).split()


def test_every_setting_stands_there_once_with_where_it_came_from(tmp_path: Path) -> None:
    text = printed(tmp_path, Facts(), "model: m\nzero.stage: 2\nepochs: 3\n", "--epochs", "1.5", "--packing=false")
    lines = text.splitlines()
    assert lines[0] == "settings"
    assert [line.split()[0] for line in lines[1:]] == [key for key, _ in config.options(TrainSettings)]
    assert row(text, "zero.stage") == ["2", str(tmp_path / "train.yaml")]
    assert row(text, "epochs") == ["1.5", "command", "line"]
    assert row(text, "packing") == ["false", "command", "line"]
    assert row(text, "revisions") == ["a", "b", "command", "line"]
    assert row(text, "learning_rate") == ["0.0002", "default"]
    assert row(text, "locales") == ["none", "default"]
    origins = [line.rindex("  ") for line in lines[1:]]
    assert len(set(origins)) == 1  # one column


def test_parameters_and_the_trained_share_are_printed(tmp_path: Path) -> None:
    text = printed(tmp_path, Facts(llama_8b()), "model: m\nmethod: lora\n")
    assert row(text, "parameters") == ["8,198,033,408"]
    assert row(text, "adapters") == ["167,772,160"]
    assert row(text, "trained") == ["167,772,160", "2.05", "%"]


def test_the_parts_of_memory_add_up_to_the_most_at_once(tmp_path: Path) -> None:
    text = printed(tmp_path, Facts(llama_8b(), DATA), "model: m\nworkers: 8\ngradient_checkpointing: true\n")
    begin = text.index("memory of one GPU, 8 workers, ZeRO 3 (an estimate)")
    parts = {}
    for line in text[begin:].split("\n\n")[0].splitlines()[1:]:
        name, number, unit, *rest = line.replace("at once, at most", "total").split()
        assert unit == "GiB"
        parts[name] = float(number)
    assert parts["weights"] == pytest.approx(2 * 8.030261248e9 / 8 / GIB, abs=0.01)
    assert parts["optimizer"] == pytest.approx(12 * 8.030261248e9 / 8 / GIB, abs=0.01)
    assert parts.pop("total") == pytest.approx(sum(parts.values()), abs=0.05)
    assert rest == ["fits", "on", "cards", "from", "40", "GB"]


def test_the_training_set_and_its_steps_are_printed(tmp_path: Path) -> None:
    text = printed(tmp_path, Facts(data=DATA), "model: m\nepochs: 3\n")
    assert row(text, "training examples") == ["1,000"]
    assert row(text, "validation examples") == ["50"]
    assert row(text, "over max_tokens") == ["3", "dropped"]
    assert row(text, "of answers") == ["100,000", "25", "%"]
    assert row(text, "steps of an epoch") == ["100"]
    assert row(text, "steps in all") == ["300", "3", "epochs"]
    assert row(text, "tokens of a step") == ["4,000", "on", "average"]


def test_only_answers_have_logits_once_their_share_is_known(tmp_path: Path) -> None:
    unknown, known = (
        float(row(printed(tmp_path, Facts(llama_8b(), data), "model: m\n"), "logits")[0]) for data in (None, DATA)
    )
    working = 2 * 4 * 512 * 128256 / GIB
    assert known - working == pytest.approx((unknown - working) / 4, abs=0.01)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("model: m\nlora.rank: 8\n", "lora.rank ({file}) is ignored: method is full."),
        ("model: m\nscratch.layers: 8\n", "scratch.layers ({file}) is ignored: a model is given."),
        ("batch_size: 8\nbatch_tokens: 9000\n", "batch_size ({file}) is ignored: batch_tokens is given."),
        ("packing: false\nmicro_tokens: 5000\n", "micro_tokens ({file}) is ignored: packing is false"),
        (
            "schedule: constant\nfinal_learning_rate: 0.1\n",
            "final_learning_rate ({file}) is ignored: schedule is constant.",
        ),
        ("selection: {share: 0.5, count: 9}\n", "selection.share ({file}) is ignored: selection.count is given."),
        ("selection: {validation: 0}\ncard_rows: 4\n", "card_rows ({file}) is ignored: selection.validation is 0."),
        ("fresh: true\naccept: epochs\n", "accept ({file}) is ignored: fresh starts over."),
    ],
)
def test_a_setting_that_does_nothing_is_told(tmp_path: Path, text: str, told: str) -> None:
    settings, origins = load(tmp_path, text)
    (sentence,) = rehearsal.ignored(settings, origins)
    assert sentence.startswith(told.format(file=tmp_path / "train.yaml"))
    assert sentence in printed(tmp_path, Facts(), text)


def test_defaults_are_never_told_to_be_ignored(tmp_path: Path) -> None:
    text = "model: m\nbatch_tokens: 9000\npacking: false\nschedule: constant\nselection: {count: 3}\nfresh: true\n"
    assert rehearsal.ignored(*load(tmp_path, text)) == []


def test_more_workers_than_the_cluster_can_ever_hold_would_not_fit(tmp_path: Path) -> None:
    text = printed(tmp_path, Facts(room=Room(4, None, False)), "workers: 8\ncpus_per_worker: 2\n")
    assert "workers is 8 at least, and the cluster can hold 4 with cpus_per_worker 2 and gpus_per_worker 1;" in text


def test_fewer_workers_than_wanted_at_most_are_a_remark(tmp_path: Path) -> None:
    text = printed(tmp_path, Facts(room=Room(4, None, False)), "workers: [2, 8]\n")
    assert "Of the 8 workers that may be, the cluster can hold 4." in text
    assert "would not fit" not in text


def test_a_machine_that_is_too_small_is_a_remark(tmp_path: Path) -> None:
    text = printed(tmp_path, Facts(room=Room(0, None, True)), "workers: 8\n")
    assert "This machine can hold 0 of the 8 workers; name their cluster with --address." in text
    assert "would not fit" not in text


def test_a_run_without_a_checkpoint_before_its_end_is_a_remark(tmp_path: Path) -> None:
    assert "checkpoint.steps 400" in printed(tmp_path, Facts(data=DATA), "checkpoint.steps: 400\n")
    assert "remarks" not in printed(tmp_path, Facts(data=DATA), "checkpoint.steps: 100\n")


def test_too_little_memory_comes_with_what_to_change(tmp_path: Path) -> None:
    text = printed(
        tmp_path, Facts(llama_8b(), room=Room(4, remedies.card_bytes(24), True)), "model: m\nmethod: lora\nworkers: 4\n"
    )
    told = text[text.index("would not fit") :]
    assert "A GPU needs 6" in told
    assert "and there are 23.52 GiB." in told
    assert "micro_tokens: 4096, gradient_checkpointing: true makes it" in told
    assert "Nothing was found" not in text


def test_what_is_advised_does_fit(tmp_path: Path) -> None:
    settings, _ = load(tmp_path, "model: m\nworkers: 2\nzero.stage: 1\n")
    form, limit = llama_8b(), remedies.card_bytes(80)
    counted = sizes.parameters(form, settings)
    assert sizes.memory(counted, form, settings, 2).total > limit
    (way,) = remedies.remedies(counted, form, settings, 2, limit)
    assert way.total <= limit
    changed, _ = load(
        tmp_path, "model: m\nworkers: 2\nzero.stage: 1\n", *(f"--{change.replace(': ', '=')}" for change in way.changes)
    )
    assert sizes.memory(counted, form, changed, 2).total == way.total


def test_offload_is_advised_together_with_the_stage_that_it_needs(tmp_path: Path) -> None:
    given = "model: m\nmethod: lora\ngradient_checkpointing: true\nmicro_tokens: 4096\nzero.stage: 2\n"
    settings, _ = load(tmp_path, given)
    counted = sizes.parameters(llama_8b(), settings)
    (way,) = remedies.remedies(counted, llama_8b(), settings, 1, 17 * GIB)
    assert way.changes[-1] == "zero.stage: 3, zero.offload_parameters: true"


def test_more_workers_are_advised_where_they_do(tmp_path: Path) -> None:
    settings, _ = load(tmp_path, "model: m\ngradient_checkpointing: true\nmicro_tokens: 4096\n")
    form, limit = llama_8b(), remedies.card_bytes(40)
    counted = sizes.parameters(form, settings)
    ways = remedies.remedies(counted, form, settings, 2, limit)
    assert ways[-1].changes == ("workers: 8",)
    assert sizes.memory(counted, form, settings, 8).total == ways[-1].total <= limit
    assert sizes.memory(counted, form, settings, 4).total > limit


def test_a_model_that_no_setting_brings_down_is_told_so(tmp_path: Path) -> None:
    text = printed(
        tmp_path,
        Facts(llama_8b(), room=Room(1, 4 * GIB, True)),
        "model: m\nmethod: full\nzero: {offload_optimizer: true, offload_parameters: true}\n",
    )
    assert "No setting of memory is enough; train with method lora or a smaller model." in text


def test_all_is_well_is_said_only_when_it_was_looked_at(tmp_path: Path) -> None:
    assert "Nothing was found that would not fit." in printed(
        tmp_path, Facts(llama_8b(), DATA, Room(8, None, False)), "model: m\nmethod: lora\nworkers: 8\n"
    )
    assert "Nothing was found" not in printed(tmp_path, Facts(), "model: m\n")


def test_memory_on_cpus_is_of_the_worker_and_knows_no_cards(tmp_path: Path) -> None:
    text = printed(tmp_path, Facts(llama_8b()), "model: m\ngpus_per_worker: 0\nworkers: [1, 2]\nzero.stage: 1\n")
    assert "memory of one worker, 1 worker, ZeRO 1 (an estimate)" in text
    assert "with 2 workers" in text
    assert "cards" not in text
