"""Which engine answers, with which model and how."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, ValidationInfo, field_validator

from midb_ray.config import Settings
from midb_ray.engines.openai_settings import OpenaiSettings
from midb_ray.engines.vllm_settings import VllmSettings

DType = Literal["auto", "bfloat16", "float16", "float32"]


class EngineSettings(Settings):
    """The engine that answers prompts."""

    kind: Literal["echo", "transformers", "vllm", "openai"] = "transformers"
    """`vllm` runs a causal language model on GPUs, several of one node if the pool gives it several; `transformers` runs any of
    Hugging Face's anywhere; `openai` asks a server that speaks OpenAI's chat completions; `echo` makes small fixed edits without a
    model, for tests and for measuring everything around the engine."""
    model: str | None = Field(default=None, validate_default=True)
    """Directory or hub id of the model (safetensors only; code that comes with a model is never run); for openai the name under
    which the server has it."""
    revision: str | None = None
    """Branch, tag or commit of a hub id; not for directories."""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    """Where the model runs; auto is cuda where there is one."""
    dtype: DType = "auto"
    """Type of the weights; auto is bfloat16 on CUDA and on CPUs that compute in it, else float32."""
    threads: int | None = Field(default=None, ge=1)
    """CPU threads of the model; none leaves what torch and OMP_NUM_THREADS say."""
    max_new_tokens: int = Field(default=2048, ge=1, le=2**24)
    """Upper limit of an answer in tokens."""
    answer_budget: float = Field(default=2.0, gt=0)
    """A pair of n tokens gets at most answer_budget x n + answer_floor new tokens, so that a booster caught in a loop
    cannot hold up its batch; the defaults hold for at least 98.6 % of expert revisions in each of 14 languages."""
    answer_floor: int = Field(default=512, ge=0)
    """New tokens that a pair of any length may have; see answer_budget."""
    context: int | None = Field(default=None, ge=2)
    """Prompt and answer together have at most so many tokens; none takes the model's own bound."""
    memory_share: float = Field(default=0.9, gt=0, le=1)
    """Share of a GPU's memory for the model and its cache of keys and values."""
    batching: Literal["auto", "continuous", "static"] = "auto"
    """transformers only. continuous: a row that is done makes room for the next at once, in a paged cache; static: batches of
    rows of like length. auto is continuous where model, transformers version and settings allow it (not with guided or a
    temperature)."""
    batch_tokens: int = Field(default=32_768, ge=1)
    """transformers only. Tokens in the cache of keys and values. Static batches have rows x (longest prompt + longest limit),
    and halve when memory runs out; continuous batching takes this on CPUs and memory_share on GPUs."""
    temperature: float = Field(default=0.0, ge=0, le=10)
    """0 always takes the likeliest token."""
    top_p: float = Field(default=1.0, gt=0, le=1, validate_default=False)
    """Sample from the likeliest tokens that together have this probability."""
    seed: int = Field(default=0, ge=0, lt=2**32)
    """Of sampling; with the prompt it decides an answer, whatever else is in the batch."""
    guided: bool = False
    """Hold answers to the form of a pair, for small or weak boosters: markers once and in order, no end before the
    response, and a response at the latest when instruction and input have 1.5 x their tokens + 64."""
    vllm: VllmSettings = VllmSettings()
    openai: OpenaiSettings = OpenaiSettings()
    echo_delay: float = Field(default=0.0, ge=0)
    """Echo only: seconds per request."""
    echo_fail_on: str | None = Field(default=None, min_length=1)
    """Echo only: a call with this text in a prompt raises, as an engine does on a poisonous row."""
    echo_crash_on: str | None = Field(default=None, min_length=1)
    """Echo only: a call with this text in a prompt ends the process at once, as a dead CUDA context does."""

    @property
    def takes_text(self) -> bool:
        """Whether prompts go to the engine as text; to the others they go as ids of their model's tokenizer."""
        return self.kind in ("echo", "openai")

    @field_validator("model")
    @classmethod
    def _engines_but_echo_have_a_model(cls, model: str | None, info: ValidationInfo) -> str | None:
        kind = info.data.get("kind")
        if kind in ("transformers", "vllm") and not model:
            raise ValueError(f"the {kind} engine needs a model directory or a hub id")
        if kind == "openai" and not model:
            raise ValueError("the openai engine needs the name under which the server has the model")
        if kind == "echo" and model is not None:
            raise ValueError("the echo engine has no model, leave it out or choose kind transformers")
        return model

    @field_validator("revision")
    @classmethod
    def _revision_needs_a_model(cls, revision: str | None, info: ValidationInfo) -> str | None:
        if revision is not None and info.data.get("kind") == "echo":
            raise ValueError("the echo engine has no model, so no revision of it")
        if revision is not None and info.data.get("kind") == "openai":
            raise ValueError("which revision a server has is its own affair, leave it out")
        return revision

    @field_validator("context")
    @classmethod
    def _context_needs_a_tokenizer(cls, context: int | None, info: ValidationInfo) -> int | None:
        if context is not None and info.data.get("kind") == "openai":
            raise ValueError(
                "the openai engine has no tokenizer to count with and the server sets the bound, leave it out"
            )
        return context

    @field_validator("temperature")
    @classmethod
    def _sampling_needs_static_batches(cls, temperature: float, info: ValidationInfo) -> float:
        if temperature > 0 and info.data.get("batching") == "continuous":
            raise ValueError("sampling by the row needs static batches; leave engine.batching at auto")
        return temperature

    @field_validator("batching")
    @classmethod
    def _batching_is_of_transformers(cls, batching: str, info: ValidationInfo) -> str:
        if batching != "auto" and info.data.get("kind") != "transformers":
            raise ValueError("only the transformers engine has a choice, leave it at auto")
        return batching

    @field_validator("top_p")
    @classmethod
    def _top_p_needs_sampling(cls, top_p: float, info: ValidationInfo) -> float:
        if top_p < 1 and info.data.get("temperature") == 0:
            raise ValueError("it has no effect at temperature 0; set a temperature or leave it at 1")
        return top_p

    @field_validator("guided")
    @classmethod
    def _guided_needs_tokens(cls, guided: bool, info: ValidationInfo) -> bool:
        if guided and info.data.get("kind") == "echo":
            raise ValueError("the echo engine writes no tokens that could be guided, leave it out")
        if guided and info.data.get("kind") == "vllm":
            raise ValueError("the vllm engine cannot guide answers, leave it out or choose kind transformers")
        if guided and info.data.get("kind") == "openai":
            raise ValueError("the openai engine cannot guide answers, leave it out or choose kind transformers")
        if guided and info.data.get("batching") == "continuous":
            raise ValueError("guided answers need static batches; leave engine.batching at auto")
        return guided

    @field_validator("echo_delay", "echo_fail_on", "echo_crash_on")
    @classmethod
    def _echo_only(cls, value: float | str | None, info: ValidationInfo) -> float | str | None:
        if value and info.data.get("kind") != "echo":
            raise ValueError("this belongs to the echo engine, leave it out or choose kind echo")
        return value

    @field_validator("vllm")
    @classmethod
    def _vllm_only(cls, value: VllmSettings, info: ValidationInfo) -> VllmSettings:
        if value != VllmSettings() and info.data.get("kind") != "vllm":
            raise ValueError("this belongs to the vllm engine, leave it out or choose kind vllm")
        return value

    @field_validator("openai")
    @classmethod
    def _openai_only(cls, value: OpenaiSettings, info: ValidationInfo) -> OpenaiSettings:
        if value != OpenaiSettings() and info.data.get("kind") != "openai":
            raise ValueError("this belongs to the openai engine, leave it out or choose kind openai")
        return value
