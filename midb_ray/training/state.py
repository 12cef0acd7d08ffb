"""Checkpoints of a training run that any number of workers can go on from.

Every worker writes the fragments of parameters that it keeps (`steppers.Fragment`): float32 values and AdamW's means, named after
the parameter, what it is and the element where the fragment begins. Reading puts any stretch of any parameter together again,
however many workers wrote it, so ZeRO stages and numbers of workers may change. Safetensors files: nothing in them can run.
"""

from __future__ import annotations

import json
from collections import defaultdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from midb_ray.errors import UserError
from midb_ray.runs import tensors
from midb_ray.training.steppers import Stepper

if TYPE_CHECKING:
    import torch

POSITION = "position.json"
MASTER = "master"


class Position(NamedTuple):
    """Where a run stands after `step` steps: `examples` were taken from the schedule, `digest` is that of the run's fingerprint."""

    step: int
    examples: int
    digest: str
    losses: dict[str, float]


class _Piece(NamedTuple):
    start: int
    size: int
    file: int
    key: str


def write(folder: Path, stepper: Stepper, position: Position) -> None:
    """Write this worker's part of a checkpoint; the first one also writes the position. Raises OSError."""
    found = {}
    for name, start, master, moments in stepper.fragments():
        for kind, tensor in {MASTER: master, **moments}.items():
            found[f"{name}|{kind}|{start}"] = tensor.detach().to("cpu", copy=True)
    folder.mkdir(parents=True, exist_ok=True)
    tensors.save(found, folder / f"state-{stepper.rank:05d}-of-{stepper.workers:05d}.safetensors")
    if stepper.rank == 0:
        (folder / POSITION).write_text(json.dumps(position._asdict()), encoding="utf-8")


def read_position(folder: Path) -> Position:
    """Where the run of a checkpoint stands. Raises `UserError` for what is no checkpoint of ours."""
    try:
        found = json.loads((folder / POSITION).read_text(encoding="utf-8"))
        return Position(int(found["step"]), int(found["examples"]), str(found["digest"]), dict(found["losses"]))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(
            f"The checkpoint {folder} cannot be read ({error}); restore it from a copy, or start over with --fresh."
        ) from None


class State:
    """A checkpoint in a local folder. Files are mapped into memory and read where something is asked for.

    Raises `UserError` if it is damaged or a worker's file is missing.
    """

    def __init__(self, folder: Path) -> None:
        from safetensors import SafetensorError, safe_open

        self.folder = folder
        paths = sorted(folder.glob("state-*.safetensors"))
        expected = int(paths[0].stem.rpartition("-")[2]) if paths else 1
        if len(paths) != expected:
            raise UserError(
                f"The checkpoint {folder} has {len(paths)} of its {expected} files; restore it from a copy, or start over with "
                "--fresh."
            )
        self._files: list[Any] = []
        self._pieces: dict[tuple[str, str], list[_Piece]] = defaultdict(list)
        for number, path in enumerate(paths):
            try:
                file: Any = safe_open(path, framework="pt")
            except (SafetensorError, OSError) as error:
                raise UserError(
                    f"{path} is damaged ({error}); restore it from a copy, or start over with --fresh."
                ) from None
            self._files.append(file)
            for key in file.keys():  # noqa: SIM118 - no mapping
                name, kind, start = key.rsplit("|", 2)
                count = file.get_slice(key).get_shape()[0]
                self._pieces[name, kind].append(_Piece(int(start), count, number, key))
        for pieces in self._pieces.values():
            pieces.sort()

    def size(self, name: str) -> int:
        """Elements of a trained parameter, 0 for one that is not there."""
        return max((piece.start + piece.size for piece in self._pieces.get((name, MASTER), ())), default=0)

    def read(self, name: str, kind: str, start: int, count: int) -> torch.Tensor:
        """(count,) float32: elements of a parameter's `master` value or of one of its `steppers.MOMENTS`. Raises `UserError`."""
        import torch

        parts, place = [], start
        for piece in self._pieces.get((name, kind), ()):
            if piece.start <= place < piece.start + piece.size and place < start + count:
                end = min(piece.start + piece.size, start + count)
                parts.append(self._files[piece.file].get_slice(piece.key)[place - piece.start : end - piece.start])
                place = end
        if place != start + count:
            raise UserError(
                f"The checkpoint {self.folder} has no {kind} of {name} from element {place} on: it belongs to another model; "
                "give another --output, or start over with --fresh."
            )
        return torch.cat(parts) if len(parts) != 1 else parts[0]


def load_weights(model: torch.nn.Module, state: State) -> None:
    """Give a model the trained values of a checkpoint, before DeepSpeed takes it over. Raises `UserError` if they do not fit."""
    import deepspeed
    import torch

    for name, parameter in model.named_parameters():
        if not parameter.requires_grad:
            continue
        count = getattr(parameter, "ds_numel", parameter.numel())
        if state.size(name) not in (0, count):
            raise UserError(
                f"The checkpoint {state.folder} has {state.size(name)} elements of {name}, the model has {count}: it belongs to "
                "another model; give another --output, or start over with --fresh."
            )
        partitioned = hasattr(parameter, "ds_id")
        with torch.no_grad(), deepspeed.zero.GatheredParameters([parameter], modifier_rank=0, enabled=partitioned):
            if not partitioned or torch.distributed.get_rank() == 0:
                parameter.copy_(state.read(name, MASTER, 0, parameter.numel()).view_as(parameter))
