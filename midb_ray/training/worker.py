"""What each training process does, whoever started it: go on from the last checkpoint, train, keep checkpoints, export."""

from __future__ import annotations

import contextlib
import json
import logging
import math
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from midb_ray.errors import UserError
from midb_ray.runs import folder, storage, transfer
from midb_ray.training.batches import Schedule
from midb_ray.training.settings import TrainSettings
from midb_ray.training.world import World

if TYPE_CHECKING:
    from midb_ray.training.metrics import Meter
    from midb_ray.training.steppers import Stepper

logger = logging.getLogger("midb_ray")

EXAMPLES, REFUSAL = "examples", "refusal.json"
_UNKNOWN = 1e9  # the loss of a checkpoint that was not validated: worse than any; Ray Train cannot read infinity back


class Task(NamedTuple):
    """What a worker has to know: plain values, so that any process can be given it.

    `run` is the run folder, `start` where the model lies that training starts from (a URI, or a hub id with its `revision`);
    checkpoints with one of `digests` belong to the run, new ones get `digest`. `session` is the driver's, `facts` are for the model
    card. `checkpoint` is the one to begin with where Ray Train knows none.
    """

    settings: dict[str, Any]
    run: str
    nonce: str
    session: str
    digest: str
    digests: tuple[str, ...]
    start: str
    revision: str | None
    facts: dict[str, Any]
    checkpoint: str | None = None


class Outcome(NamedTuple):
    """How a worker ended: after `step` of `steps`; `leaving` are the nodes because of which it stopped before the end.
    `difference` see `export.export`."""

    step: int
    steps: int
    leaving: list[str]
    loss: float | None
    validation: dict[str, float]
    difference: float | None


def run(task: Task, world: World, stepper_of: Any = None) -> Outcome:
    """One process's part of the whole job. `stepper_of(model, settings)` makes its stepper, DeepSpeed's if nothing is given.

    Raises `UserError` for what the user can mend; every worker raises it.
    """
    from midb_ray.training import loop, setup
    from midb_ray.training.examples import Examples

    settings = TrainSettings.model_validate(task.settings)
    folder.prove_shared(task.run, task.nonce)
    place = transfer.local(storage.join(task.run, EXAMPLES))
    examples, held_out = Examples(str(place / "train.arrow")), Examples(str(place / "validation.arrow"))
    schedule = Schedule(examples.lengths, settings.epochs, settings.batch_size, settings.batch_tokens, settings.seed)
    with world.checkpoint() as found:
        stepper, step = setup.stepper(task, settings, schedule, found, stepper_of)
    meter = setup.meter(task, settings, stepper, schedule.steps, step) if world.rank == 0 else None
    if meter is not None and step:
        logger.info("train: going on after step %d of %d with %d worker(s)", step, schedule.steps, world.workers)
    validation: dict[str, float] = {}
    leaving: list[str] = []
    try:
        while step < schedule.steps and not leaving:
            done = loop.run_step(stepper, examples, schedule, step, settings, world.wants_to_know())
            step += 1
            if meter is not None:
                meter.add(step, done)
            leaving = world.leaving() if done.asked else []
            if leaving or step % settings.checkpoint.steps == 0 or step == schedule.steps:
                validation = _keep(task, world, stepper, settings, schedule, step, held_out, meter, bool(leaving))
        if leaving:
            return Outcome(step, schedule.steps, leaving, None, validation, None)
        return _finish(task, stepper, settings, step, examples, held_out, validation, meter)
    finally:
        if meter is not None:
            meter.close()


def _keep(
    task: Task,
    world: World,
    stepper: Stepper,
    settings: TrainSettings,
    schedule: Schedule,
    step: int,
    held_out: Any,
    meter: Meter | None,
    hurry: bool,
) -> dict[str, float]:
    """Validate and keep a checkpoint; in a `hurry` only the latter. Returns the loss of each language."""
    from midb_ray.training import loop, state

    began = time.monotonic()
    losses = {} if hurry else loop.validate(stepper, held_out, settings)
    mean = sum(losses.values()) / len(losses) if losses else None
    if mean is not None and not math.isfinite(mean):
        raise UserError(
            f"The validation loss is {mean} after step {step} of {schedule.steps}; the checkpoints before it are whole. Try a "
            "lower learning_rate or dtype float32."
        )
    if meter is not None and mean is not None:
        meter.validated(step, losses, mean, time.monotonic() - began)
        began = time.monotonic()
    position = state.Position(step, schedule.offset(step), task.digest, losses)

    def write(place: Path) -> None:
        state.write(place, stepper, position)

    figures = {} if meter is None else meter.latest
    world.save({**figures, "step": step, "validation_loss": _UNKNOWN if mean is None else mean}, write)
    if meter is not None:
        meter.paused(time.monotonic() - began)
    return losses


def _finish(
    task: Task,
    stepper: Stepper,
    settings: TrainSettings,
    step: int,
    examples: Any,
    held_out: Any,
    validation: dict[str, float],
    meter: Meter | None,
) -> Outcome:
    from midb_ray.training import export, loop, model_card, setup

    if not validation:  # the run had only to be exported again
        validation = loop.validate(stepper, held_out, settings)
    loss = meter.latest.get("loss") if meter is not None else None
    card = model_card.text(settings, {**task.facts, "steps": step, "workers": stepper.workers}, loss, validation)
    start, revision = setup.start(task)
    difference = export.export(task.run, stepper, examples, settings, start, revision, card)
    return Outcome(step, step, [], loss, validation, difference)


def ray_worker(task: dict[str, Any]) -> dict[str, Any]:
    """Ray Train's `train_loop_per_worker`. Returns an `Outcome` as a dictionary, or `{"refused": sentence}`.

    Ray Train tries again whatever an exception says. So what the user has to mend is written down before it is raised, and the
    workers of the next try, who find it, end at once and together.
    """
    from midb_ray.training import setup
    from midb_ray.training.world import RayWorld

    given = Task(**{**task, "digests": tuple(task["digests"])})
    if (sentence := _refused(given)) is not None:
        return {"refused": sentence}
    try:
        settings = TrainSettings.model_validate(given.settings)
        setup.process(settings)
        return run(given, RayWorld(given.checkpoint))._asdict()
    except UserError as error:
        record = {"session": given.session, "sentence": str(error)}
        with contextlib.suppress(OSError):
            folder.write_json(given.run, REFUSAL, record)
        raise


def _refused(task: Task) -> str | None:
    """Why an earlier try of this session ended for good."""
    try:
        record = json.loads(storage.read_bytes(storage.join(task.run, REFUSAL)))
        return str(record["sentence"]) if record["session"] == task.session else None
    except (OSError, ValueError, KeyError, TypeError):
        return None


def unequal(task: Task, found: Path) -> UserError:
    """The refusal of a checkpoint that was made with other settings."""
    return UserError(
        f"The checkpoint {found.name} in {task.run} was made with other settings or other data; start over with --fresh, or give "
        "another --output."
    )
