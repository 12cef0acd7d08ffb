"""A machine that cannot compile DeepSpeed's optimizer is told so in one sentence, and only where that is wanted."""

from __future__ import annotations

import os
import sys
from contextlib import nullcontext
from pathlib import Path

import pytest

from midb_ray.errors import UserError
from midb_ray.training import tools
from tests.training.grid import settings

OFFLOAD = settings(zero={"stage": 2, "offload_optimizer": True})
WITHOUT = settings(zero={"stage": 3, "offload_parameters": True})


@pytest.fixture
def bare(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine with nothing but an empty folder on its path, and a Python with nothing beside it."""
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    monkeypatch.setattr(sys, "executable", str(tmp_path / "venv" / "python"))
    for folder in ("bin", "venv"):
        (tmp_path / folder).mkdir()
    return tmp_path


def install(path: Path) -> None:
    path.write_text("#!/bin/sh\n")
    path.chmod(0o755)


def test_what_is_missing_is_one_sentence(bare: Path) -> None:
    with pytest.raises(UserError) as refusal:
        tools.check(OFFLOAD)
    told = str(refusal.value)
    assert told == (
        "zero.offload_optimizer needs g++ and ninja on every node to compile DeepSpeed's optimizer, and this machine "
        f"({os.uname().nodename}) lacks them; install a C++ compiler and the Python package ninja, or set "
        "zero.offload_optimizer to false."
    )


@pytest.mark.parametrize(("there", "missing"), [("g++", "ninja"), ("ninja", "g++")])
def test_one_alone_may_be_missing(bare: Path, there: str, missing: str) -> None:
    install(bare / "bin" / there)
    with pytest.raises(UserError, match=rf"needs {missing.replace('+', '.')} on every node .* lacks it; "):
        tools.check(OFFLOAD)


def test_without_offload_nothing_is_needed(bare: Path) -> None:
    tools.check(WITHOUT)
    tools.check(settings())


def test_programs_beside_this_python_are_found(bare: Path) -> None:
    """A virtual environment that is not activated has its ninja nowhere else; DeepSpeed must find it too."""
    install(bare / "bin" / "g++")
    install(bare / "venv" / "ninja")
    tools.check(OFFLOAD)
    assert os.environ["PATH"].split(os.pathsep) == [str(bare / "venv"), str(bare / "bin")]
    tools.check(OFFLOAD)
    assert len(os.environ["PATH"].split(os.pathsep)) == 2


@pytest.mark.parametrize(("compiled", "accelerator", "told"), [(1, "cpu", False), (1, "cuda", True), (0, "cpu", True)])
def test_what_was_compiled_beforehand_needs_no_compiler(
    bare: Path, monkeypatch: pytest.MonkeyPatch, compiled: int, accelerator: str, told: bool
) -> None:
    """Compiled for machines with GPUs it does not count on CPUs, where DeepSpeed would compile it again."""
    package = bare / "site" / "deepspeed"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text("raise AssertionError('imported')\n")
    note = f"installed_ops={{'cpu_adam': {compiled}}}\naccelerator_name='{accelerator}'\n"
    (package / "git_version_info_installed.py").write_text(note)
    monkeypatch.syspath_prepend(str(package.parent))
    monkeypatch.delitem(sys.modules, "deepspeed", raising=False)
    with pytest.raises(UserError) if told else nullcontext():
        tools.check(OFFLOAD)
