"""The commands of docs/operations.md are such as the programs understand."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import click
import pytest
from ray.scripts import scripts

from midb_ray import cli, config
from midb_ray.boosting.settings import BoostSettings
from midb_ray.operations import submit
from midb_ray.operations.forecast_settings import PlanSettings
from midb_ray.operations.submit_settings import SubmitSettings
from tests.cluster import filling

ROOT = filling.FOLDER.parent
RUNBOOK = ROOT / "docs" / "operations.md"


def commands(program: str) -> list[list[str]]:
    """Every command of the runbook with arguments, as words: `…` is a value behind an option, elsewhere it stands for more."""
    text = RUNBOOK.read_text(encoding="utf-8")
    blocks = "\n".join(re.findall(r"^```\n(.*?)^```", text, re.DOTALL | re.MULTILINE)).splitlines()
    inline = re.findall(r"`([^`\n]+)`", re.sub(r"^```\n.*?^```", "", text, flags=re.DOTALL | re.MULTILINE))
    lines = [re.sub(r"(--[\w-]+ |/)…", r"\1x", line) for line in [*blocks, *inline]]
    found = [shlex.split(re.sub(r"…|&\s*(#|$).*", "", line), comments=True) for line in lines]
    return [words[1:] for words in found if words[:1] == [program] and len(words) > 2]


@pytest.mark.parametrize("words", commands("ray"), ids=" ".join)
def test_a_command_of_rays_is_one(words: list[str]) -> None:
    command: click.Command = scripts.cli
    while isinstance(command, click.Group):
        command, *words = command.commands[words[0]], *words[1:]
    given = command.make_context(command.name, words).params
    if "cluster_config_file" in given:
        assert (ROOT / given["cluster_config_file"]).is_file()


@pytest.mark.parametrize("words", commands("midb-ray"), ids=" ".join)
def test_a_command_of_ours_is_one(words: list[str]) -> None:
    name, *given = words
    if name == "up":  # our own check of the file comes first, and Ray gets the rest
        assert (ROOT / given[0]).is_file()
        assert cli.up(given) != 0  # a file with blanks
        scripts.up.make_context("up", given)
    elif name == "plan":
        assert config.load(PlanSettings, "plan", given)[0].pilot
    else:
        own, (job, *rest) = submit.split(given)
        assert (name, job) == ("submit", "boost")
        config.load(SubmitSettings, "submit", own)
        needed = [] if "--input" in rest else ["--input", "s3://in", "--output", "s3://out"]
        assert config.load(BoostSettings, "boost", [*rest, *needed, "--engine.kind", "echo"])[0].output


def test_the_runbook_has_commands_of_each_kind() -> None:
    assert {words[0] for words in commands("ray")} >= {"dashboard", "down", "exec", "job", "monitor"}
    assert {words[0] for words in commands("midb-ray")} == {"plan", "submit", "up"}
    assert ["up", "cluster/aws.yaml", "--no-restart"] in commands("midb-ray")


@pytest.mark.parametrize("place", [filling.FOLDER / "aws.yaml", filling.FOLDER / "aws" / "account.yaml", RUNBOOK])
def test_the_role_that_a_spot_machine_needs_is_told_of(place: Path) -> None:
    """The head may not make it (account.yaml), so that without it no spot machine ever comes in a new account."""
    assert "MarketType: spot" in filling.text("aws")
    assert "aws iam create-service-linked-role --aws-service-name spot.amazonaws.com" in place.read_text(
        encoding="utf-8"
    )
