"""Train a booster: check, select, encode, fit on Ray Train, sum up."""

from __future__ import annotations

import functools
import json
import logging
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from midb_ray import config
from midb_ray.engines import models
from midb_ray.errors import UserError
from midb_ray.locales import Locales, load_locales
from midb_ray.runs import claim, cluster, folder, storage, stream
from midb_ray.runs.lifetime import lifetime
from midb_ray.training import capacity, fit, identity, metrics, prepare, rehearsal, tools, training_set, zero
from midb_ray.training.batches import Schedule
from midb_ray.training.examples import Examples
from midb_ray.training.export import BOOSTER
from midb_ray.training.selection_settings import SelectionSettings
from midb_ray.training.selection_table import table
from midb_ray.training.settings import TrainSettings
from midb_ray.training.task import Outcome, Task

logger = logging.getLogger("midb_ray")

SUMMARY = "summary.json"


class Trained(NamedTuple):
    """Where a finished booster lies, and what it may be validated on. URIs."""

    booster: str
    validation: str


def train(settings: TrainSettings, origins: config.Origins) -> Trained:
    """Run the job. Does nothing if the same job has finished there before. Tells which of the settings that `origins` names are
    pointless beside others.

    Raises `UserError` for what the user can mend, before any worker starts where it can be known by then.
    """
    settings, locales, wanted, goes_on = _checked(settings)
    for sentence in rehearsal.ignored(settings, origins):
        logger.warning("%s", sentence)
    place = storage.absolute(settings.output)
    done = Trained(storage.join(place, BOOSTER), storage.join(place, prepare.REVISIONS, training_set.VALIDATION))
    if goes_on and _is_finished(place):
        logger.info("The booster in %s is finished; nothing to do.", done.booster)
        return done
    try:
        with claim.Claim(place) as mine, cluster.connected(settings.address) as own:
            with lifetime("train", place), metrics.state(place):
                outcome, facts = _run(settings, locales, place, wanted, mine, own)
                _sum_up(place, outcome, facts)
    except OSError as error:
        raise storage.explain(error, place, "use the output folder") from None
    logger.info(
        "Booster: %s (validation loss %s after %d steps)",
        done.booster,
        ", ".join(f"{name} {loss:.4f}" for name, loss in outcome.validation.items()) or "unknown",
        outcome.step,
    )
    return done


def rehearse(settings: TrainSettings, origins: config.Origins) -> list[str]:
    """The dry run: everything that can be refused is, and nothing is started or written. Returns what there is to say."""
    settings, locales, _, _ = _checked(settings)

    def here(function: Any, items: Any) -> Iterator[Any]:
        return map(function, items)

    with tempfile.TemporaryDirectory(prefix="midb-rehearsal-") as scratch:
        record = _select(settings, locales, storage.join(scratch, prepare.REVISIONS), here)
        origins = {**origins, **dict.fromkeys(_of_another_set(settings, record), "the training set")}
        settings = _as_selected(settings, record)
        start = prepare.start_model(scratch, settings, locales)
        found = prepare.make(scratch, settings, locales, start, here)
        examples = Examples(str(Path(scratch) / prepare.EXAMPLES / "train.arrow"))
        schedule = Schedule(
            examples.lengths, settings.epochs, settings.batch_size, settings.batch_tokens, settings.seed
        )
        facts = rehearsal.Facts(
            models.load_config(start, settings.revision),
            rehearsal.DataFacts(
                *(found["train_examples"], found["validation_examples"], found["dropped"], found["cut"]),
                *(found["train_tokens"], found["train_answer_tokens"], found["longest"], schedule.steps),
                found["languages"],
            ),
            capacity.room(settings),
        )
        return [*table(record).splitlines(), "", *rehearsal.lines(settings, origins, facts)]


def _checked(settings: TrainSettings) -> tuple[TrainSettings, Locales, dict[str, Any], bool]:
    """The settings as every process can use them, the languages, the fingerprint, and whether an earlier run goes on."""
    cluster.refuse_lost(settings.output)
    identity.refuse_data(settings.accept)
    logging.getLogger("DeepSpeed").addFilter(_is_news)
    locales = load_locales(settings.locales)
    settings = identity.pinned(settings)
    if settings.device == "cpu":  # with GPUs the workers are other machines than this one, and look for themselves
        tools.check(settings)
    zero.check(settings)
    wanted = identity.fingerprint(settings, locales)
    if _is_set(settings):
        training_set.adopt(settings.revisions[0], settings.selection, settings.revisions[0])
    found = _examine(settings, wanted)
    return settings, locales, wanted, found is not None


def _is_news(record: logging.LogRecord) -> bool:
    """The driver computes nothing: that DeepSpeed sees no GPU there is none."""
    return "Setting accelerator to CPU" not in record.getMessage()


def _run(
    settings: TrainSettings, locales: Locales, place: str, wanted: dict[str, Any], mine: claim.Claim, own: bool
) -> tuple[Outcome, dict[str, Any]]:
    found = _examine(settings, wanted)
    capacity.refuse(settings)
    spread = functools.partial(stream.over_cluster, nodes=settings.preparing_nodes)
    revisions = storage.join(place, prepare.REVISIONS)
    if found is None:  # an earlier run stays whole until this one has a training set
        staged = storage.join(place, "staging", prepare.REVISIONS)
        _select(settings, locales, staged, spread)
        run = folder.open_run(place, "train", wanted, settings.model_dump(mode="json"))
        training_set.adopt(staged, settings.selection, revisions)
        storage.delete_folder(storage.join(place, "staging"))
    else:
        run = folder.open_run(place, "train", wanted, settings.model_dump(mode="json"), found)
        if not _is_whole(revisions):
            _select(settings, locales, revisions, spread)
    record = training_set.load(revisions)
    logger.info("%s", table(record))
    settings = _as_selected(settings, record)
    start = prepare.start_model(place, settings, locales)
    facts = prepare.make(place, settings, locales, start, spread)
    logger.info(
        "Training on %d examples in %d languages, %d more to validate on; %d longer than max_tokens dropped, %d cut.",
        *(facts["train_examples"], facts["languages"], facts["validation_examples"], facts["dropped"], facts["cut"]),
    )
    storage.delete(storage.join(place, SUMMARY))
    settings = zero.shared(settings, place)
    task = Task(
        settings=settings.model_dump(mode="json"),
        run=place,
        nonce=run.nonce,
        session="",  # every fit is one of its own
        driver=mine.token,
        digest=run.digest,
        digests=tuple(run.digests),
        start=start,
        revision=settings.revision,
        facts={**facts, "selection_seed": record["seed"]},
    )
    return fit.fit(settings, task, mine, own), facts


def _select(settings: TrainSettings, locales: Locales, place: str, spread: stream.Spread) -> dict[str, Any]:
    """The record of the training set at `place`: made, or taken over where the revisions are a finished one."""
    if _is_set(settings):
        return training_set.adopt(settings.revisions[0], settings.selection, place)
    return training_set.make(
        settings.revisions, settings.selection, settings.seed, locales, place, spread, leave_out=settings.output
    )


def _examine(settings: TrainSettings, wanted: dict[str, Any]) -> dict[str, Any] | None:
    place = storage.absolute(settings.output)
    return folder.examine(place, "train", wanted, settings.accept, settings.fresh, identity.DATA)


def _is_set(settings: TrainSettings) -> bool:
    """Whether the revisions are a finished training set."""
    return len(settings.revisions) == 1 and training_set.is_set(settings.revisions[0])


def _is_whole(revisions: str) -> bool:
    """Whether the run's own training set is there and has its files."""
    if not training_set.is_set(revisions):
        return False
    try:
        training_set.load(revisions)
    except UserError as error:
        logger.warning("The training set of the run is made anew: %s", error)
        return False
    return True


def _as_selected(settings: TrainSettings, record: dict[str, Any]) -> TrainSettings:
    """The settings with those that made the training set, which may be older than this run."""
    return settings.model_copy(update={"selection": SelectionSettings.model_validate(record["selection"])})


def _of_another_set(settings: TrainSettings, record: dict[str, Any]) -> list[str]:
    """Keys of the settings that an older training set has decided otherwise."""
    now = settings.selection.model_dump(mode="json")
    return [f"selection.{key}" for key, value in record["selection"].items() if now.get(key) != value]


def _is_finished(place: str) -> bool:
    try:
        found = json.loads(storage.read_bytes(storage.join(place, SUMMARY)))
        return bool(found["complete"]) and found["booster"].items() <= _sizes(place).items()
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return False


def _sum_up(place: str, outcome: Outcome, facts: dict[str, Any]) -> None:
    folder.sweep(place)
    booster = {name: size for name, size in _sizes(place).items() if name != "README.md"}
    found = {"job": "train", "complete": True, **facts, **outcome._asdict(), "booster": booster}
    folder.write_json(place, SUMMARY, found)


def _sizes(place: str) -> dict[str, int]:
    """The files of the booster and their sizes in bytes."""
    files = storage.list_files(storage.join(place, BOOSTER))
    return {file.uri.rpartition("/")[2]: file.size for file in files}
