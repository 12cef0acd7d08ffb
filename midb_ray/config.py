"""From a YAML file and a command line to one frozen, validated settings object per job.

Each capability defines its own `Settings` beside its code; the names of its fields are the keys of the YAML file and, with
dots between levels, the options of the command line. A file may write levels with dots too, and an option may have
underscores for dashes. Values of the command line win over the file, the file over defaults.
"""

from __future__ import annotations

import argparse
import difflib
import types
import typing
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, TypeVar

import pydantic
import pydantic_core

from midb_ray import yaml_file
from midb_ray.errors import UserError


class Settings(pydantic.BaseModel):
    """The base of every settings class: frozen, unknown keys refused, the docstring below a field is its description."""

    model_config = pydantic.ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True, allow_inf_nan=False)

    def __hash__(self) -> int:
        """By the JSON, as mappings have none: processes keep tools by their settings."""
        return hash(self.model_dump_json())

    @pydantic.model_validator(mode="before")
    @classmethod
    def _one_is_a_list_of_one(cls, values: Any) -> Any:
        """`input: corpora/` in a file means what `--input corpora/` means."""
        if not isinstance(values, Mapping):
            return values
        lists = {name for name, field in cls.model_fields.items() if typing.get_origin(field.annotation) is tuple}
        return {
            key: (value,)
            if key in lists and isinstance(value, (str, int, float)) and not isinstance(value, bool)
            else value
            for key, value in values.items()
        }

    @pydantic.field_validator("*", mode="before")
    @classmethod
    def _booleans_are_no_numbers(cls, value: Any, info: pydantic.ValidationInfo) -> Any:
        """`limit: true` is a mistake; Python, for which True is 1, would take a pilot of one pair."""
        annotation = _without_none(cls.model_fields[str(info.field_name)].annotation)
        is_list = typing.get_origin(annotation) is tuple
        element = typing.get_args(annotation)[0] if is_list else annotation
        if element in (int, float) and any(
            isinstance(one, bool) for one in (value if isinstance(value, (list, tuple)) else (value,))
        ):
            raise pydantic_core.PydanticKnownError("int_type" if element is int else "float_type")
        return value


S = TypeVar("S", bound=Settings)
Origins = dict[str, str]


def load(settings: type[S], program: str, arguments: Sequence[str]) -> tuple[S, Origins]:
    """The settings from `--config FILE` and the other options in `arguments`, and where each value that is no default
    came from. Prints the help and exits with 0 for `--help`.

    Raises `UserError` with one sentence that names the setting, what was found and what was expected.
    """
    given = _parse(settings, program, arguments)
    path = given.pop("config", None)
    values = read_yaml(path) if path else {}
    origins = {key: str(path) for key in _flatten(values)}
    for key, value in given.items():
        _put(values, key, value)
        origins[key] = "command line"
    return validate(settings, values, str(path) if path else None), origins


def read_yaml(path: str) -> dict[str, Any]:
    """The mapping in a YAML file, with levels for the dots in its keys; an empty file is an empty mapping.

    Raises `UserError`, also for a setting that stands there both ways with different values."""
    values = yaml_file.read(path, "configuration")
    if values is None:
        return {}
    if not isinstance(values, dict):
        raise UserError(f"{path}: expected a mapping of settings, found {type(values).__name__}.")
    return _nested(values, {}, f"{path}: ")


def validate(settings: type[S], values: Mapping[str, Any], path: str | None = None) -> S:
    """`values` as a settings object. Raises `UserError` for the first thing that is wrong."""
    try:
        return settings.model_validate(values)
    except pydantic.ValidationError as error:
        raise UserError(_sentence(settings, error, path)) from None


def options(settings: type[Settings], prefix: str = "") -> Iterator[tuple[str, pydantic.fields.FieldInfo]]:
    """Every leaf setting with its dotted name, in the order of the class."""
    for name, field in settings.model_fields.items():
        if inner := _inner(field.annotation):
            yield from options(inner, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", field


def flat(config: Settings) -> dict[str, Any]:
    """Every leaf setting's value by dotted name."""
    return {
        key: value if not isinstance(value, tuple) else list(value)
        for key, value in _flatten(config.model_dump(), type(config)).items()
    }


def _parse(settings: type[Settings], program: str, arguments: Sequence[str]) -> dict[str, Any]:
    parser = argparse.ArgumentParser(
        prog=program, description=settings.__doc__, allow_abbrev=False, exit_on_error=False
    )
    parser.add_argument(
        "--config", metavar="FILE", default=argparse.SUPPRESS, help="YAML file with any of the settings"
    )
    flags = ["--config"]
    for key, field in options(settings):
        flag = "--" + key.replace("_", "-")
        flags.append(flag)
        parser.add_argument(flag, dest=key, default=argparse.SUPPRESS, help=_help(field), **_shape(field))
    dashed = [_dashed(argument, flags) for argument in arguments]
    try:
        known, unknown = parser.parse_known_args(dashed)
    except argparse.ArgumentError as error:
        raise UserError(f"{error.argument_name}: {error.message}; see {program} --help.") from None
    if unknown:
        near = difflib.get_close_matches(unknown[0].split("=")[0], flags, n=1)
        hint = f"; did you mean {near[0]}?" if near else f"; see {program} --help."
        raise UserError(f"Unknown option {unknown[0]!r}{hint}")
    return dict(vars(known))


def _dashed(argument: str, flags: Sequence[str]) -> str:
    """An option that is written as its setting is, `--pool.gpus_per_replica`, in the spelling of the help."""
    name, equals, value = argument.partition("=")
    flag = name.replace("_", "-")
    return f"{flag}{equals}{value}" if flag in flags else argument


def _shape(field: pydantic.fields.FieldInfo) -> dict[str, Any]:
    """argparse's keywords for one field; values stay text, pydantic converts and checks them."""
    annotation = _without_none(field.annotation)
    if annotation is bool:
        return {"nargs": "?", "const": True, "metavar": "true|false"}
    if typing.get_origin(annotation) in (tuple, list):
        element = typing.get_args(annotation)[0]
        return {
            "action": "extend",  # a flag may stand once with many values, or many times
            "nargs": "*" if not field.is_required() else "+",
            "metavar": _metavar(element),
        }
    return {"metavar": _metavar(annotation), "type": _nothing_or_text if annotation is not field.annotation else str}


def _metavar(annotation: Any) -> str:
    if typing.get_origin(annotation) in (typing.Literal, typing.Union, types.UnionType):
        return "|".join(str(a) if isinstance(a, str | int) else _metavar(a) for a in typing.get_args(annotation))
    return str(getattr(annotation, "__name__", "VALUE")).upper().replace("STR", "TEXT")


def _help(field: pydantic.fields.FieldInfo) -> str:
    text = " ".join((field.description or "").split())
    if not field.is_required():
        default = field.get_default(call_default_factory=True)
        shown = (" ".join(map(str, default)) or None) if isinstance(default, tuple) else default
        text += " [required]" if shown == "" else f" [default: {'none' if shown is None else shown}]"
    else:
        text += " [required]"
    return text.replace("%", "%%")


def _nothing_or_text(value: str) -> str | None:
    return None if value.casefold() in ("none", "null") else value


def _without_none(annotation: Any) -> Any:
    if typing.get_origin(annotation) in (typing.Union, types.UnionType):
        rest = [argument for argument in typing.get_args(annotation) if argument is not type(None)]
        return rest[0] if len(rest) == 1 else annotation
    return annotation


def _inner(annotation: Any) -> type[Settings] | None:
    return annotation if isinstance(annotation, type) and issubclass(annotation, Settings) else None


def _flatten(values: Mapping[str, Any], settings: type[Settings] | None = None, prefix: str = "") -> dict[str, Any]:
    leaves: dict[str, Any] = {}
    for key, value in values.items():
        inner = _inner(settings.model_fields[key].annotation) if settings and key in settings.model_fields else None
        if isinstance(value, Mapping) and (settings is None or inner is not None):
            leaves.update(_flatten(value, inner, f"{prefix}{key}."))
        else:
            leaves[f"{prefix}{key}"] = value
    return leaves


def _nested(values: Mapping[Any, Any], into: dict[Any, Any], place: str, above: str = "") -> dict[Any, Any]:
    """`values` added to `into`, with a level for each dot in a key. `place` and `above` (the levels so far) are for messages.

    Raises `UserError` for a setting with two values.
    """
    for key, value in values.items():
        if isinstance(key, str) and all(parts := key.split(".", 1)) and len(parts) == 2:
            key, value = parts[0], {parts[1]: value}
        there = into.setdefault(key, {} if isinstance(value, Mapping) else value)
        if isinstance(value, Mapping) and isinstance(there, dict):
            _nested(value, there, place, f"{above}{key}.")
        elif there != value:
            raise UserError(f"{place}{above}{key} is given twice, as {there!r} and as {value!r}; keep one.")
    return into


def _put(values: dict[str, Any], key: str, value: Any) -> None:
    *parents, leaf = key.split(".")
    for parent in parents:
        inner = values.setdefault(parent, {})
        if not isinstance(inner, dict):
            raise UserError(f"{parent}: expected a mapping of settings, found {inner!r}.")
        values = inner
    values[leaf] = value


def _sentence(settings: type[Settings], error: pydantic.ValidationError, path: str | None) -> str:
    problems = error.errors()
    first = problems[0]
    key = ".".join(part for part in first["loc"] if isinstance(part, str))
    place = f"{path}: " if path else ""
    more = f" ({len(problems) - 1} more such)" if len(problems) > 1 else ""
    if first["type"] == "extra_forbidden":
        near = difflib.get_close_matches(key, [name for name, _ in options(settings)], n=1, cutoff=0.5)
        return f"{place}Unknown setting {key!r}{f'; did you mean {near[0]!r}?' if near else '.'}{more}"
    if first["type"] == "missing" and isinstance(first["loc"][-1], int):  # a place in a list of fixed length
        expected = len(typing.get_args(_without_none(dict(options(settings))[key].annotation)))
        return f"{place}{key}: expected {expected} values, found {len(first['input'])}.{more}"
    if first["type"] == "missing":
        return f"{place}{key} is required; give it in the file or as --{key.replace('_', '-')}.{more}"
    message = first["msg"].removeprefix("Value error, ").rstrip(".")
    if not key:
        return f"{place}{message}.{more}"
    if first["type"] == "value_error":  # our own: it says by itself what was found
        return f"{place}{key}: {message}.{more}"
    return f"{place}{key}: {message[0].lower()}{message[1:]}, found {first['input']!r}.{more}"
