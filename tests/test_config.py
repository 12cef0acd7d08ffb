"""Settings: file and command line become one validated object, and mistakes get one sentence."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import pydantic
import pytest

from midb_ray import config
from midb_ray.config import Settings
from midb_ray.errors import UserError


class Motor(Settings):
    """A part."""

    kind: Literal["petrol", "electric"] = "petrol"
    """What drives it."""
    fuel: str | None = None
    """What it burns."""


class Car(Settings):
    """Drive."""

    roads: tuple[str, ...]
    """Where to go."""
    wheels: int = pydantic.Field(4, gt=0)
    """How many."""
    dry: bool = False
    """No rain."""
    motor: Motor = Motor()


def load(*arguments: str) -> Car:
    return config.load(Car, "car", arguments)[0]


def test_the_command_line_wins_over_the_file_and_the_file_over_defaults(tmp_path: Path) -> None:
    file = tmp_path / "car.yaml"
    file.write_text("roads: [a]\nwheels: 3\nmotor: {kind: electric}\n")
    car, origins = config.load(Car, "car", ["--config", str(file), "--wheels", "6", "--dry"])
    assert car == Car(roads=("a",), wheels=6, dry=True, motor=Motor(kind="electric"))
    assert origins == {"roads": str(file), "motor.kind": str(file), "wheels": "command line", "dry": "command line"}


def test_lists_booleans_and_none_on_the_command_line() -> None:
    car = load("--roads", "a", "b", "--dry", "false", "--motor.fuel", "none")
    assert (car.roads, car.dry, car.motor.fuel) == (("a", "b"), False, None)
    assert load("--roads", "a", "--roads", "b", "c").roads == ("a", "b", "c")


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ([], "roads is required"),
        (["--roads", "a", "--wheel", "3"], "Unknown option '--wheel'; did you mean --wheels"),
        (["--roads", "a", "--motor.knd", "x"], "did you mean --motor.kind"),
        (["--roads", "a", "--wheels", "many"], "wheels: .*integer.*found 'many'"),
        (["--roads", "a", "--wheels", "0"], "wheels: .*greater than 0, found '0'"),
        (["--roads", "a", "--motor.kind", "steam"], "motor.kind: .*'petrol' or 'electric', found 'steam'"),
        (["--roads", "a", "--wheels"], "--wheels: expected one argument"),
        (["--roads", "a", "--config", "/absent.yaml"], "Cannot read the configuration /absent.yaml"),
    ],
)
def test_mistakes_on_the_command_line_get_one_sentence(arguments: list[str], told: str) -> None:
    with pytest.raises(UserError, match=told) as caught:
        load(*arguments)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ("roads: [a]\nweels: 3\n", "Unknown setting 'weels'; did you mean 'wheels'"),
        ("roads: [a]\nmotor: {kinds: x}\n", "Unknown setting 'motor.kinds'; did you mean 'motor.kind'"),
        ("roads: {a: 1}\n", "roads"),
        ("roads: [a]\nmotor: fast\n", "motor"),
        ("- a\n", "expected a mapping"),
        ("roads: [a\n", "not valid YAML"),
        ("roads: [a]\nwheels: .nan\n", "wheels"),
    ],
)
def test_mistakes_in_the_file_name_the_file(tmp_path: Path, content: str, told: str) -> None:
    file = tmp_path / "car.yaml"
    file.write_text(content)
    with pytest.raises(UserError, match=told) as caught:
        load("--config", str(file))
    assert "car.yaml" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_one_value_stands_for_a_list_of_one(tmp_path: Path) -> None:
    file = tmp_path / "car.yaml"
    file.write_text("roads: corpora/\n")
    assert load("--config", str(file)).roads == ("corpora/",)


def test_help_names_every_setting_with_its_default(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        load("--help")
    shown = capsys.readouterr().out
    assert caught.value.code == 0
    assert all(text in shown for text in ("--motor.kind petrol|electric", "[default: 4]", "How many.", "[required]"))


def test_settings_are_frozen() -> None:
    with pytest.raises(pydantic.ValidationError):
        load("--roads", "a").wheels = 5  # type: ignore[misc]
