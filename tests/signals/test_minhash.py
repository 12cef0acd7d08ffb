"""MinHash: estimates near the exact similarity, candidates where they are promised, no surprise from odd text."""

from __future__ import annotations

import numpy as np
import pytest

from midb_ray.signals import minhash

TEXT = "Nenne drei Städte an der Donau und beschreibe jede von ihnen in zwei bis drei kurzen Sätzen für Reisende."
JAPANESE = "ドナウ川沿いの都市を三つ挙げて、それぞれを旅行者のために短く説明してください。"


@pytest.mark.parametrize("text", [TEXT, JAPANESE])
def test_case_width_and_white_space_make_no_difference_and_digits_do(text: str) -> None:
    one, same, other = (minhash.grams(t) for t in (text + " 12", f"  {text.upper()}\n\t１２", text + " 13"))
    assert minhash.jaccard(one, same) == 1
    assert minhash.jaccard(one, other) < 1


@pytest.mark.parametrize("cut", [5, 20, 60])
def test_an_estimate_is_near_the_exact_similarity(cut: int) -> None:
    one, other = minhash.grams(TEXT), minhash.grams(TEXT[cut:])
    sketches = minhash.sketch(np.stack([minhash.signature(one), minhash.signature(other)]))
    assert sketches.shape == (2, minhash.SKETCH)
    assert minhash.similarity(sketches[0], sketches[1:])[0] == pytest.approx(minhash.jaccard(one, other), abs=0.15)


def test_bands_follow_the_promised_curve_and_languages_share_none() -> None:
    assert minhash.band_rows(0.8) == 6
    found = minhash.signatures([TEXT, TEXT + "!"])
    keys = minhash.band_keys(found, 6, np.zeros(2, np.uint64))
    assert keys.shape == (2, 21)
    assert (keys[0] == keys[1]).any()
    other = minhash.band_keys(found, 6, np.ones(2, np.uint64))
    assert not np.isin(other, keys).any()


@pytest.mark.parametrize("text", ["", " ", "a", "\ud800\ud800", "\0", "x" * 300_000, "漢" * 4, "👩‍👩‍👧" * 9])
def test_any_text_has_a_signature_and_is_like_itself(text: str) -> None:
    found = minhash.signatures([text, text])
    assert (found[0] == found[1]).all()
    assert minhash.similarity(*minhash.sketch(found)) == 1
    assert 0 <= minhash.cluster(minhash.grams(text), np.empty(0, np.uint64)) < 2**32


def test_like_texts_lie_in_one_cluster_and_common_phrases_make_none() -> None:
    places = ("Donau", "Rhein", "Elbe", "Weser", "Mosel", "Oder")
    near = [minhash.grams(f"Nenne {number} Städte an der Donau und beschreibe jede davon.") for number in range(3, 40)]
    far = [minhash.grams(f"Nenne bitte {place * 9}") for place in places]
    nothing = np.empty(0, np.uint64)
    found = [minhash.cluster(one, nothing) for one in near]
    assert max(found.count(one) for one in found) > len(near) / 2
    phrase = np.sort(minhash.grams("Nenne bitte "))
    assert len({minhash.cluster(one, phrase) for one in far}) == len(places)
    assert minhash.cluster(phrase, phrase) == minhash.cluster(phrase, nothing)
