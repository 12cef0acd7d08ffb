"""The length of translations."""

from __future__ import annotations

import pytest

from midb_ray.locales import load_locales
from midb_ray.signals.lengths import ratio


def test_every_built_in_language_is_measured_and_the_way_back_is_the_inverse() -> None:
    for locale in load_locales():
        there, back = ratio("en", locale.language, 0.0), ratio(locale.language, "en", 0.0)
        assert 0.3 < there < 1.3
        assert there * back == pytest.approx(1)


def test_what_was_not_measured_is_what_the_caller_takes_it_for() -> None:
    assert ratio("en", "xx") == 1.0
    assert ratio("xx", "en", 0.7) == 0.7
