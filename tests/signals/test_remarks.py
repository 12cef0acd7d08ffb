"""Remarks of a model on its own work are recognised in every built-in language, and what people write is not taken for one."""

from __future__ import annotations

from typing import NamedTuple

import pytest

from midb_ray.locales import load_locales
from midb_ray.signals import remarks


class Said(NamedTuple):
    """How one language hands over a pair, tells what was changed, offers more and declines."""

    handing: str
    changed: str
    note: str
    offer: str
    refusal: str


SAID = {
    "en": Said(
        *("Here is the revised pair:", "I have corrected the grammar.", "(Note: I changed the units.)"),
        *("Let me know if you need anything else!", "I’m sorry, but I can’t help with that."),
    ),
    "it": Said(
        *("Ecco la coppia rivista:", "Ho corretto la grammatica.", "Nota: ho modificato le unità."),
        *("Fammi sapere se ti serve altro.", "Mi dispiace, ma non posso aiutarti con questo."),
    ),
    "es": Said(
        *("Aquí está el par revisado:", "He corregido la gramática.", "Nota: he cambiado las unidades."),
        *("Avísame si necesitas algo más.", "Lo siento, pero no puedo ayudarte con eso."),
    ),
    "fr": Said(
        *("Voici la paire révisée :", "J’ai corrigé la grammaire.", "Remarque : j’ai modifié les unités."),
        *("Faites-moi savoir si vous avez besoin d’autre chose.", "Je suis désolé, mais je ne peux pas vous aider."),
    ),
    "de": Said(
        *("Hier ist das überarbeitete Paar:", "Ich habe die Grammatik korrigiert."),
        *("(Hinweis: Ich habe die Einheiten angepasst.)", "Lass mich wissen, wenn du noch etwas brauchst."),
        "Es tut mir leid, aber dabei kann ich nicht helfen.",
    ),
    "ru": Said(
        *("Вот исправленная пара:", "Я исправил грамматику.", "Примечание: я изменил единицы."),
        *("Дайте мне знать, если вам нужно что-то ещё.", "Извините, но я не могу вам помочь."),
    ),
    "ar": Said(
        *("إليك الزوج المنقح:", "لقد قمت بتصحيح القواعد.", "ملاحظة: قمت بتغيير الوحدات."),
        *("أخبرني إذا كنت بحاجة إلى أي شيء آخر.", "أنا آسف، لكن لا يمكنني مساعدتك في ذلك."),
    ),
    "tr": Said(
        *("İşte düzeltilmiş çift:", "Dil bilgisini düzelttim.", "Not: Birimleri değiştirdim."),
        *("Başka bir şeye ihtiyacınız olursa haber verin.", "Üzgünüm, bu konuda yardımcı olamam."),
    ),
    "ja": Said(
        *("以下は修正後の回答です：", "文法を修正しました。", "注：単位を変更しました。"),
        *("他に必要なことがあれば教えてください。", "申し訳ありませんが、お手伝いできません。"),
    ),
    "ko": Said(
        *("다음은 수정된 지시문과 답변입니다:", "문법을 수정했습니다.", "참고: 단위를 변경했습니다."),
        *("추가 수정이 필요하시면 말씀해 주세요.", "죄송하지만 도와드릴 수 없습니다."),
    ),
    "pt": Said(
        *("Aqui está o par revisado:", "Corrigi a gramática.", "Nota: alterei as unidades."),
        *("Avise-me se precisar de mais alguma coisa.", "Desculpe, mas não posso ajudar com isso."),
    ),
    "cs": Said(
        *("Zde je upravená dvojice:", "Opravil jsem gramatiku.", "Poznámka: změnil jsem jednotky."),
        *("Dejte mi vědět, pokud budete potřebovat ještě něco.", "Omlouvám se, ale s tím vám nemohu pomoci."),
    ),
    "el": Said(
        *("Ορίστε το αναθεωρημένο ζεύγος:", "Διόρθωσα τη γραμματική.", "Σημείωση: Άλλαξα τις μονάδες."),
        *("Πείτε μου αν χρειάζεστε κάτι άλλο.", "Λυπάμαι, αλλά δεν μπορώ να σας βοηθήσω."),
    ),
    "id": Said(
        *(
            "Berikut pasangan yang telah direvisi:",
            "Saya telah memperbaiki tata bahasa.",
            "Catatan: Saya mengubah satuannya.",
        ),
        *("Beri tahu saya jika Anda membutuhkan hal lain.", "Maaf, saya tidak dapat membantu dengan hal itu."),
    ),
    "th": Said(
        *("นี่คือคู่ที่แก้ไขแล้ว:", "ฉันได้แก้ไขไวยากรณ์แล้ว", "หมายเหตุ: ฉันได้เปลี่ยนหน่วย"),
        *("หากต้องการแก้ไขเพิ่มเติมโปรดบอก", "ขออภัย ฉันไม่สามารถช่วยเรื่องนี้ได้"),
    ),
    "vi": Said(
        *("Đây là cặp đã chỉnh sửa:", "Tôi đã sửa ngữ pháp.", "Lưu ý: Tôi đã thay đổi đơn vị."),
        *("Hãy cho tôi biết nếu bạn cần gì khác.", "Xin lỗi, tôi không thể giúp bạn việc này."),
    ),
    "ms": Said(
        *(
            "Berikut ialah pasangan yang telah disemak:",
            "Saya telah membetulkan tatabahasa.",
            "Nota: Saya menukar unitnya.",
        ),
        *("Beritahu saya jika anda memerlukan apa-apa lagi.", "Maaf, saya tidak dapat membantu dengan perkara itu."),
    ),
}


def test_every_language_has_its_examples() -> None:
    assert set(SAID) == {locale.language for locale in load_locales()}


@pytest.mark.parametrize("language", SAID)
def test_a_section_that_begins_with_a_remark_opens(language: str) -> None:
    assert remarks.opens(f"{SAID[language].handing}\n123", language, "")
    assert remarks.opens(f"{SAID[language].changed}\n123", language, "")


@pytest.mark.parametrize("language", SAID)
def test_a_section_that_ends_with_a_remark_closes(language: str) -> None:
    assert remarks.closes(f"123.\n\n{SAID[language].note}", language)
    assert remarks.closes(f"123. {SAID[language].offer}", language)
    assert not remarks.closes(f"{SAID[language].note}\n{'123 ' * 100}", language)


@pytest.mark.parametrize("language", SAID)
def test_a_refusal_declines(language: str) -> None:
    assert remarks.declines(SAID[language].refusal, language)
    assert remarks.begins_to_decline(f"{SAID[language].refusal} {'123 ' * 300}", language)
    assert not remarks.declines(f"{'123 ' * 9}. {SAID[language].refusal}", language)


def test_models_remark_in_english_on_pairs_of_any_language() -> None:
    assert remarks.opens("Sure! Here's the improved response:\nBlau.", "de", "")
    assert remarks.closes("Blau.\n\n**Note:** I've replaced the currency.", "xx")
    assert remarks.declines("As an AI language model, I cannot do that.", "ja")


@pytest.mark.parametrize(
    ("text", "language"),
    [
        ("Here are five ways to improve the response of your team:", "en"),
        ("Hier sind einige Fragen:", "de"),
        ("Voici une recette améliorée de ma grand-mère :", "fr"),
        ("以下のような改善が考えられます：", "ja"),
        ("Die Antwort wurde im Jahr 1905 korrigiert.", "de"),
    ],
)
def test_an_ordinary_beginning_opens_nothing(text: str, language: str) -> None:
    assert not remarks.opens(text, language, "")


def test_the_answer_to_a_task_of_editing_may_hand_a_version_over_but_no_pair() -> None:
    assert remarks.opens("Aquí está la versión revisada:\n1", "es", "Nombra un color.")
    assert not remarks.opens("Aquí está la versión revisada:\n1", "es", "Corrige la frase.")
    assert remarks.opens("Aquí está el par revisado:\n1", "es", "Corrige la frase.")


@pytest.mark.parametrize(
    "text",
    [
        "Add nuts.\n\nNote: this recipe is a basic one, you can add chocolate.",
        "I hope this helps!",
        "Let me know if there’s anything else I can help you with!",
        "Please let me know if you need anything else.\nThank you for your patience, your trust and your many years of support,"
        " which mean so much to all of us here.\n\nSincerely,\n[Your name]",
    ],
)
def test_what_experts_write_at_the_end_closes_nothing(text: str) -> None:
    assert not remarks.closes(text, "en")


@pytest.mark.parametrize(
    "text",
    [
        "As an AI assistant, I don't have personal experiences, but a human might say: it was a good day.",
        "I'm sorry but I cannot generate a headline without knowing what news you are interested in. Could you tell me more?",
        "I'm sorry to hear that the parcel was late. We will send another one today.",
    ],
)
def test_an_honest_answer_is_no_refusal(text: str) -> None:
    assert not remarks.declines(text, "en")
