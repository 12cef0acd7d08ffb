"""Safetensors files: written whole, or an OSError that says why; read back by their header."""

from __future__ import annotations

import errno
import resource
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from midb_ray.runs import tensors


@pytest.fixture
def small_disk() -> Iterator[None]:
    """Files of more than 100 kB cannot be written."""
    before, handler = resource.getrlimit(resource.RLIMIT_FSIZE), signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, before)
    signal.signal(signal.SIGXFSZ, handler)


def test_what_is_written_has_the_length_of_its_header(tmp_path: Path) -> None:
    given = {"a": torch.arange(6.0).view(2, 3), "b": torch.zeros(0), "c": torch.ones(5, dtype=torch.bfloat16)}
    tensors.save(given, tmp_path / "t.safetensors")
    found = load_file(tmp_path / "t.safetensors")
    assert {name: found[name].tolist() for name in found} == {name: each.tolist() for name, each in given.items()}
    with (tmp_path / "t.safetensors").open("rb") as file:
        assert tensors.length(file) == (tmp_path / "t.safetensors").stat().st_size


def test_a_place_that_is_not_there_is_an_oserror(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="No such file"):
        tensors.save({"a": torch.ones(3)}, tmp_path / "absent" / "t.safetensors")


@pytest.mark.usefixtures("small_disk")
def test_a_disk_that_is_too_small_is_an_oserror(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="File too large") as refusal:
        tensors.save({"a": torch.ones(1_000_000)}, tmp_path / "t.safetensors")
    assert refusal.value.errno == errno.EFBIG


def test_other_errors_stay_what_they_are() -> None:
    with pytest.raises(ZeroDivisionError), tensors.os_errors():
        raise ZeroDivisionError("os error")
