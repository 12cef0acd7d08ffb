"""The length of translations."""

from __future__ import annotations

import pytest

from midb_ray.locales import load_locales
from midb_ray.signals.lengths import ratio


def test_every_built_in_language_is_measured_and_the_way_back_is_the_inverse() -> None:
    for locale in load_locales():
        there, back = ratio("en", locale.language), ratio(locale.language, "en")
        assert 0.3 < there < 1.3
        assert there * back == pytest.approx(1)


def test_what_was_not_measured_is_taken_to_be_as_long() -> None:
    assert ratio("en", "xx") == ratio("xx", "en") == 1.0
