"""A user who has set nothing of Ray's."""

from __future__ import annotations

import pytest


@pytest.fixture
def no_token_and_no_address(monkeypatch, tmp_path) -> None:
    for name in ("RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH", "RAY_ADDRESS", "RAY_API_SERVER_ADDRESS"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
