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

    top_speed: float = 100
    """Where it ends."""

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
    stops: tuple[str, ...] = ()
    """Where to wait."""
    gears: tuple[int, int] = (1, 5)
    """Lowest and highest."""
    limit: int | None = None
    """Passengers at most."""
    motor: Motor = Motor()

    @pydantic.field_validator("stops")
    @classmethod
    def _no_pub(cls, stops: tuple[str, ...]) -> tuple[str, ...]:
        if "pub" in stops:
            raise ValueError("who drives stops at no pub; walk, or take a bus")
        return stops


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
        (["--roads", "a", "--gears", "1"], r"^gears: expected 2 values, found 1\.$"),
        (["--roads", "a", "--gears", "1", "2", "3"], "gears: .*at most 2"),
        (["--roads", "a", "--stops", "pub"], r"^stops: who drives stops at no pub; walk, or take a bus\.$"),
        (["--roads", "a", "--config", "/absent.yaml"], r"^Cannot read the configuration /absent.yaml: No such file.*"),
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
        ("roads: [a]\nwheels: true\n", "wheels: .*integer, found True"),
        ("roads: [a]\nlimit: yes\n", "limit: .*integer, found True"),
        ("roads: [a]\ngears: [1, true]\n", "gears: .*integer, found .1, True"),
        ("roads: [a]\nmotor: {top_speed: no}\n", "motor.top_speed: .*number, found False"),
        ("roads: [a]\ngears: 1\n", r"gears: expected 2 values, found 1\.$"),
        ("roads: [a]\nwheels: 3\nroads: [b]\n", r"the key 'roads' stands twice in .*, on lines 1 and 3; keep one\.$"),
        ("roads: [a]\nmotor: {kind: petrol, kind: petrol}\n", "the key 'kind' stands twice in .*, on line 2; keep one"),
        ("roads: [a]\nmotor.knd: petrol\n", "Unknown setting 'motor.knd'; did you mean 'motor.kind'"),
        (
            "roads: [a]\nmotor.kind: petrol\nmotor: {kind: electric}\n",
            "motor.kind is given twice, as 'petrol' and as 'electric'; keep one",
        ),
        ("roads: [a]\nmotor: fast\nmotor.kind: petrol\n", "motor is given twice, as 'fast' and as {'kind': 'petrol'}"),
        ("roads: [a]\nmotor.kind: petrol\nmotor: fast\n", "motor is given twice, as {'kind': 'petrol'} and as 'fast'"),
        ("roads: 2024-13-45\n", "not valid YAML"),
        ("[" * 3000, "nested too deeply"),
    ],
)
def test_mistakes_in_the_file_name_the_file(tmp_path: Path, content: str, told: str) -> None:
    file = tmp_path / "car.yaml"
    file.write_text(content)
    with pytest.raises(UserError, match=told) as caught:
        load("--config", str(file))
    assert "car.yaml" in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "content",
    [
        "motor.kind: electric\nmotor.top_speed: 7\n",
        "motor.kind: electric\nmotor: {top_speed: 7}\n",
        "motor: {top_speed: 7, kind: electric}\nmotor.kind: electric\n",
    ],
)
def test_a_file_may_write_levels_with_dots(tmp_path: Path, content: str) -> None:
    file = tmp_path / "car.yaml"
    file.write_text(f"roads: [a.b]\n{content}")
    car, origins = config.load(Car, "car", ["--config", str(file), "--motor.top-speed", "9"])
    assert car == Car(roads=("a.b",), motor=Motor(kind="electric", top_speed=9))
    assert origins == {"roads": str(file), "motor.kind": str(file), "motor.top_speed": "command line"}


def test_a_merged_mapping_may_be_overridden(tmp_path: Path) -> None:
    file = tmp_path / "car.yaml"
    file.write_text("roads: [a]\nmotor: {<<: {kind: electric, top_speed: 7}, kind: petrol}\n")
    assert load("--config", str(file)).motor == Motor(kind="petrol", top_speed=7)


@pytest.mark.parametrize("option", [["--motor.top_speed", "7"], ["--motor.top_speed=7"], ["--motor.top-speed=7"]])
def test_an_option_may_be_written_as_its_setting(option: list[str]) -> None:
    assert load("--roads", "a_b", *option) == Car(roads=("a_b",), motor=Motor(top_speed=7))


def test_one_value_stands_for_a_list_of_one(tmp_path: Path) -> None:
    file = tmp_path / "car.yaml"
    file.write_text("roads: corpora/\n")
    assert load("--config", str(file)).roads == ("corpora/",)


def test_help_names_every_setting_with_its_default(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        load("--help")
    shown = capsys.readouterr().out
    assert caught.value.code == 0
    wrapped = " ".join(shown.split())
    assert "Where to wait. [default: none]" in wrapped
    assert "Where to go. [required]" in wrapped
    assert all(text in shown for text in ("--motor.kind petrol|electric", "[default: 4]", "How many.", "[required]"))


def test_settings_are_frozen() -> None:
    with pytest.raises(pydantic.ValidationError):
        load("--roads", "a").wheels = 5  # type: ignore[misc]
