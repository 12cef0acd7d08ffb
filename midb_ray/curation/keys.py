"""The keys by which duplicates meet, and the sketches by which they are verified.

A unit has a key of all its texts as they are, and where near duplicates are looked for one for each band of its MinHash signature.
"""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import xxhash

from midb_ray.curation.select_settings import SelectSettings
from midb_ray.runs import buckets
from midb_ray.signals import minhash

_SCHEMA: Final = pa.schema([(buckets.KEY, pa.uint64()), ("unit", pa.int64()), ("sketch", pa.binary(minhash.SKETCH))])
_SECTION: Final = 8  # bytes that tell a text's length, so that texts put together stay apart


def unit_bytes(settings: SelectSettings) -> int:
    """What a unit takes in the buckets, before compression."""
    bands = 0 if settings.near_duplicates is None else minhash.VALUES // minhash.band_rows(settings.near_duplicates)
    return (bands + 1) * (8 + 8 + minhash.SKETCH) if settings.finds_duplicates else 0


def digest(language: str, texts: list[str]) -> bytes:
    """128 bits that are the same for the same texts, in the same language, only."""
    found = xxhash.xxh3_128()
    for text in (language, *texts):
        content = text.encode()
        found.update(len(content).to_bytes(_SECTION, "little"))
        found.update(content)
    return found.digest()


def first_alike(digests: list[bytes], passes: npt.NDArray[np.bool_]) -> npt.NDArray[np.int64]:
    """For each unit the first one that passes and has the same texts; of those that do not pass themselves."""
    known: dict[bytes, int] = {}
    return np.array(
        [known.setdefault(digest, place) if passes[place] else place for place, digest in enumerate(digests)], np.int64
    )


def table(
    settings: SelectSettings,
    units: npt.NDArray[np.int64],
    languages: list[str],
    texts: list[list[str]],
    digests: list[bytes],
) -> pa.Table:
    """All keys of some units, with a sketch beside each to verify by; where only the same texts count, it is the digest."""
    exact = np.frombuffer(b"".join(digests), np.uint64).reshape(-1, 2)
    keys, marks = exact[:, :1], exact.view(np.uint8).repeat(minhash.SKETCH // 16, axis=1)
    if settings.near_duplicates is not None:
        found = minhash.signatures(["\n".join(filter(None, some)) for some in texts])
        seeds = np.array([xxhash.xxh3_64_intdigest(language.encode()) for language in languages], np.uint64)
        bands = minhash.band_keys(found, minhash.band_rows(settings.near_duplicates), seeds)
        keys, marks = np.concatenate([keys, bands], axis=1), minhash.sketch(found)
    copies = keys.shape[1]
    flat = pa.py_buffer(np.ascontiguousarray(np.repeat(marks, copies, axis=0)))
    columns = [
        pa.array(keys.ravel()),
        pa.array(np.repeat(units, copies)),
        pa.FixedSizeBinaryArray.from_buffers(pa.binary(minhash.SKETCH), len(units) * copies, [None, flat]),
    ]
    return pa.Table.from_arrays(columns, schema=_SCHEMA)


def sketches(bucket: pa.Table) -> npt.NDArray[np.uint8]:
    """The sketches beside the keys of a bucket, one a row."""
    column = bucket.column("sketch").combine_chunks()
    if not len(column):
        return np.empty((0, minhash.SKETCH), np.uint8)
    content = np.frombuffer(column.buffers()[1], np.uint8)[column.offset * minhash.SKETCH :]
    return content[: len(column) * minhash.SKETCH].reshape(-1, minhash.SKETCH)
