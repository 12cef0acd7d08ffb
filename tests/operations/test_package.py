"""What a submission uploads is known, to the byte, before anything is uploaded."""

from __future__ import annotations

import os
import zipfile
from pathlib import Path

import pytest

from midb_ray import cli
from midb_ray.errors import UserError
from midb_ray.operations import package


def write(root: Path, **files: str) -> None:
    for name, text in files.items():
        place = root / name.replace("__", "/").replace("_dot_", ".")
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(text)


@pytest.fixture
def tree(tmp_path) -> Path:
    root = tmp_path / "project"
    write(
        root, jobs__boost="x" * 100, _dot_git__objects="g" * 1000, _dot_venv__lib__a="v", runs__one="r", runs__two="r"
    )
    write(root, _dot_gitignore="/runs/\n*.log\n", _dot_rayignore="secret\n", secret="s", a_dot_log="l")
    write(
        root,
        deep__down__kept="k",
        deep__down__dropped="d",
        deep__down___dot_gitignore="dropped\n",
        deep__runs__kept="k",
    )
    (root / "ünïcode").write_text("é")
    (root / "empty").mkdir()
    (root / "link").symlink_to(tmp_path / "elsewhere")
    write(tmp_path, elsewhere__linked="l")
    (root / "broken").symlink_to("nowhere")
    return root


@pytest.mark.parametrize("exclude", [[], ["deep/down", "jobs/*"], ["!runs/one", "*"]])
def test_what_is_measured_is_what_ray_packages(tree, tmp_path, exclude) -> None:
    from ray._private import ray_constants
    from ray._private.runtime_env import packaging

    found = package.measure(tree, exclude)
    made = tmp_path / "made.zip"
    given = [*ray_constants.get_runtime_env_default_excludes(), *exclude]
    packaging.create_package(str(tree), made, include_gitignore=True, excludes=given)
    inside = [one for one in zipfile.ZipFile(made).infolist() if not one.is_dir()]
    assert found.files == {one.filename: one.file_size for one in inside}
    assert found.size == made.stat().st_size


def test_what_is_left_out_is_named_once(tree) -> None:
    found = package.measure(tree)
    assert sorted(found.left_out) == sorted([".git/", ".venv/", "a.log", "deep/down/dropped", "runs/", "secret"])
    assert ".git/" in found.line()
    assert " 8 files of " in found.line()


@pytest.fixture
def huge(tmp_path) -> Path:
    root = tmp_path / "project"
    write(root, code="x", data__notes="n", data__raw__2024__small="s")
    for number in range(4):
        with (root / "data" / "raw" / "2024" / f"{number}.bin").open("wb") as file:
            file.truncate(256 * 2**20)
    return root


def test_a_gigabyte_far_down_is_refused_in_one_sentence_before_any_cluster_is_asked(huge, monkeypatch, capsys) -> None:
    monkeypatch.setenv("RAY_AUTH_TOKEN", "token")
    command = ["--address", "http://127.0.0.1:1", "--working-dir", str(huge), "--", "boost", "--output", "/out"]
    assert cli.submit(command) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(
        f"Error: The working directory {huge} has 1.0 GiB in 7 files, of which 1.0 GiB lie in data/raw/2024/, "
    )
    assert "data/raw/2024/0.bin (256.0 MiB)" in line
    assert "--exclude data/raw/2024/, " in line


def test_the_advice_helps(huge) -> None:
    heavy = package.heaviest(package.measure(huge))
    package.refuse_large(package.measure(huge, [heavy]))
    (huge / ".rayignore").write_text(f"{heavy}\n")
    package.refuse_large(package.measure(huge))


def test_the_limit_is_that_of_the_dashboard_as_uploads_go_through_it(tmp_path) -> None:
    assert package.limit() == 100 * 2**20
    fits = package.Package(tmp_path, {"a": 1}, [], package.limit())
    package.refuse_large(fits)
    with pytest.raises(UserError, match=r"100\.0 MiB at most"):
        package.refuse_large(fits._replace(size=package.limit() + 1))


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        (".env", ".env"),
        ("deploy/.env.production", "deploy/.env.production"),
        (".ssh/id_ed25519", ".ssh/"),
        (".aws/credentials", ".aws/"),
        ("home/.netrc", "home/.netrc"),
        (".ray/auth_token", ".ray/auth_token"),
        ("keys/head.pem", "keys/head.pem"),
        ("keys/id_rsa", "keys/id_rsa"),
    ],
)
def test_a_secret_is_named_and_not_uploaded_and_the_advice_helps(tmp_path, monkeypatch, capsys, name, shown) -> None:
    place = tmp_path / name
    place.parent.mkdir(parents=True, exist_ok=True)
    place.write_text("-----BEGIN OPENSSH PRIVATE KEY-----")
    (tmp_path / "code.py").write_text("x")
    monkeypatch.setenv("RAY_AUTH_TOKEN", "token")
    command = ["--address", "http://127.0.0.1:1", "--working-dir", str(tmp_path), "--", "boost", "--output", "/out"]
    assert cli.submit(command) == 2
    said = capsys.readouterr().err
    assert f"--exclude {shown}, or the same in lines of a file .rayignore" in said
    package.refuse_secrets(package.measure(tmp_path, [shown]))
    (tmp_path / ".rayignore").write_text(shown)
    package.refuse_secrets(package.measure(tmp_path))


def test_what_only_looks_like_a_secret_is_uploaded(tmp_path) -> None:
    write(
        tmp_path,
        certificates__ca_dot_pem="BEGIN CERTIFICATE",
        id_map="{}",
        _dot_env_dot_example="A=",
        a__credentials_dot_py="",
    )
    for place in tmp_path.rglob("*_dot_*"):
        place.rename(place.with_name(place.name.replace("_dot_", ".")))
    package.refuse_secrets(package.measure(tmp_path))


def test_a_name_that_is_no_utf8_is_told_and_can_be_left_out(tmp_path) -> None:
    (tmp_path / os.fsdecode(b"caf\xe9.txt")).write_text("x")
    with pytest.raises(UserError, match=r"caf\?\.txt is no UTF-8 .* --exclude 'caf\?\.txt'") as refusal:
        package.measure(tmp_path)
    str(refusal.value).encode()
    assert package.measure(tmp_path, ["caf?.txt"]).files == {}


def test_what_cannot_be_packaged_is_named(tmp_path) -> None:
    with pytest.raises(UserError, match="is not a folder"):
        package.measure(tmp_path / "none")
    (tmp_path / "loop").symlink_to(tmp_path)
    with pytest.raises(UserError, match="is a link to a folder that it lies in; leave it out with --exclude loop"):
        package.measure(tmp_path)
    (tmp_path / "loop").unlink()
    os.mkfifo(tmp_path / "pipe")  # Ray would wait for ever for somebody to write to it
    with pytest.raises(UserError, match="is a pipe"):
        package.measure(tmp_path)
    assert package.measure(tmp_path, ["pipe"]).files == {}
