"""What a training process is told, and what it tells at its end."""

from __future__ import annotations

from typing import Any, NamedTuple


class Task(NamedTuple):
    """What a worker has to know: plain values, so that any process can be given it.

    `run` is the run folder, `start` where the model lies that training starts from (a URI, or a hub id with its `revision`);
    checkpoints with one of `digests` belong to the run, new ones get `digest`. `driver` is the token of the job's claim on the
    folder, `session` names one fit of it. `facts` are for the model card. `checkpoint` is the one to begin with where Ray Train
    knows none.
    """

    settings: dict[str, Any]
    run: str
    nonce: str
    driver: str
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
