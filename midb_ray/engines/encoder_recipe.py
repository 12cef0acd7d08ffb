"""How one vector comes of a text, as the files of sentence-transformers say beside a model. A model without them has the mean over
its tokens."""

from __future__ import annotations

import json
from pathlib import Path, PurePosixPath
from typing import Any, Literal, NamedTuple, cast, get_args

from midb_ray.engines import models
from midb_ray.errors import UserError, one_line
from midb_ray.pairs import writable

Pooling = Literal["mean", "cls", "lasttoken"]

WEIGHTS = "model.safetensors"  # of a matrix, in its folder
_MODULES, _SETTINGS = "modules.json", "config_sentence_transformers.json"
_LENGTHS = "sentence_*_config.json"  # in old models the star is another one's name than bert's
_POOLING_FLAGS = {  # how versions before 6 name what is now `pooling_mode`
    "pooling_mode_cls_token": "cls",
    "pooling_mode_max_tokens": "max",
    "pooling_mode_mean_tokens": "mean",
    "pooling_mode_mean_sqrt_len_tokens": "mean_sqrt_len_tokens",
    "pooling_mode_weightedmean_tokens": "weightedmean",
    "pooling_mode_lasttoken": "lasttoken",
}
_ACTIVATIONS = ("Tanh", "Identity", "ReLU", "GELU")


class Dense(NamedTuple):
    """A matrix that the vector goes through, kept in a folder of the model, and the function after it."""

    folder: str
    activation: str


class Recipe(NamedTuple):
    """How one vector comes of a text.

    `longest` is the encoder's own limit in tokens, special ones included; `dimensions` are those kept of the vector.
    """

    pooling: Pooling = "mean"
    steps: tuple[Dense | Literal["normalize"], ...] = ()
    longest: int | None = None
    lowercase: bool = False
    prompt: str = ""
    dimensions: int | None = None


def files(folder: Path) -> list[Path]:
    """Those of an encoder's files that say it, and the weights among them. Raises `UserError`."""
    paths = [folder / _MODULES, folder / _SETTINGS, *sorted(folder.glob(_LENGTHS))]
    for _, path in _modules(folder):
        if path:
            paths += [folder / path / "config.json", folder / path / WEIGHTS]
    return [path for path in paths if path.is_file()]


def read(folder: Path) -> Recipe:
    """The recipe of the encoder in a directory. Raises `UserError` for one that is damaged or not known here."""
    try:
        return _read(folder)
    except (
        TypeError,
        ValueError,
        AttributeError,
        LookupError,
    ) as error:  # JSON, but of other kinds than these files have
        raise UserError(
            f"The files of sentence-transformers in {folder} hold values of a kind that they should not "
            f"({one_line(error)}); copy the encoder again, or choose another."
        ) from None


def _read(folder: Path) -> Recipe:
    settings = models.read_json(folder / _SETTINGS) if (folder / _SETTINGS).is_file() else {}
    lengths = [models.read_json(path) for path in sorted(folder.glob(_LENGTHS))]
    name = settings.get("default_prompt_name")
    recipe = Recipe(
        longest=min(filter(None, (_number(each, "max_seq_length", folder) for each in lengths)), default=None),
        lowercase=any(each.get("do_lower_case") for each in lengths),
        prompt="" if name is None else _prompt(folder, settings, name),
        dimensions=_number(settings, "truncate_dim", folder),
    )
    modules = _modules(folder)
    if not modules:
        return recipe
    tasks = {each.get("transformer_task", "feature-extraction") for each in lengths} - {"feature-extraction"}
    kinds = [kind for kind, _ in modules]
    if unknown := [kind for kind in kinds if kind not in ("Transformer", "Pooling", "Dense", "Normalize")] or list(
        tasks
    ):
        raise UserError(
            f"{folder / _MODULES} has a module {unknown[0]!r}; expected Transformer, Pooling, Dense and Normalize only, "
            "so choose another encoder."
        )
    if kinds[:2] != ["Transformer", "Pooling"] or kinds.count("Transformer") + kinds.count("Pooling") != 2:
        raise UserError(f"{folder / _MODULES} lists {', '.join(kinds)}; expected one Transformer and then one Pooling.")
    if modules[0][1]:
        raise UserError(f"{folder / _MODULES} has its transformer in {modules[0][1]!r}; expected it beside this file.")
    steps = [_dense(folder, path) if kind == "Dense" else "normalize" for kind, path in modules[2:]]
    pooling = _pooling(folder / modules[1][1] / "config.json", recipe.prompt)
    return recipe._replace(pooling=pooling, steps=cast(tuple[Dense | Literal["normalize"], ...], tuple(steps)))


def _modules(folder: Path) -> list[tuple[str, str]]:
    """Kind and folder of each module, in their order; none without a list. Kinds are named by ever longer paths of Python, of which
    the last part alone stays, and nothing is imported by them."""
    path = folder / _MODULES
    if not path.is_file():
        return []
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        if not isinstance(found, list) or not found:
            raise TypeError("an empty list, or none")
        listed = [(str(each["type"]).rpartition(".")[2], PurePosixPath(each["path"])) for each in found]
    except (OSError, ValueError, RecursionError, LookupError, TypeError) as error:
        raise UserError(f"{path} is no list of modules with a type and a path: {one_line(error)}.") from None
    for _, place in listed:
        if place.is_absolute() or len(place.parts) > 1 or ".." in place.parts:
            raise UserError(f"{path} has a module in {str(place)!r}; expected a folder beside this file.")
    return [(kind, "/".join(place.parts)) for kind, place in listed]


def _number(settings: dict[str, Any], name: str, folder: Path) -> int | None:
    value = settings.get(name)
    if value is not None and (not isinstance(value, int) or isinstance(value, bool) or value < 1):
        raise UserError(f"{folder} has {value!r} as its {name}; expected a number above 0, or nothing.")
    return value


def _prompt(folder: Path, settings: dict[str, Any], name: str) -> str:
    prompts = settings.get("prompts")
    if not isinstance(prompts, dict) or not isinstance(prompts.get(name), str):
        raise UserError(f"{folder / _SETTINGS} names {name!r} as its default prompt but has no prompt of that name.")
    return writable(str(prompts[name]))


def _pooling(path: Path, prompt: str) -> Pooling:
    config = models.read_json(path)
    flagged = [mode for flag, mode in _POOLING_FLAGS.items() if config.get(flag)]
    named = config.get("pooling_mode") or flagged or "mean"
    modes = named if isinstance(named, list) else [named]
    if len(modes) != 1 or modes[0] not in get_args(Pooling):
        raise UserError(
            f"{path} pools by {', '.join(map(str, modes))}; expected one of {', '.join(get_args(Pooling))}."
        )
    if prompt and not config.get("include_prompt", True):
        raise UserError(f"{path} leaves the prompt {prompt!r} out of the pooling, which is not supported.")
    return cast(Pooling, modes[0])


def _dense(folder: Path, name: str) -> Dense:
    path = folder / name / "config.json"
    config = models.read_json(path)
    activation = str(config.get("activation_function", "Tanh")).rpartition(".")[2]
    if activation not in _ACTIVATIONS:
        raise UserError(f"{path} has the activation {activation!r}; expected one of {', '.join(_ACTIVATIONS)}.")
    reads = {config.get("module_input_name"), config.get("module_output_name")} - {None, "sentence_embedding"}
    if config.get("use_residual") or reads:
        raise UserError(f"{path} is more than a matrix for the vector of a text (a residual, or for each token).")
    return Dense(name, activation)
