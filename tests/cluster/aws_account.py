"""An account on an EC2 and IAM server on this machine, in which cluster/aws.yaml is started.

What answers as the machine is a pair of scripts in the place of ssh and rsync, which write down what they are told.
"""

from __future__ import annotations

import dataclasses
import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.cluster import filling

REGION = "eu-central-1"
SSH = r"""#!/bin/sh
echo "ssh $*" >> "$TOLD/calls"
case "$*" in
  *"printenv HOME"*|*Config.Env*) echo '["HOME=/home/ray"]';;
  *State.Running*) [ -e "$TOLD/up" ] && echo true || echo false;;
  *"docker run"*) touch "$TOLD/up";;
  *Mounts*) echo '[]';;
  *"command -v docker"*) echo /usr/bin/docker;;
esac
"""
RSYNC = r"""#!/bin/sh
echo "rsync $*" >> "$TOLD/calls"
for word; do
  case $word in
    */ray-bootstrap-*) [ -e "$word" ] && cp "$word" "$TOLD/bootstrap.json";;
    *.ssh/midb-ray.pem) cp "$word" "$HOME/ray_bootstrap_key.pem";;
  esac
done
exit 0
"""


@dataclasses.dataclass
class Account:
    """An account in which the stack of cluster/aws/account.yaml was made and `ray up` has run."""

    folder: Path
    file: Path
    group: str
    environment: dict[str, str]
    said: str

    def client(self, service: str) -> Any:
        import boto3

        return boto3.client(service, region_name=REGION)

    def instances(self, state: str = "running") -> list[dict[str, Any]]:
        found = self.client("ec2").describe_instances(Filters=[{"Name": "instance-state-name", "Values": [state]}])
        return [instance for reservation in found["Reservations"] for instance in reservation["Instances"]]

    def told(self) -> str:
        """Everything that the machine was told by ssh and rsync."""
        return (self.folder / "told" / "calls").read_text(encoding="utf-8")

    def bootstrap(self) -> dict[str, Any]:
        """The cluster as the head's autoscaler gets it."""
        content: dict[str, Any] = json.loads((self.folder / "told" / "bootstrap.json").read_text(encoding="utf-8"))
        return content

    def run(self, *command: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", *command],
            env=self.environment,
            text=True,
            capture_output=True,
            timeout=240,
            check=False,
        )


def opened(folder: Path) -> Iterator[Account]:
    """Start the server, make the stack, run `ray up` from an empty home; at the end all of it goes."""
    for name, script in (("ssh", SSH), ("rsync", RSYNC)):
        path = folder / "bin" / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(script, encoding="utf-8")
        path.chmod(0o755)
    (folder / "home").mkdir()
    (folder / "told").mkdir()
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    own = {
        "HOME": str(folder / "home"),
        "TOLD": str(folder / "told"),
        "TMPDIR": str(folder),  # where Ray keeps what it resolved of a cluster file
        "PATH": f"{folder / 'bin'}:{os.environ['PATH']}",
        "AWS_ENDPOINT_URL": f"http://127.0.0.1:{port}",
        "AWS_ACCESS_KEY_ID": "nobody",
        "AWS_SECRET_ACCESS_KEY": "nothing",
        "AWS_DEFAULT_REGION": REGION,
        "AWS_EC2_METADATA_DISABLED": "true",
    }
    server = subprocess.Popen(
        [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    with pytest.MonkeyPatch.context() as patch:
        for name, value in own.items():
            patch.setenv(name, value)
        try:
            _await(port, server)
            account = Account(folder, folder / "aws.yaml", "", {**os.environ, **own}, "")
            account.group = _stack(account)
            image = account.client("ec2").describe_images()["Images"][0]["ImageId"]
            text = filling.filled(
                "aws", FILL_IN_REGION=REGION, FILL_IN_SECURITY_GROUP=account.group, FILL_IN_MACHINE_IMAGE=image
            )
            account.file.write_text(text, encoding="utf-8")
            up = account.run("midb_ray.cli", "up", str(account.file), "--yes", "--no-config-cache")
            account.said = up.stdout + up.stderr
            assert up.returncode == 0, account.said[-3000:]
            yield account
        finally:
            server.terminate()
            server.wait(30)


def _await(port: int, server: subprocess.Popen[bytes]) -> None:
    until = time.monotonic() + 120
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
            return
        except OSError:
            assert server.poll() is None
            assert time.monotonic() < until
            time.sleep(0.2)


def _stack(account: Account) -> str:
    """Make what the account needs once, as the file's first step says; returns the security group."""
    network = account.client("ec2").describe_vpcs()["Vpcs"][0]["VpcId"]
    formation = account.client("cloudformation")
    formation.create_stack(
        StackName="midb-ray",
        TemplateBody=(filling.FOLDER / "aws" / "account.yaml").read_text(encoding="utf-8"),
        Capabilities=["CAPABILITY_NAMED_IAM"],
        Parameters=[
            {"ParameterKey": key, "ParameterValue": value}
            for key, value in {"VpcId": network, "SshCidr": "203.0.113.7/32", "Bucket": "corpora"}.items()
        ],
    )
    [stack] = formation.describe_stacks(StackName="midb-ray")["Stacks"]
    assert stack["StackStatus"] == "CREATE_COMPLETE"
    return {output["OutputKey"]: output["OutputValue"] for output in stack["Outputs"]}["SecurityGroup"]
