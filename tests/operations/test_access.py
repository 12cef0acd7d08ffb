"""Who is asked, with which token, and every way not to be let in."""

from __future__ import annotations

import http.server
import json
import threading
from collections.abc import Callable, Iterator

import pytest

from midb_ray.errors import UserError
from midb_ray.operations import access, auth_token

pytestmark = pytest.mark.usefixtures("no_token_and_no_address")


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
