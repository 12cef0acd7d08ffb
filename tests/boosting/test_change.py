"""The guard looks closely only where a text differs; what it finds must be what a look at everything would find."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from midb_ray.boosting.change import change
from midb_ray.pairs import Text
from midb_ray.signals import structure

WORDS = st.sampled_from(
    [
        *(
            "Tee",
            "und",
            "Wasser.",
            "{name}",
            "%s",
            "<ort>",
            "a@b.example",
            "me@there.org,",
            "https://a.org/x",
            "(www.b.org).",
        ),
        *("12", "1 000", "3,5", "\n", "\n\n", "- eins", "お茶を飲む", "{", "}", "@", "http://", "%", "x{name}y"),
    ]
)
TEXTS = st.lists(WORDS, min_size=1, max_size=12).map(" ".join)


@st.composite
def edits(draw: st.DrawFn) -> tuple[str, str]:
    """A text, and the same with one place written anew."""
    before, new = draw(TEXTS), draw(st.one_of(TEXTS, st.sampled_from(["", " ", ".", "x", "}"])))
    first = draw(st.integers(0, len(before)))
    last = draw(st.integers(first, len(before)))
    return before, before[:first] + new + before[last:]


@given(edits())
def test_what_is_lost_or_added_is_found_in_the_words_that_differ(edit: tuple[str, str]) -> None:
    before, after = edit
    made = change(Text("Frage", "", before), Text("Frage", "", after), None)
    for find in (structure.urls, structure.emails, structure.placeholders):
        lost, added = find(before) - find(after), find(after) - find(before)
        old, new = made.stretches[0] if made.stretches else ("", "")
        assert lost <= find(old)
        assert added <= find(new)


@given(edits())
def test_stretches_and_fresh_text_hold_the_whole_difference(edit: tuple[str, str]) -> None:
    before, after = edit
    if before == after:
        return
    made = change(Text("", "", before), Text("", "", after), None)
    ((old, new),), (fresh,) = made.stretches, made.fresh
    begin = before.index(old) if old else 0
    assert any(
        before[:start] + new + before[start + len(old) :] == after for start in range(begin, len(before) - len(old) + 1)
    )
    assert fresh.strip() in new or fresh in after
