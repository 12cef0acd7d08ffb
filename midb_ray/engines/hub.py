"""What a model hub has under an id; from the local cache where it cannot be reached."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from midb_ray.errors import UserError, one_line


def commit(model: str, revision: str | None) -> str:
    """The commit that a hub id stands for now. Raises `UserError` for one that cannot be had."""
    from huggingface_hub import hf_hub_download

    try:
        return Path(hf_hub_download(model, "config.json", revision=revision)).parent.name
    except Exception as error:  # not found, gated, no network, bad name: the message says which
        raise UserError(f"{model} is no directory here and cannot be had from the hub: {one_line(error)}") from None


def files(model: str, commit: str) -> list[str]:
    """Names of what a hub id holds at a commit, folders in it included."""
    from huggingface_hub import HfApi, hf_hub_download

    try:
        return list(HfApi().list_repo_files(model, revision=commit))
    except Exception:  # no network: what the cache holds is what can be loaded
        folder = Path(hf_hub_download(model, "config.json", revision=commit, local_files_only=True)).parent
        return [path.relative_to(folder).as_posix() for path in folder.rglob("*")]


def fetch(model: str, commit: str, patterns: Sequence[str]) -> Path:
    """The folder with the files of a hub id whose names match, but for copies in other formats. Raises `UserError`."""
    from huggingface_hub import snapshot_download

    try:
        apart = ["onnx/*", "openvino/*"]
        return Path(snapshot_download(model, revision=commit, allow_patterns=list(patterns), ignore_patterns=apart))
    except Exception as error:  # gated, no network, no room: the message says which
        raise UserError(f"Cannot get {model} from the hub: {one_line(error)}") from None
