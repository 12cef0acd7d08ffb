"""What each training process does, whoever started it: go on from the last checkpoint, train, keep checkpoints, export."""

from __future__ import annotations

import errno
import logging
import math
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from midb_ray.errors import UserError
from midb_ray.runs import claim, cluster, folder, storage, transfer
from midb_ray.training.batches import Schedule
from midb_ray.training.examples import Examples
from midb_ray.training.prepare import EXAMPLES, SPLITS
from midb_ray.training.settings import TrainSettings
from midb_ray.training.task import Outcome, Task
from midb_ray.training.world import World

if TYPE_CHECKING:
    from midb_ray.training.metrics import Meter
    from midb_ray.training.steppers import Stepper

logger = logging.getLogger("midb_ray")

_LASTING = {
    errno.ENOSPC,
    errno.EDQUOT,
    errno.EROFS,
    errno.EACCES,
    errno.EPERM,
    errno.EFBIG,
}  # what another try does not mend
_UNKNOWN = 1e9  # the loss of a checkpoint that was not validated: worse than any; Ray Train cannot read infinity back


@dataclass(frozen=True)
class Training:
    """A process in the middle of training: what its job is, where it stands among the others, and what it works with. Only the
    first worker has a `meter`."""

    task: Task
    settings: TrainSettings
    world: World
    stepper: Stepper
    schedule: Schedule
    examples: Examples
    held_out: Examples
    meter: Meter | None


def run(task: Task, world: World, stepper_of: Any = None) -> Outcome:
    """One process's part of the whole job. `stepper_of(model, settings)` makes its stepper, DeepSpeed's if nothing is given.

    Raises `UserError` for what the user can mend; every worker raises it.
    """
    from midb_ray.training import setup

    settings = TrainSettings.model_validate(task.settings)
    folder.prove_shared(task.run, task.nonce)
    place = transfer.local(storage.join(task.run, EXAMPLES))
    examples, held_out = (Examples(str(place / f"{split}.arrow")) for split in SPLITS)
    schedule = Schedule(examples.lengths, settings.epochs, settings.batch_size, settings.batch_tokens, settings.seed)
    with world.checkpoint() as found:
        stepper, step = setup.stepper(task, settings, schedule, found, stepper_of)
    meter = setup.meter(task, settings, stepper, schedule.steps, step) if world.rank == 0 else None
    if meter is not None and step:
        logger.info("train: going on after step %d of %d with %d worker(s)", step, schedule.steps, world.workers)
    training = Training(task, settings, world, stepper, schedule, examples, held_out, meter)
    try:
        return _train(training, step)
    finally:
        if meter is not None:
            meter.close()


def _train(training: Training, step: int) -> Outcome:
    """Go on after `step` steps, to the end or until nodes leave."""
    from midb_ray.training import loop

    settings, world, schedule = training.settings, training.world, training.schedule
    validation: dict[str, float] = {}
    while step < schedule.steps:
        done = loop.run_step(training.stepper, training.examples, schedule, step, settings, world.wants_to_know())
        step += 1
        if training.meter is not None:
            training.meter.add(step, done)
        leaving = world.leaving() if done.asked else []
        if leaving or step % settings.checkpoint.steps == 0 or step == schedule.steps:
            validation = _keep(training, step, hurry=bool(leaving))
        if leaving:
            return Outcome(step, schedule.steps, leaving, None, validation, None)
    return _finish(training, validation)


def _keep(training: Training, step: int, hurry: bool) -> dict[str, float]:
    """Validate and keep a checkpoint; in a `hurry` only the latter. Returns the loss of each language."""
    from midb_ray.training import loop, state

    meter = training.meter
    began = time.monotonic()
    losses = {} if hurry else loop.validate(training.stepper, training.held_out, training.settings)
    mean = sum(losses.values()) / len(losses) if losses else None
    if mean is not None and not math.isfinite(mean):
        raise loop.no_number("validation loss", mean, step, training.schedule, training.settings)
    if meter is not None and mean is not None:
        meter.validated(step, losses, mean, time.monotonic() - began)
        began = time.monotonic()
    _refuse_other_driver(training)
    position = state.Position(step, training.schedule.offset(step), training.task.digest, losses)

    def write(place: Path) -> None:
        state.write(place, training.stepper, position)

    figures = {} if meter is None else meter.latest
    training.world.save({**figures, "step": step, "validation_loss": _UNKNOWN if mean is None else mean}, write)
    if meter is not None:
        meter.paused(time.monotonic() - began)
    return losses


def _finish(training: Training, validation: dict[str, float]) -> Outcome:
    """Export the booster."""
    from midb_ray.training import export, loop, model_card, setup

    task, settings, stepper, steps = training.task, training.settings, training.stepper, training.schedule.steps
    if not validation:  # the run had only to be exported again
        validation = loop.validate(stepper, training.held_out, settings)
    loss = training.meter.latest.get("loss") if training.meter is not None else None
    _refuse_other_driver(training)
    card = model_card.text(settings, {**task.facts, "steps": steps, "workers": stepper.workers}, loss, validation)
    difference = export.export(task.run, stepper, training.examples, settings, *setup.start(task), card)
    return Outcome(steps, steps, [], loss, validation, difference)


def _refuse_other_driver(training: Training) -> None:
    """The first worker, before anything is written: a driver that was silent for too long may have lost the run folder."""
    if training.world.rank == 0 and training.task.driver:
        claim.refuse_other(training.task.run, training.task.driver)


def ray_worker(task: dict[str, Any]) -> dict[str, Any]:
    """Ray Train's `train_loop_per_worker`. Returns an `Outcome` as a dictionary, or `{"refused": sentence}`.

    Ray Train tries again whatever an exception says. So what the user has to mend is noted before it is raised, and the workers of
    the next try, who find it, end at once and together.
    """
    from midb_ray.training import setup
    from midb_ray.training.world import RayWorld

    given = Task(**{**task, "digests": tuple(task["digests"])})
    if (sentence := cluster.noted(given.session)) is not None:
        return {"refused": sentence}
    try:
        settings = TrainSettings.model_validate(given.settings)
        setup.process(settings)
        return run(given, RayWorld(given.checkpoint))._asdict()
    except (UserError, OSError) as error:
        if (refused := _refusal(error, given.run)) is None:
            raise
        cluster.note(given.session, str(refused))
        setup.say_no_more()
        raise refused from error


def _refusal(error: Exception, run: str) -> UserError | None:
    """What the user has to mend: storage that is full or cannot be written will be so for the next try as well."""
    if isinstance(error, UserError):
        return error
    return storage.explain(error, run, "write to") if getattr(error, "errno", None) in _LASTING else None
