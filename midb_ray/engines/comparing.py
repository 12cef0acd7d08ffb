"""An engine beside which a sentence encoder stands in the same process."""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

from midb_ray.engines import encoder_files
from midb_ray.engines.base import Comparison, Engine, Similarity
from midb_ray.engines.encoder_settings import EncoderSettings
from midb_ray.engines.wrapped import WrappedEngine

if TYPE_CHECKING:  # it takes torch along, which whoever only plans a job does without
    from midb_ray.engines.encoder import Encoder


class ComparingEngine(WrappedEngine):
    """Compares with the encoder. Shards take turns at it: one fills its batches."""

    def __init__(self, engine: Engine, encoder: Encoder) -> None:
        super().__init__(engine)
        self.isolated = False  # the encoder computes in the process that asks
        self._encoder = encoder
        self._turn = ThreadPoolExecutor(1, "encoder")

    async def similarity(self, rows: Sequence[Comparison]) -> list[Similarity]:
        """See `base.Comparer`."""
        return await asyncio.get_running_loop().run_in_executor(self._turn, self._encoder.similarities, rows)

    def close(self) -> None:
        self._turn.shutdown(cancel_futures=True)
        self._encoder.close()
        super().close()


def pinned(settings: EncoderSettings) -> EncoderSettings:
    """The same for processes elsewhere and later, see `registry.pinned`. Raises `UserError` for one that could not be
    used."""
    assert settings.model is not None  # else nobody asks
    commit = encoder_files.check(settings.model, settings.revision).commit
    if commit is not None:
        return settings.model_copy(update={"revision": commit})
    return settings.model_copy(update={"model": str(Path(settings.model).expanduser().resolve())})


def identity(settings: EncoderSettings) -> dict[str, Any]:
    """What of the encoder changes an output, as plain data and the same on every machine."""
    assert settings.model is not None  # else nobody asks
    return encoder_files.identity(settings.model, settings.revision)


def beside(build: Callable[[], Engine], settings: EncoderSettings) -> Callable[[], Engine]:
    """What builds the engine with the encoder beside it. The engine comes first: it takes its share of a device's memory."""
    return functools.partial(_build, build, settings)


def _build(build: Callable[[], Engine], settings: EncoderSettings) -> Engine:
    from midb_ray.engines import devices, encoder

    assert settings.model is not None  # else nobody asks
    place = devices.device(settings.device, "similarity.device")
    engine = build()
    try:
        return ComparingEngine(engine, encoder.load(settings.model, settings.revision, place))
    except BaseException:
        engine.close()
        raise
