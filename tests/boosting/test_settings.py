"""Which settings go together, and what a run's fingerprint is made of."""

from __future__ import annotations

from typing import Any

import pytest

from midb_ray import config
from midb_ray.boosting.settings import BoostSettings, fingerprint
from midb_ray.errors import UserError


def settings(**more: Any) -> BoostSettings:
    given = {"input": ["a"], "output": "b", "engine": {"kind": "echo"}, **more}
    return config.validate(BoostSettings, given)


@pytest.mark.parametrize(
    ("more", "told"),
    [
        ({"samples": 4}, "samples: 4 samples would all be the same at engine.temperature 0"),
        ({"caps": {"tokens": 9}}, "caps: the echo engine counts no tokens"),
        ({"caps": {"cost": 9}}, "caps.cost: expected caps.cost_per_hour"),
        ({"only": ["kept"]}, "only: expected boosted, unchanged, kept_original, skipped, or kept_original:REASON"),
        ({"only": ["kept_original:truncate"]}, "found 'kept_original:truncate'"),
        ({"only": ["boosted:truncated"]}, "found 'boosted:truncated'"),
        ({"only": ["kept_original:"]}, "found 'kept_original:'"),
        ({"only": ["skipped"], "input": ["a", "b"]}, "the folder of one earlier run as input, found 2 inputs"),
        ({"only": ["skipped"], "language": "de"}, "the earlier run has settled what language stands for"),
        ({"only": ["skipped"], "format": "alpaca"}, "the earlier run has settled what format stands for"),
        ({"gate": {"column": "score"}}, "gate.at_most: expected at_least or at_most"),
    ],
)
def test_settings_that_contradict_each_other_are_one_sentence(more: dict[str, Any], told: str) -> None:
    with pytest.raises(UserError) as refused:
        settings(**more)
    assert told in str(refused.value)
    assert "\n" not in str(refused.value)


def test_settings_that_are_left_alone_leave_the_fingerprint_of_earlier_runs_alone() -> None:
    found = fingerprint(settings(), {"kind": "echo"}, {})
    assert not any(key.partition(".")[0] in ("gate", "caps", "samples", "only") for key in found)


def test_gate_samples_and_choice_change_outputs_and_caps_do_not() -> None:
    more = {
        "engine": {"kind": "echo", "temperature": 1},
        "gate": {"column": "score", "at_least": 4},
        "samples": 3,
        "only": ["skipped", "kept_original", "skipped"],
        "caps": {"hours": 3},
    }
    found = fingerprint(settings(**more), {"kind": "echo"}, {})
    before = fingerprint(settings(), {"kind": "echo"}, {})
    assert {key: value for key, value in found.items() if before.get(key) != value} == {
        "gate.column": "score",
        "gate.at_least": 4.0,
        "samples": 3,
        "only": ["kept_original", "skipped"],
    }
