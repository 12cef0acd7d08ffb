"""What has to be on a machine before DeepSpeed can compile what it needs there, unless that was done beforehand."""

from __future__ import annotations

import importlib.util
import os
import runpy
import shutil
import sys
from pathlib import Path

from midb_ray.errors import UserError
from midb_ray.training.settings import TrainSettings


def check(settings: TrainSettings) -> None:
    """Raise `UserError` if this machine cannot compile DeepSpeed's Adam for CPUs, where the settings want it.

    Also puts the programs that were installed with this Python on the path: a virtual environment that is not activated has its
    ninja nowhere else.
    """
    beside = str(Path(sys.executable).parent)
    if beside not in os.environ.get("PATH", "").split(os.pathsep):
        os.environ["PATH"] = f"{beside}{os.pathsep}{os.environ.get('PATH', '')}"
    if not settings.zero.offload_optimizer or _compiled_beforehand(settings.device):
        return
    missing = [name for name in ("g++", "ninja") if shutil.which(name) is None]
    if missing:
        raise UserError(
            f"zero.offload_optimizer needs {' and '.join(missing)} on every node to compile DeepSpeed's optimizer, and this "
            f"machine ({os.uname().nodename}) lacks {'it' if len(missing) == 1 else 'them'}; install a C++ compiler and the "
            "Python package ninja, or set zero.offload_optimizer to false."
        )


def _compiled_beforehand(device: str) -> bool:
    """Whether DeepSpeed was installed with its Adam compiled for machines with this device, as our training image has it.

    Read from the file that its installation wrote, for importing DeepSpeed takes seconds.
    """
    found = importlib.util.find_spec("deepspeed")
    if found is None or found.origin is None:
        return False
    note = Path(found.origin).parent / "git_version_info_installed.py"
    if not note.exists():
        return False
    noted = runpy.run_path(str(note))
    return bool(noted["installed_ops"].get("cpu_adam")) and noted["accelerator_name"] == device
