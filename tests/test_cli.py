"""The doors: help at once, one sentence for mistakes, no Ray before the settings are right."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from midb_ray import cli, config
from midb_ray.boosting.settings import BoostSettings

ROOT = Path(__file__).resolve().parent.parent
HEAVY = ("ray", "torch", "transformers", "deepspeed", "vllm", "pandas")


def modules_after(arguments: list[str]) -> tuple[int, str, set[str]]:
    """Exit code, output and the heavy modules that a job imported."""
    code = f"import sys\nfrom midb_ray import cli\ntry:\n    status = cli.main({arguments!r})\nexcept SystemExit as left:\n"
    code += f"    status = left.code\nprint('HEAVY', *[name for name in {HEAVY!r} if name in sys.modules])\nsys.exit(status)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    shown, _, heavy = done.stdout.rpartition("HEAVY")
    return done.returncode, shown + done.stderr, set(heavy.split())


@pytest.mark.parametrize(
    "arguments", [["--help"], *([job, "--help"] for job in ("boost", "export", "select", "train"))]
)
def test_help_is_complete_and_loads_nothing_heavy(arguments: list[str]) -> None:
    code, shown, heavy = modules_after(arguments)
    assert (code, heavy) == (0, set())
    assert "usage: midb-ray" in shown


def test_every_setting_is_described_in_the_help() -> None:
    undescribed = [key for key, field in config.options(BoostSettings) if not field.description]
    assert undescribed == []


@pytest.mark.parametrize(
    "arguments", [["boost", "--input", "a", "--colour", "red"], ["boost"], ["train", "--nonsense"], ["fly"]]
)
def test_a_mistake_starts_nothing_and_ends_with_2(arguments: list[str]) -> None:
    code, shown, heavy = modules_after(arguments)
    assert code == 2
    assert len(shown.strip().splitlines()) == 1
    assert "ray" not in heavy


@pytest.mark.parametrize("path", sorted((ROOT / "configs").glob("*.yaml")), ids=lambda path: path.name)
def test_shipped_boost_settings_are_valid_and_mean_what_they_say(path: Path) -> None:
    given = ["--config", str(path), "--input", "a", "--output", "b", "--engine.model", "a/model"]
    settings, origins = config.load(BoostSettings, "midb-ray boost", given)
    found, values = config.flat(settings), yaml.safe_load(path.read_text())
    said = {f"{key}.{name}": one for key in ("engine", "pool", "guard") for name, one in values.pop(key, {}).items()}
    said = {**said, **values, "input": ["a"], "output": "b", "engine.model": "a/model"}
    assert {key: found[key] for key in said} == said
    assert set(origins) == set(said)


def test_the_version_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["--version"]) == 0
    assert capsys.readouterr().out.startswith("midb-ray 0.")
