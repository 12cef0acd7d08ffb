"""The forecast on the terminal and in a file."""

from __future__ import annotations

import json
from pathlib import Path

from rich.console import Console

from midb_ray.errors import UserError
from midb_ray.operations import forecast, forecast_table
from midb_ray.operations.forecast_settings import PlanSettings

_WIDE = 160  # columns where the output is no terminal: tables in a log are not to be cut


def tell(settings: PlanSettings) -> None:
    """Print the forecast and write the file that was asked for. Raises `UserError`."""
    found = forecast.plan(settings)
    forecast_table.show(console(), settings, found)
    if settings.write is not None:
        try:
            Path(settings.write).write_text(json.dumps(found.to_dict(), ensure_ascii=False, indent=1), encoding="utf-8")
        except OSError as error:
            raise UserError(
                f"Cannot write {settings.write}: {error.strerror}; give another file with --write."
            ) from None


def console() -> Console:
    """Where it is shown. Names of models, machines and languages are printed as they are, brackets and all."""
    found = Console(markup=False, emoji=False)
    return found if found.is_terminal else Console(width=_WIDE, markup=False, emoji=False)
