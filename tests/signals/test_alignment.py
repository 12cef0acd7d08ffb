"""Source and translation side by side."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from midb_ray.signals.alignment import pairings


def beside(source: str, target: str, ratio: float = 1.0) -> list[tuple[str | None, str | None]]:
    return [
        (found.source and found.source.of(source), found.target and found.target.of(target))
        for found in pairings(source, target, ratio)
    ]


def test_sentences_are_paired_as_they_stand_where_their_numbers_agree() -> None:
    source, target = "It rains. We stay.\nBye.", "Es regnet. Wir bleiben.\nTschüss."
    assert beside(source, target) == [("It rains.", "Es regnet."), ("We stay.", "Wir bleiben."), ("Bye.", "Tschüss.")]
    assert all(found.whole for found in pairings(source, target, 1.0))


def test_a_lost_item_stands_alone_and_its_neighbours_keep_their_places() -> None:
    source = (
        "- a short one\n- an item that is much longer than the others in this list\n- and a third\n- the end of it all"
    )
    target = "- ein kurzer\n- und ein dritter\n- das Ende von allem"
    assert beside(source, target) == [
        ("- a short one", "- ein kurzer"),
        ("- an item that is much longer than the others in this list", None),
        ("- and a third", "- und ein dritter"),
        ("- the end of it all", "- das Ende von allem"),
    ]


def test_two_sentences_may_become_one() -> None:
    source = "He came home late. He was tired. The dog barked at the moon all night long."
    target = "Er kam spät und müde nach Hause. Der Hund bellte die ganze Nacht den Mond an."
    assert beside(source, target) == [
        ("He came home late. He was tired.", "Er kam spät und müde nach Hause."),
        ("The dog barked at the moon all night long.", "Der Hund bellte die ganze Nacht den Mond an."),
    ]
    assert not any(found.whole for found in pairings(source, target, 1.0))


def test_the_ratio_of_lengths_tells_what_a_short_script_stands_for() -> None:
    source = (
        "It rained for three whole days. The river rose over its banks and into the streets of the old town. We left."
    )
    target = "三日間雨が降り続いた。私たちは去った。"
    lost = "The river rose over its banks and into the streets of the old town."
    assert beside(source, target, 0.4) == [
        ("It rained for three whole days.", "三日間雨が降り続いた。"),
        (lost, None),
        ("We left.", "私たちは去った。"),
    ]


def test_nothing_beside_nothing() -> None:
    assert beside("", "") == []
    assert beside("One.", "") == [("One.", None)]
    assert beside("", "Eins.") == [(None, "Eins.")]


_TEXT = st.text(alphabet="ab.! \n", max_size=120)


@given(_TEXT, _TEXT, st.sampled_from([0.4, 1.0, 1.2]))
def test_every_word_of_both_sides_stands_in_one_pairing_in_order(source: str, target: str, ratio: float) -> None:
    found = beside(source, target, ratio)
    assert "".join("".join(left or "" for left, _ in found).split()) == "".join(source.split())
    assert "".join("".join(right or "" for _, right in found).split()) == "".join(target.split())


def test_very_many_lines_are_paired_without_looking_for_the_best() -> None:
    found = beside("a\n" * 900, "b\n" * 1000)
    assert len(found) == 1000
    assert found[899:901] == [("a", "b"), (None, "b")]
