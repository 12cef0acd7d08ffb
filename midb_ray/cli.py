"""`midb-ray`: one sub-command per job. Nothing heavy is imported before a job is known to have valid settings."""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import midb_ray
from midb_ray.ending import guarded
from midb_ray.errors import ExitCode, one_line

if TYPE_CHECKING:
    from midb_ray.training.settings import TrainSettings

_JOBS = {
    "boost": "rewrite an instruction corpus with a booster",
    "score": "score every pair of a corpus for content, translation and localisation",
    "export": "write what trainers read from a finished run",
    "select": "keep the best pairs of scored corpora, by language, without duplicates",
    "train": "fine-tune a booster on expert revisions",
    "revisions": "make a training set of expert revisions",
    "up": "start a cluster from a file of Ray's launcher, such as cluster/aws.yaml",
    "submit": "run a job on a cluster, follow it, and submit it again if it is lost",
    "plan": "forecast tokens, time, machines and money of a run from a pilot of it",
    "watch": "drain this node of the cluster when the cloud is about to take it away",
}
_SUBMITTED = ("boost", "score", "select", "export", "train", "revisions")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one job; returns the exit code."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    jobs: dict[str, Callable[[Sequence[str]], int]] = {
        "boost": boost,
        "score": score,
        "select": select,
        "export": export,
        "train": train,
        "revisions": revisions,
        "up": up,
        "submit": submit,
        "plan": plan,
        "watch": watch,
    }
    if given and given[0] in jobs:
        return jobs[given[0]](given[1:])
    if given and given[0] in ("--version", "-V"):
        print(f"midb-ray {midb_ray.__version__}")
        return ExitCode.OK
    known = "\n".join(f"  {name:<10} {text}" for name, text in _JOBS.items())
    text = f"usage: midb-ray JOB [--config FILE] [--SETTING VALUE ...]\n\njobs:\n{known}\n\nmidb-ray JOB --help lists its settings."
    if not given or given[0] in ("--help", "-h"):
        print(text)
        return ExitCode.OK
    print(f"Unknown job {given[0]!r}; expected {' or '.join(jobs)}.", file=sys.stderr)
    return ExitCode.USER_ERROR


def boost(arguments: Sequence[str]) -> int:
    """`midb-ray boost`, also `jobs/boost.py`."""
    from midb_ray import config
    from midb_ray.boosting.settings import BoostSettings

    def run() -> int:
        settings, _ = config.load(BoostSettings, "midb-ray boost", arguments)
        from midb_ray.boosting import pipeline

        return pipeline.boost(settings)

    return guarded(run, arguments)


def score(arguments: Sequence[str]) -> int:
    """`midb-ray score`, also `jobs/score.py`."""
    from midb_ray import config
    from midb_ray.quality.settings import ScoreSettings

    def run() -> int:
        settings, _ = config.load(ScoreSettings, "midb-ray score", arguments)
        from midb_ray.quality import pipeline

        return pipeline.score(settings)

    return guarded(run, arguments)


def export(arguments: Sequence[str]) -> int:
    """`midb-ray export`, also `jobs/export.py`."""
    from midb_ray import config
    from midb_ray.curation.export_settings import ExportSettings

    def run() -> int:
        settings, _ = config.load(ExportSettings, "midb-ray export", arguments)
        from midb_ray.curation import export_pipeline

        return export_pipeline.export(settings)

    return guarded(run, arguments)


def select(arguments: Sequence[str]) -> int:
    """`midb-ray select`, also `jobs/select_pairs.py`."""
    from midb_ray import config
    from midb_ray.curation.select_settings import SelectSettings

    def run() -> int:
        settings, _ = config.load(SelectSettings, "midb-ray select", arguments)
        from midb_ray.curation import select_pipeline

        return select_pipeline.select(settings)

    return guarded(run, arguments)


def train(arguments: Sequence[str]) -> int:
    """`midb-ray train`, also `jobs/train.py`."""
    from midb_ray import config
    from midb_ray.training.settings import TrainSettings

    def run() -> int:
        settings, origins = config.load(TrainSettings, "midb-ray train", arguments)
        from midb_ray.training import pipeline

        if settings.dry_run:
            print("\n".join(pipeline.rehearse(settings, origins)))
            return ExitCode.OK
        trained = pipeline.train(settings, origins)
        if settings.card_rows:
            _make_card(settings, trained.booster, trained.validation)
        return ExitCode.OK

    return guarded(run, arguments)


def _make_card(settings: TrainSettings, booster: str, validation: str) -> None:
    """Try a finished booster on its validation set, unless that has been done. Raises `UserError`."""
    import contextlib

    from midb_ray.boosting import card, card_record
    from midb_ray.engines.settings import EngineSettings
    from midb_ray.locales import load_locales
    from midb_ray.runs import cluster

    logger = logging.getLogger("midb_ray")
    found = None
    try:
        found = card_record.read(booster)
    except ValueError as error:
        logger.warning("The card of %s is damaged and made anew: %s", booster, one_line(error))
    if found is None:
        engine = EngineSettings(model=booster, device=settings.device)
        locales = load_locales(settings.locales)
        task = card.CardTask(booster, validation, settings.card_rows, settings.template, locales, engine)
        on_gpu = settings.device == "cuda"
        with cluster.connected(settings.address) if on_gpu else contextlib.nullcontext():
            gpus = min(1, settings.gpus_per_worker)
            found = card.make(task, gpus=gpus, cpus=settings.cpus_per_worker, nodes=settings.nodes)
        if found is None:
            return
        card.write(booster, found)
    logger.info("%s", card_record.line(found))
    for problem in card_record.problems(found):
        logger.warning("%s", problem)


def revisions(arguments: Sequence[str]) -> int:
    """`midb-ray revisions`, also `jobs/revisions.py`."""
    from midb_ray import config
    from midb_ray.training.revisions_settings import RevisionsSettings

    def run() -> int:
        settings, _ = config.load(RevisionsSettings, "midb-ray revisions", arguments)
        from midb_ray.training import revisions_pipeline

        print(revisions_pipeline.make(settings))
        return ExitCode.OK

    return guarded(run, arguments)


def up(arguments: Sequence[str]) -> int:
    """`midb-ray up`."""

    def run() -> int:
        from midb_ray.operations import launch

        return launch.main(arguments)

    return guarded(run, arguments)


def submit(arguments: Sequence[str]) -> int:
    """`midb-ray submit SETTINGS -- JOB`."""

    def run() -> int:
        from midb_ray import config
        from midb_ray.operations import submit as submission
        from midb_ray.operations.submit_settings import SubmitSettings

        own, job = submission.split(arguments)
        settings, _ = config.load(SubmitSettings, "midb-ray submit", own)
        return submission.submit(settings, job, _SUBMITTED)

    return guarded(run, arguments)


def watch(arguments: Sequence[str]) -> int:
    """`midb-ray watch`, for as long as a node lives."""
    from midb_ray import config
    from midb_ray.operations.watch_settings import WatchSettings

    def run() -> int:
        settings, _ = config.load(WatchSettings, "midb-ray watch", arguments)
        from midb_ray.operations import watch as watching

        return watching.watch(settings)

    return guarded(run, arguments)


def plan(arguments: Sequence[str]) -> int:
    """`midb-ray plan`."""
    from midb_ray import config
    from midb_ray.operations.forecast_settings import PlanSettings

    def run() -> int:
        settings, _ = config.load(PlanSettings, "midb-ray plan", arguments)
        from midb_ray.operations import forecast_door

        forecast_door.tell(settings)
        return ExitCode.OK

    return guarded(run, arguments)


if __name__ == "__main__":
    sys.exit(main())
