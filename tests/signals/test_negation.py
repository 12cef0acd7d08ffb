"""Negation in the known languages."""

from __future__ import annotations

import pytest

from midb_ray.locales import load_locales
from midb_ray.signals.negation import denials, known, negates, times

SENTENCES = {  # says yes, says no
    "en": ("We can do that.", "We can't do that."),
    "fr": ("Nous pouvons le faire.", "Nous n'y pouvons rien faire."),
    "es": ("Podemos hacerlo.", "No podemos hacerlo."),
    "it": ("Possiamo farlo.", "Non possiamo farlo."),
    "pt": ("Podemos fazer isso.", "Não podemos fazer isso."),
    "de": ("Und unser Haus ist groß.", "Unser Haus ist nicht groß."),
    "cs": ("Neděle je nejlepší den, nebo než začne škola.", "Nejsem doma."),
    "el": ("Μπορούμε να το κάνουμε.", "Δεν μπορούμε να το κάνουμε."),
    "ru": ("Мы можем это сделать.", "Мы не можем это сделать."),
    "ar": ("يمكننا أن نفعل ذلك.", "لا يمكننا أن نفعل ذلك."),
    "tr": ("Okumak ve yazmak güzeldir.", "Bunu yapamayız."),
    "ja": ("それはできます。", "それはできません。"),
    "ko": ("그것을 할 수 있습니다.", "그것을 하지 않습니다."),
    "id": ("Kami bisa melakukannya.", "Kami tidak bisa melakukannya."),
    "ms": ("Kami boleh melakukannya.", "Kami tidak boleh melakukannya."),
    "vi": ("Chúng tôi có thể làm điều đó.", "Chúng tôi không thể làm điều đó."),
    "th": ("เราทำได้", "เราทำไม่ได้"),
}


@pytest.mark.parametrize("language", SENTENCES)
def test_a_sentence_that_says_no_is_told_from_one_that_says_yes(language: str) -> None:
    yes, no = SENTENCES[language]
    assert (negates(yes, language), negates(no, language)) == (False, True)


def test_every_built_in_language_is_known() -> None:
    assert {locale.language for locale in load_locales()} == set(SENTENCES)
    assert all(map(known, SENTENCES))
    assert not known("xx")


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("He was unable to come.", "unable to"),
        ("This is not a pipe.", "not"),
        ("They never came.", "never"),
        ("It isn’t hers.", "isn’t"),
        ("Not only that, it rains.", None),
        ("Whether or not it rains, we go.", None),
        ("Why not?", None),
        ("Please don't hesitate to ask, but do not open the door.", "not"),
        ("It's nice, isn't it?", None),
        ("Nothing happened.", "Nothing"),
        ("Nothing but rain.", None),
        ("No longer a child, he left.", None),
    ],
)
def test_what_a_translation_has_to_deny_too(text: str, word: str | None) -> None:
    assert denials(text, "en")[:1] == ([] if word is None else [word])


def test_a_language_that_is_not_translated_from_denies_nothing() -> None:
    assert denials("Nein, nicht.", "de") == []
    assert denials("no", "xx") == []


def test_a_sentence_that_denies_twice_does_so_in_both_languages() -> None:
    assert denials("They are not alive because they cannot reproduce.", "en") == ["not", "cannot"]
    assert times("Chúng không phải là sinh vật sống vì chúng không thể tự sinh sản.", "vi") == 2
    assert times("Chúng không phải là sinh vật sống vì chúng có thể tự sinh sản.", "vi") == 1


def test_any_and_uncertainty_say_no_to_nothing() -> None:
    assert not negates("Nó cung cấp bất kỳ chi tiết nào.", "vi")
    assert not negates("Prinsip ketidakpastian terpakai kepada objek.", "ms")
    assert not negates("Změna klimatu je nevyhnutelná.", "cs")
    assert negates("Změna klimatu není nevyhnutelná.", "cs")
