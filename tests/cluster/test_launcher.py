"""The launcher and Ray's own commands refuse a cluster file that is half filled in or wrong, before anything is started."""

from __future__ import annotations

import ast
import importlib.util
import os
import signal
import stat
import subprocess
import time
from pathlib import Path

import pytest
import yaml
from ray._private.label_utils import validate_node_labels
from ray.autoscaler._private import commands, util

from midb_ray import cli
from midb_ray.errors import ExitCode, UserError
from midb_ray.operations import launch
from tests.cluster import filling

EACH_BLANK = [(name, blank) for name in filling.FILES for blank in filling.blanks(name)]


@pytest.mark.parametrize(("name", "blank"), EACH_BLANK)
def test_ray_up_refuses_a_file_as_long_as_anything_is_left_to_fill_in(name: str, blank: str, tmp_path: Path) -> None:
    path = tmp_path / "cluster.yaml"
    path.write_text(filling.filled(name, keep=blank), encoding="utf-8")
    with pytest.raises(yaml.constructor.ConstructorError, match=f"!{blank}'"):
        commands.create_or_update_cluster(str(path), None, None, False, False, True, no_config_cache=True)
    with pytest.raises(UserError, match=rf"{blank} \(line \d+\)"):
        launch.check(str(path))


@pytest.mark.parametrize("name", filling.FILES)
def test_a_file_names_all_that_is_left_open_at_once_and_each_once(name: str) -> None:
    names = filling.blanks(name)
    assert len(names) == len(set(names)) > 4
    with pytest.raises(UserError) as refused:
        launch.check(str(filling.FOLDER / f"{name}.yaml"))
    assert all(blank in str(refused.value) for blank in names)


def test_a_tag_taken_away_with_the_example_left_behind_is_refused_too(tmp_path: Path) -> None:
    path = tmp_path / "cluster.yaml"
    path.write_text(
        filling.filled("aws").replace("registry.example/midb-ray-boost", "FILL_IN_REGISTRY/midb-ray-boost"),
        encoding="utf-8",
    )
    with pytest.raises(UserError, match=r"FILL_IN_REGISTRY \(line 2\d\)"):
        launch.check(str(path))


@pytest.mark.parametrize("name", filling.FILES)
def test_a_filled_file_is_what_rays_schema_expects(name: str, tmp_path: Path) -> None:
    path = tmp_path / "cluster.yaml"
    path.write_text(filling.filled(name), encoding="utf-8")
    cluster = launch.check(str(path))
    util.validate_config(cluster)
    util.check_legacy_fields(cluster)
    for node in cluster["available_node_types"].values():
        validate_node_labels(node.get("labels", {}))


@pytest.mark.parametrize(
    ("was", "now", "said"),
    [
        ("upscaling_speed: 8.0", "upscaling_sped: 8.0", "upscaling_sped"),
        ("max_workers: 13 ", "max_workers: many ", "max_workers"),
        ("resources: {CPU: 8,", "resources: {CPU: 0.5,", "CPU"),
        ("head_node_type: head", "head_node_type: boss", "head_node_type"),
        ("type: aws", "type: awss", "awss"),
        ("cluster_name: midb-ray", "cluster_name: [", "not valid YAML"),
        (
            "registry.example/midb-ray-boost",
            "<registry>/midb-ray-boost",
            "'<registry>/midb-ray-boost.*' is no name of an image",
        ),
    ],
)
def test_a_mistake_in_a_filled_file_is_said_in_one_line(was: str, now: str, said: str, tmp_path: Path) -> None:
    path = tmp_path / "cluster.yaml"
    assert was in filling.filled("aws")
    path.write_text(filling.filled("aws").replace(was, now, 1), encoding="utf-8")
    with pytest.raises(UserError, match=said) as refused:
        launch.check(str(path))
    assert "\n" not in str(refused.value)


def test_a_token_is_made_once_for_its_owner_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("RAY_AUTH_TOKEN", "of-another-cluster-0123456789abcdef")
    path = launch.ensure_token()
    token = path.read_text(encoding="utf-8")
    assert path == tmp_path / ".ray" / "auth_token"
    assert len(token) >= 32
    assert token != "of-another-cluster-0123456789abcdef"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert launch.ensure_token().read_text(encoding="utf-8") == token


@pytest.mark.parametrize(
    ("content", "mode", "words"),
    [
        (b"hush", 0o666, r"may read or replace .* \(mode 666\)"),
        (b"hush", 0o640, r"\(mode 640\)"),
        (b"hush\nhush", 0o600, "is no token: expected one line of ASCII"),
        (b"hush\xff", 0o600, "is no token: expected one line of ASCII"),
        (b" \n", 0o600, "is empty"),
    ],
)
def test_a_token_that_is_none_or_not_ones_own_is_refused_and_not_shown(
    content: bytes, mode: int, words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / ".ray").mkdir()
    (tmp_path / ".ray" / "auth_token").write_bytes(content)
    (tmp_path / ".ray" / "auth_token").chmod(mode)
    with pytest.raises(UserError, match=words) as refused:
        launch.ensure_token()
    assert "hush" not in str(refused.value)


def test_a_local_cluster_without_addresses_is_refused_in_one_line(tmp_path: Path) -> None:
    path = tmp_path / "cluster.yaml"
    path.write_text("cluster_name: x\nprovider: {type: local}\nauth: {ssh_user: x}\n")
    with pytest.raises(UserError, match="Please supply a `head_ip`"):
        launch.check(str(path))


def test_an_unfilled_file_costs_nothing_not_even_a_token(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    assert cli.up([str(filling.FOLDER / "aws.yaml"), "--yes"]) == ExitCode.USER_ERROR
    assert "FILL_IN_REGION (line 1" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())
    assert cli.up([str(tmp_path / "none.yaml")]) == ExitCode.USER_ERROR
    assert "none.yaml" in capsys.readouterr().err


@pytest.mark.parametrize("cloud", filling.CLOUDS)
def test_workers_watch_for_the_notice_of_their_cloud_and_leave_the_shell(cloud: str, tmp_path: Path) -> None:
    cluster = filling.cluster(cloud)
    *_, command = cluster["worker_start_ray_commands"]
    watch = f"midb-ray watch --cloud {cloud}"
    assert watch in command
    assert watch not in " ".join(cluster["head_start_ray_commands"])
    stand_in = command.replace(watch, "sh -c 'echo $PPID; exec sleep 30'").replace("/tmp/", f"{tmp_path}/")
    for _ in range(2):  # the second finds the first and leaves
        subprocess.run(["bash", "-c", f"({stand_in})"], check=True, timeout=20)
    log = tmp_path / "midb-ray-watch.log"
    until = time.monotonic() + 60
    while not log.read_text().endswith("\n"):
        assert time.monotonic() < until
        time.sleep(0.05)
    [holder] = log.read_text().split()
    assert os.getsid(int(holder)) != os.getsid(0)
    os.killpg(int(holder), signal.SIGKILL)


@pytest.mark.parametrize(("cloud", "ray"), [("gcp", "GCPNodeProvider"), ("azure", "AzureNodeProvider")])
def test_the_class_that_a_file_names_is_rays_own_but_for_what_it_opens(cloud: str, ray: str) -> None:
    module, _, name = filling.cluster(cloud)["provider"]["module"].rpartition(".")
    found = importlib.util.find_spec(module)
    assert found is not None
    assert found.origin is not None
    # Read and not imported: the clouds' packages are on the machines that use them.
    classes = {
        node.name: node for node in ast.parse(Path(found.origin).read_text()).body if isinstance(node, ast.ClassDef)
    }
    assert [base.id for base in classes[name].bases if isinstance(base, ast.Name)] == [ray]
    own = {node.name for node in classes[name].body if isinstance(node, ast.FunctionDef)}
    assert own == {"bootstrap_config"} | ({"create_node", "cleanup_cluster_resources"} if cloud == "azure" else set())
