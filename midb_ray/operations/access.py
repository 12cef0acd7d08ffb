"""Access to a cluster: its address, the token that it asks for, and Ray's client of its jobs, with errors in one sentence."""

from __future__ import annotations

import contextlib
import ipaddress
import os
import re
import urllib.parse
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from midb_ray.errors import UserError, one_line
from midb_ray.operations import auth_token

_ADDRESSES = ("RAY_API_SERVER_ADDRESS", "RAY_ADDRESS")
_SECONDS = (10, 120)  # to connect, and to wait for an answer: Ray's client would wait for ever
_ADVICE = "check --address, that the cluster is up, and that its dashboard can be reached from here without a proxy"
_USER = re.compile(r"://[^/?#\s]*@")


class UnknownJobError(Exception):
    """The cluster has no such job: another one, or one whose head has begun anew."""


class OutOfReachError(Exception):
    """The cluster does not answer, or not as it should; it may do so later."""


def url_of(address: str | None) -> str:
    """The dashboard's URL. Raises `UserError`."""
    found = address or next(filter(None, map(os.environ.get, _ADDRESSES)), None)
    expected = "expected the cluster's dashboard, such as http://HEAD:8265"
    if not found:
        raise UserError(f"No cluster is named: give --address or RAY_ADDRESS; {expected}.")
    if "://" not in found and found != "auto":
        found = f"http://{found}"
    if _USER.search(found):
        raise UserError(f"The address holds a user name or a password, which no cluster asks for: {expected}.")
    try:
        parts = urllib.parse.urlsplit(found)
        wrong = parts.scheme not in ("http", "https") or not parts.hostname or parts.port == 0
    except ValueError:
        wrong = True
    if wrong:
        raise UserError(f"The address {found!r} takes no jobs: {expected}.")
    return found.rstrip("/")


def session() -> Any:
    """A `requests.Session` that sends the token nowhere else: through no proxy, and nothing of ~/.netrc in its place."""
    import requests

    found = requests.Session()
    found.trust_env = False
    found.verify = _certificates()  # the one thing of the environment that is wanted
    return found


def _certificates() -> str | bool:
    for name in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"):
        if path := os.environ.get(name):
            if not Path(path).exists():
                raise UserError(f"The certificates {path} that {name} names do not exist; correct or unset it.")
            return path
    return True


class Cluster:
    """A cluster that has let us in. Its methods raise `OutOfReachError` where trying again may help."""

    def __init__(self, address: str | None, without_token: bool = False) -> None:
        """Raises `UserError` for a cluster that is not there, refuses our token, asks for none, or runs another Ray."""
        self.url = url_of(address)
        found = auth_token.find()
        if found is None and not without_token:
            raise UserError(
                "There is no token, and without one a cluster is open to everybody: put the cluster's own, the one in its "
                "~/.ray/auth_token, into the same file here, or into RAY_AUTH_TOKEN or a file named by RAY_AUTH_TOKEN_PATH."
            )
        self._refuse_open(without_token)
        secret, self._source = found or ("", "")
        self.prefix = "RAY_AUTH_MODE=token " if secret else ""  # without it Ray's own commands send no token
        try:
            self._client = _client(self.url, {"Authorization": f"Bearer {secret}"} if secret else {})
            theirs = str(self._client._server_ray_version)
        except OutOfReachError as error:
            raise UserError(f"Cannot reach a Ray cluster at {self.url}: {error}; {_ADVICE}.") from None
        except _Refused as error:
            raise self._refusal(error) from None
        import ray

        if theirs.split(".")[:2] != ray.__version__.split(".")[:2]:
            raise UserError(
                f"The cluster at {self.url} runs Ray {theirs} and this machine Ray {ray.__version__}; use the same release."
            )

    def submit(self, job: str, entrypoint: str, runtime_env: dict[str, Any], metadata: dict[str, str]) -> None:
        """Upload what is not there yet and start a job. Once is enough: a second time with the same name changes nothing."""
        try:
            self._client.submit_job(
                entrypoint=entrypoint,
                submission_id=job,
                runtime_env=runtime_env,
                metadata=metadata,
                entrypoint_num_cpus=0,
            )
        except _Refused as error:
            raise self._refusal(error) from None
        except OutOfReachError:
            with contextlib.suppress(UnknownJobError):  # it may have begun although its answer was lost
                self.info(job)
                return
            raise

    def info(self, job: str) -> Any:
        """Ray's `JobDetails`. Raises `UnknownJobError`."""
        try:
            return self._client.get_job_info(job)
        except _Refused as error:
            raise self._refusal(error) from None
        except (ValueError, TypeError) as error:
            raise OutOfReachError(f"it answers as no dashboard of this Ray does: {one_line(error)}") from None

    def tail(self, job: str) -> Any:
        """The job's log from its beginning, an async iterator of pieces that ends with the job."""
        return self._client.tail_job_logs(job)

    def _refuse_open(self, allowed: bool) -> None:
        import requests

        try:
            answer = session().get(f"{self.url}/api/authentication_mode", timeout=_SECONDS)
        except requests.exceptions.RequestException as error:
            raise UserError(f"Cannot reach a Ray cluster at {self.url}: {_reason(error)}; {_ADVICE}.") from None
        try:
            mode = str(answer.json()["authentication_mode"])
        except (ValueError, KeyError, TypeError):
            raise UserError(f"What answers at {self.url} is no dashboard of Ray 2.60 or later; {_ADVICE}.") from None
        if mode != "disabled" or (allowed and is_loopback(self.url)):
            return
        raise UserError(
            f"The cluster at {self.url} asks for no token, so everybody who reaches it can run code on it; start it with "
            "`midb-ray up`, or with RAY_AUTH_MODE=token and a token in ~/.ray/auth_token on every node"
            + (" (--without-token is for loopback addresses alone)." if allowed else ".")
        )

    def _refusal(self, error: _Refused) -> UserError:
        if error.status in (401, 403):
            whose = f"the token from {self._source}" if self._source else "anybody without a token"
            return UserError(
                f"The cluster at {self.url} does not let in {whose}; take the one in its ~/.ray/auth_token."
            )
        return UserError(f"The cluster at {self.url} does not take the job ({error.status}): {error}.")


def is_loopback(url: str) -> bool:
    """Whether only this machine is meant."""
    host = urllib.parse.urlsplit(url).hostname or ""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


class _Refused(Exception):  # noqa: N818
    def __init__(self, status: int, text: str) -> None:
        super().__init__(text)
        self.status = status


def _client(url: str, headers: dict[str, str]) -> Any:
    """Ray's client, whose every call ends in time and fails with one of our three errors."""
    import requests
    from ray.job_submission import JobSubmissionClient

    class Client(JobSubmissionClient):
        _session = session()

        def _do_request(self, method: str, endpoint: str, **options: Any) -> Any:
            data, body = options.pop("data", None), options.pop("json_data", None)
            try:
                answer = self._session.request(
                    *(method, self._address + endpoint),
                    **(options | {"data": data, "json": body, "headers": self._headers, "timeout": _SECONDS}),
                )
            except requests.exceptions.RequestException as error:
                raise OutOfReachError(_reason(error)) from None
            if answer.status_code in (401, 403):
                raise _Refused(answer.status_code, "")
            if answer.ok and endpoint.startswith("/api/jobs/"):
                with contextlib.suppress(ValueError):
                    if isinstance(answer.json(), dict):
                        return answer
                raise OutOfReachError("what answers is no dashboard of Ray")  # an ingress's page, perhaps
            return answer

        def _raise_error(self, answer: Any) -> None:
            last = (answer.text.strip().splitlines() or [answer.reason])[-1][:500].rstrip(".")
            if answer.status_code == 404:
                raise UnknownJobError(last)
            if answer.status_code >= 500 and "ValueError" not in last:
                raise OutOfReachError(f"it answered {answer.status_code}: {last}")
            raise _Refused(answer.status_code, last)

    with _unset(_ADDRESSES):  # they would win over the address that is given
        try:
            return Client(url, headers=headers, verify=_certificates())
        except requests.exceptions.HTTPError as error:
            raise OutOfReachError(str(error)) from None
        except (ValueError, KeyError, TypeError, RuntimeError) as error:
            raise OutOfReachError(f"it is no Ray dashboard ({one_line(error)})") from None


@contextlib.contextmanager
def _unset(names: tuple[str, ...]) -> Iterator[None]:
    kept = {name: os.environ.pop(name) for name in names if name in os.environ}
    try:
        yield
    finally:
        os.environ.update(kept)


def _reason(error: BaseException) -> str:
    """The innermost error's words; `requests` wraps the system's in three others."""
    while (inner := error.__cause__ or error.__context__) is not None:
        error = inner
    return one_line(error).rstrip(".")
