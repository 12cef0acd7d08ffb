"""The quickstart: a Ray cluster on this machine, a booster trained on the samples, the sample corpus boosted with it.

Both jobs go through `ray job submit`, as they would on a real cluster. Run again, finished work is not repeated.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pyarrow.compute as pc
import pyarrow.dataset as ds

ROOT = Path(__file__).resolve().parent.parent
RUNS = ROOT / "runs" / "quickstart"
SHOWN = 4  # pairs shown before and after
ENVIRONMENT = {  # of the cluster and of everybody who talks to it: a token of its own keeps other users of the machine out
    **os.environ,
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_AUTH_MODE": "token",
    "RAY_AUTH_TOKEN": secrets.token_hex(32),
}


def main() -> int:
    started = time.monotonic()
    training, boosted = RUNS / "training", RUNS / "boosted"
    samples = ROOT / "midb_ray" / "samples"
    with cluster() as address:
        _say("Training a small booster on 192 expert revisions in 16 languages")
        train: list[str | Path] = [
            "--config",
            "configs/train/quickstart.yaml",
            "--revisions",
            samples / "revisions",
            "--output",
            training,
        ]
        code = submit(address, "train", *train)
        if code == 0:
            _say("Boosting the sample corpus with it")
            boost: list[str | Path] = [
                "--config",
                "configs/quickstart.yaml",
                "--input",
                samples / "corpus.jsonl",
                "--output",
                boosted,
            ]
            code = submit(address, "boost", *boost, "--engine.model", training / "booster")
    if code == 0:
        show(boosted)
        _say(f"Done in {time.monotonic() - started:.0f} seconds. The run folder is {boosted.relative_to(ROOT)}")
        print(f"What trainers read: midb-ray export --input {boosted.relative_to(ROOT)} --output FOLDER")
    return code


@contextlib.contextmanager
def cluster() -> Iterator[str]:
    """A head node of our own on loopback, ended with the block; yields the address that jobs are submitted to."""
    gcs, dashboard, client, agent, metrics, environment = _free_ports(6)
    with tempfile.TemporaryDirectory(prefix="midb-", dir="/tmp") as scratch:
        command = [
            *(sys.executable, "-m", "ray.scripts.scripts", "start", "--head", "--block", "--disable-usage-stats"),
            *("--node-ip-address=127.0.0.1", "--dashboard-host=127.0.0.1", f"--temp-dir={scratch}"),
            *(f"--port={gcs}", f"--dashboard-port={dashboard}", f"--ray-client-server-port={client}"),
            *(f"--dashboard-agent-listen-port={agent}", f"--metrics-export-port={metrics}"),
            f"--runtime-env-agent-port={environment}",
            f"--num-cpus={max(os.cpu_count() or 1, 4)}",
        ]
        log = Path(scratch) / "head.log"
        with log.open("wb") as output:
            head = subprocess.Popen(
                command, stdout=output, stderr=subprocess.STDOUT, env=ENVIRONMENT, start_new_session=True
            )
        address = f"http://127.0.0.1:{dashboard}"
        try:
            _wait_for(address, head, log)
            yield address
        finally:
            head.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                head.wait(30)
            with contextlib.suppress(ProcessLookupError):
                os.killpg(head.pid, 9)


def submit(address: str, job: str, *arguments: str | Path) -> int:
    """`ray job submit` for one of our jobs; follows its log and returns its exit code."""
    command = [sys.executable, "-m", "ray.scripts.scripts", "job", "submit", "--address", address]
    command += ["--working-dir", str(ROOT), "--log-style", "record", "--", sys.executable, f"jobs/{job}.py"]
    command += [str(argument) for argument in arguments]
    return subprocess.run(command, check=False, env=ENVIRONMENT).returncode


def show(run: Path) -> None:
    """How many pairs were boosted, and some of them before and after."""
    table = ds.dataset(run / "pairs", format="parquet").to_table()
    is_boosted = pc.equal(table["decision"], "boosted")
    for name, chosen in (
        ("it learnt from", pc.is_valid(table["source_id"])),
        ("it never saw", pc.is_null(table["source_id"])),
    ):
        print(f"boosted of the pairs {name}: {pc.sum(pc.and_(is_boosted, chosen))} of {pc.sum(chosen)}")
    boosted = table.filter(is_boosted).sort_by("row")
    step = max(boosted.num_rows // SHOWN, 1)
    for row in boosted.to_pylist()[::step][:SHOWN]:
        print(f"\n[{row['language']}] {row['raw_instruction']}\n  before: {_short(row['raw_response'])}")
        print(f"  after:  {_short(row['response'])}")


def _wait_for(address: str, head: subprocess.Popen[bytes], log: Path) -> None:
    for _ in range(240):
        if head.poll() is not None:
            raise SystemExit(f"Ray did not start:\n{log.read_text(errors='replace')[-2000:]}")
        try:
            with urllib.request.urlopen(f"{address}/api/version", timeout=2):
                return
        except urllib.error.HTTPError:
            return  # it answers, and asks for the token
        except OSError:
            time.sleep(0.5)
    raise SystemExit(f"Ray did not answer at {address} within two minutes.")


def _free_ports(count: int) -> list[int]:
    sockets = [socket.socket() for _ in range(count)]
    for each in sockets:
        each.bind(("127.0.0.1", 0))
    ports = [each.getsockname()[1] for each in sockets]
    for each in sockets:
        each.close()
    return ports


def _short(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= 160 else f"{line[:157]}…"


def _say(text: str) -> None:
    print(f"\n=== {text} ===", flush=True)


if __name__ == "__main__":
    sys.exit(main())
