"""Which revisions are trained on and which validated on: pure functions of a few numbers a row.

Whatever is left to chance goes by hashes of what a row says and of its source under the seed, so the choice depends neither on
the order of files nor on how they were cut into shards.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import xxhash

from midb_ray.errors import UserError
from midb_ray.training.selection_settings import SelectionSettings

Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]
Hashes = npt.NDArray[np.uint64]


class Chosen(NamedTuple):
    """The rows of a set in their order: which candidate, its how many-th copy (from 1), and whether it is an example of a pair
    with nothing to change, the revised pair on both sides."""

    candidates: Ints
    copies: Ints
    unchanged: Bools


class Selection(NamedTuple):
    """What becomes of the candidates: masks over them, and the two sets. `repeated` ones say what another row says already;
    `selected` ones go into one of the sets."""

    identical: Bools
    repeated: Bools
    selected: Bools
    train: Chosen
    validation: Chosen


def select(
    candidates: pa.Table, settings: SelectionSettings, seed: int, unusable: Mapping[str, int] | None = None
) -> Selection:
    """Choose among the rows of a table of `revisions.CANDIDATE_SCHEMA`; `unusable` rows by reason are for messages only.

    Within each language those with the largest edit distance are selected (CoachLM, arXiv 2311.13246; MIDB, arXiv 2505.17671).
    The split is by source over all languages, so that no translation of a validation row is ever trained on. Both sets are
    ordered by source, at random, and by language within a source.

    Raises `UserError` if nothing is left to train on, or less than `settings.minimum` in a language.
    """
    languages, codes = _codes(candidates)
    distances = candidates.column("distance").to_numpy()
    content, source = candidates.column("content").to_numpy(), candidates.column("source").to_numpy()
    identical = distances == 0
    first = _first(candidates, codes, ~identical)
    repeated = ~identical & (first != np.arange(len(codes)))
    distinct = ~identical & ~repeated
    if not distinct.any():
        raise UserError(_nothing(identical, unusable or {}))
    tie = mixed(content, seed, "tie")
    selected = _largest(codes, distances, tie, distinct, settings)
    group = _groups(source, first, repeated, seed)
    validated = selected & _validated(group, selected, settings.validation)
    trained = selected & ~validated
    if not trained.any():
        raise UserError(
            f"No revisions are left to train on: all {selected.sum()} selected ones come from the sources that "
            f"selection.validation ({settings.validation:g}) keeps back; lower it or give more sources."
        )
    _check_minimum(languages, codes, trained, validated, distinct, settings.minimum)
    order = np.lexsort((tie, codes, group))
    train = _tempered(np.flatnonzero(trained), codes, tie, settings.temperature)
    train = _with_unchanged(train, codes, mixed(content, seed, "unchanged"), settings.unchanged_share)
    rest = np.flatnonzero(validated)
    validation = Chosen(rest, np.ones(len(rest), np.int64), np.zeros(len(rest), bool))
    place = np.empty(len(order), np.int64)
    place[order] = np.arange(len(order))
    return Selection(identical, repeated, selected, _ordered(train, place), _ordered(validation, place))


def mixed(values: Hashes, seed: int, purpose: str) -> Hashes:
    """Hashes of hashes under a seed, other ones for each purpose; equal only where the values are. The finaliser of SplitMix64
    (Steele, Lea and Flood 2014)."""
    found = values ^ np.uint64(xxhash.xxh3_64_intdigest(f"{seed}/{purpose}".encode()))
    found = (found ^ (found >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    found = (found ^ (found >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return np.asarray(found ^ (found >> np.uint64(31)), np.uint64)


def _codes(candidates: pa.Table) -> tuple[list[str], Ints]:
    """The languages in their order, and each row's as a place among them."""
    names, codes = np.unique(np.array(candidates.column("language").to_pylist(), dtype=object), return_inverse=True)
    return [str(name) for name in names], codes.astype(np.int64)


def _first(candidates: pa.Table, codes: Ints, among: Bools) -> Ints:
    """For each row `among` the one that stands for all that say the same in its language; the rows themselves for others."""
    content, source, name = (candidates.column(key).to_numpy() for key in ("content", "source", "name"))
    has_source = candidates.column("has_source").to_numpy(zero_copy_only=False)
    found = np.arange(len(codes))
    order = np.lexsort((name, source, ~has_source, content, codes))
    order = order[among[order]]
    if len(order):
        begins = np.ones(len(order), bool)
        begins[1:] = (content[order[1:]] != content[order[:-1]]) | (codes[order[1:]] != codes[order[:-1]])
        found[order] = order[begins][np.cumsum(begins) - 1]
    return found


def _largest(codes: Ints, distances: Ints, tie: Hashes, distinct: Bools, settings: SelectionSettings) -> Bools:
    """The rows of each language with the largest distance: a share of them, or a number."""
    chosen = np.zeros(len(codes), bool)
    for rows in _by_language(codes, np.flatnonzero(distinct)):
        number = settings.count if settings.count is not None else max(round(settings.share * len(rows)), 1)
        chosen[rows[np.lexsort((tie[rows], -distances[rows].astype(np.int64)))[:number]]] = True
    return chosen


def _groups(source: Hashes, first: Ints, repeated: Bools, seed: int) -> Hashes:
    """A hash for each row's source; sources that have a row in common are one: the translations of either are those of both."""
    sources, labels = np.unique(source, return_inverse=True)
    least = mixed(sources, seed, "source")
    here, there = labels[np.flatnonzero(repeated)], labels[first[repeated]]
    while True:
        lower = np.minimum(least[here], least[there])
        before = least.copy()
        np.minimum.at(least, here, lower)
        np.minimum.at(least, there, lower)
        if np.array_equal(before, least):
            return np.asarray(least[labels], np.uint64)


def _validated(group: Hashes, selected: Bools, share: float) -> Bools:
    """The rows of the sources that are kept for validation: those whose hashes are smallest."""
    sources = np.unique(group[selected])
    number = round(share * len(sources))
    if share > 0 and len(sources) > 1:
        number = max(number, 1)
    return np.asarray(np.isin(group, sources[:number]), bool)


def _tempered(rows: Ints, codes: Ints, tie: Hashes, temperature: float) -> Chosen:
    """The training rows with their languages' sizes evened out: weights n^(1/T), the number of rows in all as it was. A language
    that grows repeats all its rows equally often, but for one; one that shrinks leaves rows out at random."""
    parts = list(_by_language(codes, rows))
    sizes = np.array([len(part) for part in parts], np.int64)
    found, copies = [], []
    for part, target in zip(parts, _targets(sizes, temperature), strict=True):
        part = part[np.argsort(tie[part])]
        found.append(np.resize(part, target))
        copies.append(np.arange(target) // len(part) + 1)
    chosen = np.concatenate(found)
    return Chosen(chosen, np.concatenate(copies), np.zeros(len(chosen), bool))


def _targets(sizes: Ints, temperature: float) -> Ints:
    """How many rows each language is to have: rounded so that the sum stays what it is, largest remainders first."""
    if temperature == 1:
        return sizes
    weights = sizes.astype(np.float64) ** (1 / temperature)
    exact = sizes.sum() * weights / weights.sum()
    targets: Ints = np.floor(exact).astype(np.int64)
    targets[np.argsort(targets - exact, kind="stable")[: sizes.sum() - targets.sum()]] += 1
    return targets


def _with_unchanged(train: Chosen, codes: Ints, chance: Hashes, share: float) -> Chosen:
    """The training rows and, of a share of them in each language, examples with nothing to change; first copies come first."""
    added = []
    for places in _by_language(codes[train.candidates], np.arange(len(train.candidates))):
        order = np.lexsort((chance[train.candidates[places]], train.copies[places]))
        added.append(places[order[: round(share * len(places))]])
    more = np.concatenate(added)
    return Chosen(
        np.concatenate([train.candidates, train.candidates[more]]),
        np.concatenate([train.copies, train.copies[more]]),
        np.concatenate([train.unchanged, np.ones(len(more), bool)]),
    )


def _ordered(chosen: Chosen, place: Ints) -> Chosen:
    order = np.lexsort((chosen.unchanged, chosen.copies, place[chosen.candidates]))
    return Chosen(chosen.candidates[order], chosen.copies[order], chosen.unchanged[order])


def _by_language(codes: Ints, rows: Ints) -> Iterator[Ints]:
    """`rows` apart by their language, languages in their order."""
    for code in np.unique(codes[rows]):
        yield rows[codes[rows] == code]


def _nothing(identical: Bools, unusable: Mapping[str, int]) -> str:
    reasons = ", ".join(f"{rows:,} {reason}" for reason, rows in sorted(unusable.items()))
    broken = sum(unusable.values())
    return (
        f"No revisions are left: of {len(identical) + broken:,} rows read, {broken:,} are unusable"
        f"{f' ({reasons})' if reasons else ''} and in {identical.sum():,} the revised pair is the raw one; expected rows with a "
        "raw pair and a different revised one."
    )


def _check_minimum(
    languages: list[str], codes: Ints, trained: Bools, validated: Bools, distinct: Bools, minimum: int
) -> None:
    """Raise `UserError` if a language has too few training rows. Temperature makes no language smaller than the smallest was."""
    counts = {
        name: np.bincount(codes[mask], minlength=len(languages))
        for name, mask in (("train", trained), ("validation", validated), ("distinct", distinct))
    }
    few = np.flatnonzero(counts["train"] < minimum)
    if len(few):
        code = few[0]
        more = f" (and {len(few) - 1} more languages)" if len(few) > 1 else ""
        raise UserError(
            f"Language {languages[code]!r} has {counts['train'][code]} training rows{more}, expected at least "
            f"{minimum} (selection.minimum): of its {np.count_nonzero(codes == code)} revisions {counts['distinct'][code]} are "
            f"changed and not repeated, and {counts['validation'][code]} of those selected are kept for validation; give more of "
            "them, raise selection.share, or lower selection.minimum (0 lets a language go without)."
        )
