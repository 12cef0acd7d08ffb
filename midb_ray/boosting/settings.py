"""The settings of the boost job, and which of them an output depends on."""

from __future__ import annotations

from typing import Any

import pydantic

from midb_ray import prompts
from midb_ray.boosting.gate_settings import GateSettings
from midb_ray.boosting.guard_settings import GuardSettings
from midb_ray.boosting.reasons import REASONS
from midb_ray.corpora.settings import PoolJobSettings
from midb_ray.pairs import DECISIONS


class BoostSettings(PoolJobSettings):
    """Rewrite an instruction corpus with a booster: every pair comes out once, boosted where the guard accepts it."""

    template: prompts.Template = "locale"
    """Prompt template: locale names language, region and conventions; plain is the published one."""
    gate: GateSettings = GateSettings()
    guard: GuardSettings = GuardSettings()
    samples: int = pydantic.Field(1, ge=1, le=64)
    """Answers for each pair, of which the first that the guard accepts is taken; more than one need a temperature."""
    only: tuple[str, ...] = ()
    """The input is the folder of an earlier boost run, of which only pairs with these decisions (kept_original:truncated: with this
    reason) are tried again, from their raw texts; all others go over as they are."""

    @pydantic.field_validator("samples")
    @classmethod
    def _samples_differ(cls, samples: int, info: pydantic.ValidationInfo) -> int:
        engine = info.data.get("engine")
        if samples > 1 and engine is not None and engine.temperature == 0:
            raise ValueError(
                f"{samples} samples would all be the same at engine.temperature 0; set a temperature or leave samples at 1"
            )
        return samples

    @pydantic.field_validator("only")
    @classmethod
    def _is_a_decision(cls, only: tuple[str, ...], info: pydantic.ValidationInfo) -> tuple[str, ...]:
        for one in only:
            decision, colon, reason = one.partition(":")
            if decision not in DECISIONS or (colon and (decision != "kept_original" or reason not in REASONS)):
                raise ValueError(
                    f"expected {', '.join(DECISIONS)}, or kept_original:REASON with a reason that the guard or the engine gives, "
                    f"found {one!r}"
                )
        if only and len(info.data.get("input", ("",))) != 1:
            raise ValueError(f"expected the folder of one earlier run as input, found {len(info.data['input'])} inputs")
        for name, nothing in (("format", "auto"), ("language", None)):
            if only and info.data.get(name, nothing) != nothing:
                raise ValueError(f"the earlier run has settled what {name} stands for; leave {name} out")
        return tuple(sorted(set(only)))


def fingerprint(settings: BoostSettings, engine: dict[str, Any], locales: dict[str, Any]) -> dict[str, Any]:
    """What an output of boosting depends on, beside the input files: flat keys, plain values."""
    guard = {f"guard.{key}": value for key, value in settings.guard.model_dump(mode="json").items()}
    gate = {f"gate.{key}": value for key, value in settings.gate.model_dump(mode="json", exclude_defaults=True).items()}
    # What is left at its default is left out, so that runs from before these settings go on.
    added = {
        **({"samples": settings.samples} if settings.samples > 1 else {}),
        **({"only": list(settings.only)} if settings.only else {}),
    }
    return {
        **{f"engine.{key}": value for key, value in engine.items()},
        **guard,
        **gate,
        **added,
        "template": settings.template,
        **settings.reading(locales),
    }
