"""`midb-ray submit` without a cluster: what is refused before one is asked, what stands in a record, a log over broken wires."""

from __future__ import annotations

import http.server
import json
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from types import SimpleNamespace

import pytest

from midb_ray import cli
from midb_ray.errors import UserError
from midb_ray.operations import access, auth_token, entrypoint, submit
from midb_ray.operations import follow as following
from midb_ray.operations.submit_settings import SubmitSettings

JOBS = ("boost", "score")


@pytest.fixture(autouse=True)
def no_token_and_no_address(monkeypatch, tmp_path) -> None:
    for name in ("RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH", "RAY_ADDRESS", "RAY_API_SERVER_ADDRESS"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))


# Before a cluster is asked


@pytest.mark.parametrize(
    ("job", "words"),
    [
        ([], "nothing to submit"),
        (["boots"], "Cannot submit 'boots'; expected a job behind `--`, one of boost, score"),
        (["boost", "--output", "runs/one"], "The output runs/one is a relative path"),
        (["boost", "--output=runs/one"], "The output runs/one is a relative path"),
        (["boost", "--config", "far.yaml"], "far.yaml does not exist; it is looked for in the working directory"),
        (["boost", "--config", "near.yaml"], "The output from/file is a relative path"),
    ],
)
def test_a_job_that_could_not_run_there_is_not_submitted(tmp_path, job, words) -> None:
    (tmp_path / "near.yaml").write_text("output: from/file\n")
    with pytest.raises(UserError) as refusal:
        submit.read(job, JOBS, tmp_path)
    assert words in str(refusal.value)


def test_the_output_is_the_command_lines_or_the_files(tmp_path) -> None:
    (tmp_path / "near.yaml").write_text("output: s3://from/file\nfresh: true\n")
    assert submit.read(["boost", "--config", "near.yaml"], JOBS, tmp_path).output == "s3://from/file"
    found = submit.read(["boost", "--config", "near.yaml", "--output", "/here", "--fresh", "false"], JOBS, tmp_path)
    assert (found.output, found.fresh) == ("/here", False)
    assert submit.read(["boost", "--fresh", "--output", "/here"], JOBS, tmp_path).fresh


def test_a_value_of_a_secret_goes_nowhere_and_is_not_repeated(monkeypatch, capsys) -> None:
    assert cli.submit(["--secrets", "HF_TOKEN=hush", "--", "boost", "--output", "/out"]) == 2
    said = capsys.readouterr().err
    assert "found HF_TOKEN with a value" in said
    monkeypatch.setenv("API_KEY", "hush")
    assert (
        cli.submit(["--secrets", "API_KEY", "--", "boost", "--output", "/out", "--engine.url", "http://hush@host"]) == 2
    )
    said += capsys.readouterr().err
    assert "contain the value of API_KEY" in said
    assert "hush" not in said


@pytest.mark.parametrize(
    ("job", "words"),
    [
        (["--config", "job.yaml"], "The job's --config contains the value of API_KEY"),
        (["--config", "uri.yaml"], "A URI in the job's --config holds a password"),
        (["--input", "s3://KEY:whisper@bucket/in"], "A URI in the job's arguments holds a password"),
        (["--input=https://user:whisper@host/x"], "A URI in the job's arguments holds a password"),
    ],
)
def test_a_secret_in_the_configuration_or_in_a_uri_goes_nowhere(monkeypatch, capsys, tmp_path, job, words) -> None:
    (tmp_path / "job.yaml").write_text("engine:\n  url: http://host/?key=hush\n")
    (tmp_path / "uri.yaml").write_text("input: s3://KEY:whisper@bucket/in\n")
    monkeypatch.setenv("API_KEY", "hush")
    command = ["--secrets", "API_KEY", "--working-dir", str(tmp_path), "--", "boost", "--output", "/out"]
    assert cli.submit([*command, *job]) == 2
    said = capsys.readouterr().err
    assert words in said
    assert "hush" not in said
    assert "whisper" not in said


def test_a_uri_with_an_at_sign_elsewhere_is_no_password() -> None:
    job = ("--input", "abfss://data@account.example/in", "hdfs://name:8020/in@2", "gs://anonymous@bucket/x")
    submit.refuse_values((), submit.Job(job, None, False))


def test_a_missing_secret_ends_the_job_before_it_begins(monkeypatch, capsys) -> None:
    monkeypatch.delenv("ABSENT", raising=False)
    monkeypatch.setenv("EMPTY", "")
    command = entrypoint.command(["boost", "--output", "/out"], ["HOME", "ABSENT", "EMPTY"])
    assert entrypoint.main(command[3:]) == 2
    assert "lacks the secrets ABSENT, EMPTY:" in capsys.readouterr().err


@pytest.mark.parametrize("address", [None, "auto", "ray://head:10001", "http://", "http://head:port", "local"])
def test_an_address_that_takes_no_jobs_is_told(address) -> None:
    if address == "local":
        assert access.url_of("head:8265") == "http://head:8265"
        return
    with pytest.raises(UserError, match=r"expected the cluster's dashboard, such as http://HEAD:8265"):
        access.url_of(address)


def test_an_address_with_a_password_is_refused_and_not_shown() -> None:
    with pytest.raises(UserError, match="holds a user name or a password") as refused:
        access.url_of("http://user:hush@head:8265")
    assert "hush" not in str(refused.value)


def test_a_given_address_wins_over_rays_variables(monkeypatch) -> None:
    monkeypatch.setenv("RAY_ADDRESS", "http://other:8265")
    assert access.url_of("http://head:8265/") == "http://head:8265"
    assert access.url_of(None) == "http://other:8265"


def test_a_token_is_looked_for_where_ray_looks(monkeypatch, tmp_path) -> None:
    assert auth_token.find() is None
    home = tmp_path / "home" / ".ray"
    home.mkdir(parents=True)
    (home / "auth_token").write_text("at-home\n")
    assert auth_token.find() == ("at-home", str(home / "auth_token"))
    (tmp_path / "named").write_text("")
    monkeypatch.setenv("RAY_AUTH_TOKEN_PATH", str(tmp_path / "named"))
    with pytest.raises(UserError, match="is empty"):
        auth_token.find()
    monkeypatch.setenv("RAY_AUTH_TOKEN", "inline")
    assert auth_token.find() == ("inline", "RAY_AUTH_TOKEN")
    monkeypatch.setenv("RAY_AUTH_TOKEN", "hush\nhush")
    with pytest.raises(UserError, match="What RAY_AUTH_TOKEN holds is no token") as refused:
        auth_token.find()
    assert "hush" not in str(refused.value)


# Clusters that do not let us in


@pytest.fixture
def dashboard() -> Iterator[Callable[..., str]]:
    """`dashboard(mode, version)` is the address of something that answers as a dashboard does to somebody with a token."""
    servers = []

    def start(
        mode: str | None,
        version: object = "2.60.0",
        status: int = 200,
        job: bytes = b"",
        heard: list[str] | None = None,
    ) -> str:
        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                public = self.path.endswith("/api/authentication_mode")
                if heard is not None:
                    heard.append(f"{self.path} {self.headers['Authorization']}")
                answer = {"authentication_mode": mode} if public else {"ray_version": version}
                self.send_response(200 if public else status)
                self.end_headers()
                if self.path.startswith("/api/jobs/"):
                    self.wfile.write(job)
                else:
                    self.wfile.write(b"hello" if mode is None else json.dumps(answer).encode())

            do_POST = do_GET  # noqa: N815

            def log_message(self, *_: object) -> None:
                pass

        servers.append(http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler))
        threading.Thread(target=servers[-1].serve_forever, daemon=True).start()
        return f"http://127.0.0.1:{servers[-1].server_port}"

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


def refusal(address: str, without_token: bool = False) -> str:
    with pytest.raises(UserError) as refused:
        access.Cluster(address, without_token)
    return str(refused.value)


def test_without_a_token_nothing_is_asked() -> None:
    assert refusal("http://127.0.0.1:1").startswith("There is no token")


def test_every_way_not_to_be_let_in_is_one_sentence(dashboard, monkeypatch) -> None:
    monkeypatch.setenv("RAY_AUTH_TOKEN", "token")
    assert "Cannot reach a Ray cluster at http://127.0.0.1:1: [Errno 111]" in refusal("http://127.0.0.1:1")
    assert "is no dashboard of Ray" in refusal(dashboard(None))
    assert "asks for no token" in refusal(dashboard("disabled"))
    assert "does not let in the token from RAY_AUTH_TOKEN" in refusal(dashboard("token", status=401))
    assert "does not let in the token from RAY_AUTH_TOKEN" in refusal(dashboard("token", status=403))
    assert "runs Ray 2.9.3 and this machine Ray" in refusal(dashboard("token", version="2.9.3"))
    assert "Cannot reach" in refusal(dashboard("token", status=503))
    assert "it is no Ray dashboard (Invalid version: 'abc')" in refusal(dashboard("token", version="abc"))
    assert "it is no Ray dashboard" in refusal(dashboard("token", version=None))


def test_the_token_goes_through_no_proxy_and_netrc_does_not_take_its_place(dashboard, monkeypatch, tmp_path) -> None:
    import ray

    of_proxy: list[str] = []
    of_cluster: list[str] = []
    proxy = dashboard("token", ray.__version__, heard=of_proxy)
    for name in ("http_proxy", "HTTP_PROXY", "https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, proxy)
    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / ".netrc").write_text("machine 127.0.0.1 login u password p\ndefault login u password p\n")
    monkeypatch.setenv("RAY_AUTH_TOKEN", "token")
    access.Cluster(dashboard("token", ray.__version__, heard=of_cluster))
    assert of_cluster[0] == "/api/authentication_mode None"
    assert of_cluster[1] == "/api/version Bearer token"
    assert "without a proxy" in refusal("http://cluster.invalid:8265")
    assert of_proxy == []


@pytest.mark.parametrize("answer", [b"<html>", b"[1]", b'{"type": "SUBMISSION", "status": "WEIRD"}'])
def test_what_an_ingress_answers_in_the_dashboards_place_does_not_end_the_following(
    dashboard, monkeypatch, answer
) -> None:
    import ray

    monkeypatch.setenv("RAY_AUTH_TOKEN", "token")
    cluster = access.Cluster(dashboard("token", ray.__version__, job=answer))
    with pytest.raises(access.OutOfReachError, match="dashboard"):
        cluster.info("job")
    if b"status" not in answer:
        with pytest.raises(access.OutOfReachError, match="dashboard"):
            cluster.submit("job", "true", {}, {})


def test_certificates_that_are_not_there_are_named(monkeypatch) -> None:
    monkeypatch.setenv("RAY_AUTH_TOKEN", "token")
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", "/nowhere.pem")
    assert "/nowhere.pem that REQUESTS_CA_BUNDLE names" in refusal("https://127.0.0.1:1")


def test_a_cluster_without_tokens_must_be_wanted_and_on_this_machine(dashboard) -> None:
    import ray

    access.Cluster(dashboard("disabled", ray.__version__), without_token=True)
    assert "does not let in anybody without a token" in refusal(dashboard("token", status=401), without_token=True)
    assert access.is_loopback("http://localhost:8265")
    assert access.is_loopback("http://[::1]:8265")
    assert not access.is_loopback("http://10.0.0.1:8265")
    assert not access.is_loopback("http://localhost.example.org:8265")


# What became of a job


@pytest.mark.parametrize(
    ("record", "code", "lost"),
    [
        (("SUCCEEDED", 0, None, ""), 0, False),
        (("FAILED", 1, None, "1 row"), 1, False),
        (("FAILED", 2, None, "Error"), 2, False),
        (("FAILED", 3, None, "again"), 3, True),
        (("FAILED", 4, None, "cap"), 4, False),
        (("FAILED", -9, None, "Killed"), 3, True),
        (("FAILED", 137, None, "Killed"), 3, True),
        (("FAILED", 255, None, "exit(-1)"), 255, False),
        (("FAILED", 127, None, "sh: 1: exec: python: not found"), 2, False),
        (("FAILED", 1, None, "python: Error while finding module …: No module named 'midb_ray'"), 2, False),
        (("FAILED", None, "JOB_SUPERVISOR_ACTOR_DIED", "the node died"), 3, True),
        (("FAILED", None, "RUNTIME_ENV_SETUP_FAILURE", "no such package"), 2, False),
        (("STOPPED", None, None, ""), 3, False),
    ],
)
def test_the_exit_code_is_the_jobs_own_and_a_lost_job_is_told_from_one_that_failed(record, code, lost) -> None:
    found = following.ending(*record)
    assert (found.code, found.lost) == (code, lost)


class Wires:
    """A cluster whose connections break where each of `pieces` ends, but for the last; the job ends before that one."""

    def __init__(self, pieces: list[list[str]], unknown: bool = False) -> None:
        self.pieces, self.unknown = pieces, unknown

    async def tail(self, _: str) -> AsyncIterator[str]:
        for piece in self.pieces[0]:
            yield piece
        if len(self.pieces) > 1:
            self.pieces.pop(0)
            raise RuntimeError("WebSocket connection closed unexpectedly")

    def info(self, _: str) -> SimpleNamespace:
        if self.unknown:
            raise access.UnknownJobError
        status = SimpleNamespace(value="FAILED", is_terminal=lambda: len(self.pieces) == 1)
        return SimpleNamespace(status=status, driver_exit_code=4, error_type=None, message="cap")


def test_over_connections_that_break_a_log_is_written_once(monkeypatch) -> None:
    monkeypatch.setattr(following, "_PAUSE", 0)
    wires = Wires([["one\n", "tw"], ["one"], ["one\ntwo\nth", "ree\n"]])
    written: list[str] = []
    assert following.follow(wires, "job", written.append, 60).code == 4
    assert "".join(written) == "one\ntwo\nthree\n"


def test_a_head_that_begins_anew_has_lost_the_job() -> None:
    found = following.follow(Wires([["one\n"]], unknown=True), "job", lambda _: None, 60)
    assert (found.code, found.lost, found.with_head) == (3, True, True)


class Taking:
    """A cluster that takes every job, or none."""

    url, prefix = "http://head:8265", ""

    def __init__(self, takes: bool) -> None:
        self.takes = takes

    def submit(self, *_: object) -> None:
        if not self.takes:
            raise access.OutOfReachError("refused")


@pytest.mark.parametrize(
    ("takes", "is_lost", "words", "is_there"),
    [
        (True, False, "goes on without this terminal.", True),
        (True, True, "was lost and is not submitted again; the same command goes on from there.", False),
        (False, False, "goes on without this terminal, if the cluster took it at all.", True),
    ],
)
def test_who_leaves_is_told_what_is_true_of_the_job(monkeypatch, caplog, takes, is_lost, words, is_there) -> None:
    def leave(*_: object) -> None:
        raise KeyboardInterrupt

    lost = following.Ending(3, True, "it was killed")
    monkeypatch.setattr(submit, "follow", (lambda *_: lost) if is_lost else leave)
    monkeypatch.setattr(submit.time, "sleep", leave)
    job = submit.Job(("boost",), "/out", False)
    with caplog.at_level("INFO", logger="midb_ray"):
        assert submit._Submission(SubmitSettings(), job, Taking(takes), {}).run() == 130
    assert words in caplog.text
    assert ("Stop it:" in caplog.text) is is_there
