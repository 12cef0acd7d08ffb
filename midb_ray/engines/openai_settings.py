"""What only the openai engine can be told."""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from pydantic import BeforeValidator, Field, ValidationInfo, field_validator

from midb_ray.config import Settings
from midb_ray.mappings import mapping

KEY_VARIABLE = "OPENAI_API_KEY"
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,127}")
_OURS = {
    "model": "engine.model",
    "max_tokens": "engine.max_new_tokens",
    "max_completion_tokens": "engine.max_new_tokens",
    "response_format": "engine.openai.json_answers",
}
_NEVER = {
    "messages": "the prompt is the one message",
    "n": "each answer is a request of its own",
    "stream": "answers are read whole",
    "tools": "an answer is text",
}


class OpenaiSettings(Settings):
    """Settings of the openai engine: any HTTP server that speaks OpenAI's chat completions."""

    base_url: str = "https://api.openai.com/v1"
    """Where the server is; /chat/completions is added to it. Not part of a run's fingerprint."""
    key_variable: str = KEY_VARIABLE
    """Name of the environment variable that holds the key, read where the engines run; only OPENAI_API_KEY may be unset, for
    servers that ask for none."""
    concurrency: int = Field(default=32, ge=1, le=4096)
    """Requests at the same time, of each engine of the pool."""
    request_timeout: float = Field(default=300.0, gt=0)
    """Seconds that one try of a request may take."""
    retries: int = Field(default=5, ge=0, le=100)
    """Further tries where the row could be at fault: error 500, a time-out, a broken connection, an answer that is no JSON. Then
    the row ends with an error."""
    backoff: float = Field(default=0.5, gt=0, le=60)
    """Seconds before the second try, twice as many before each further one, up to 60, with chance in them. What the server asks for
    in Retry-After counts where it is longer."""
    patience: float = Field(default=600.0, ge=0)
    """Seconds for which a server may refuse everybody, be overloaded or be gone; then the job stops and can go on later. A row
    that is held back more often than `retries` and for longer, while others are answered, ends with an error."""
    limit_field: Literal["auto", "max_tokens", "max_completion_tokens"] = "auto"
    """The name under which the server takes the most new tokens. auto is max_tokens, and max_completion_tokens once the server
    asks for that."""
    json_answers: bool = False
    """Ask for answers that are a JSON object (response_format json_object); the prompt has to speak of JSON too."""
    body: Annotated[dict[str, Any], BeforeValidator(mapping)] = Field(default_factory=dict)
    """Further fields of each request as a mapping, on the command line as JSON, such as {"reasoning_effort": "low"}; null leaves
    out a field that is sent otherwise, such as temperature. It is written down with the run: no place for secrets."""
    prompt_price: float | None = Field(default=None, ge=0)
    """What a million tokens of prompts cost, in any currency."""
    answer_price: float | None = Field(default=None, ge=0, validate_default=True)
    """What a million generated tokens cost, in the same currency."""

    @field_validator("base_url")
    @classmethod
    def _is_an_address_without_secrets(cls, value: str) -> str:
        if "@" in value:
            raise ValueError("an address is written down with the run, so it has no user and no password in it")
        try:
            parts = urlsplit(value)
            usable = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
        except ValueError:
            usable = False
        if not usable or parts.query or parts.fragment or not re.fullmatch(r"[!-~]+", value):
            raise ValueError(
                f"expected an address such as https://host/v1 (http or https, no query), found {value[:200]!r}"
            )
        return value.rstrip("/").removesuffix("/chat/completions")

    @field_validator("key_variable")
    @classmethod
    def _is_a_name(cls, value: str) -> str:
        if not _NAME.fullmatch(value):
            raise ValueError("expected the name of an environment variable, such as OPENAI_API_KEY, and not a key")
        return value

    @field_validator("body")
    @classmethod
    def _says_nothing_else(cls, value: dict[str, Any]) -> dict[str, Any]:
        for name in value:
            if name in _OURS:
                raise ValueError(f"{name} is said by {_OURS[name]}, set that")
            if name in _NEVER:
                raise ValueError(f"{name} cannot be set: {_NEVER[name]}")
        return value

    @field_validator("answer_price")
    @classmethod
    def _prices_come_together(cls, value: float | None, info: ValidationInfo) -> float | None:
        if "prompt_price" in info.data and (value is None) != (info.data["prompt_price"] is None):
            raise ValueError(
                "a cost needs both prices; give engine.openai.prompt_price and answer_price (0 is a price)"
            )
        return value

    def cost(self, prompt_tokens: int, answer_tokens: int) -> float:
        """What so many tokens cost; 0 where no prices are given."""
        return (prompt_tokens * (self.prompt_price or 0.0) + answer_tokens * (self.answer_price or 0.0)) / 1e6
