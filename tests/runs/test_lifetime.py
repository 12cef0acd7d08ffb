"""What Prometheus learns of a driver's beginning and end."""

from __future__ import annotations

import pytest

from midb_ray.runs.lifetime import lifetime
from midb_ray.runs.metrics import Metrics


@pytest.mark.parametrize(
    ("error", "in_order"), [(None, True), (KeyboardInterrupt(), True), (OSError("no storage"), False)]
)
def test_an_end_is_told_unless_it_is_an_error(monkeypatch, error: BaseException | None, in_order: bool) -> None:
    told: list[tuple[str, float]] = []
    monkeypatch.setattr(Metrics, "_record", lambda _, name, value, labels: told.append((name, value)))

    def drive() -> None:
        with lifetime("boost", "s3://b/run"):
            assert [name for name, _ in told] == ["midb_ray_start_time_seconds"]
            if error is not None:
                raise error

    if error is None:
        drive()
    else:
        with pytest.raises(type(error)):
            drive()
    assert [name for name, _ in told[1:]] == ["midb_ray_end_time_seconds"] * in_order
    assert told == sorted(told, key=lambda one: one[1])
    assert told[0][1] > 1.7e9
