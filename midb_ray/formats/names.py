"""What people call the fields of a pair, as data: English, the usual variants, and the 16 languages.

A key is compared after folding: case, accents, spaces, underscores and punctuation do not count, so "Instruction",
"raw_instruction" and "INSTRUCCIÓN" are found. A qualifier ("raw", "revised") may stand before or after the name.
"""

from __future__ import annotations

import unicodedata
from functools import lru_cache
from typing import Literal, NamedTuple

Field = Literal["instruction", "input", "response"]
Side = Literal["", "raw", "revised"]

FIELDS: tuple[Field, ...] = ("instruction", "input", "response")

# language: names of the instruction | of the input | of the response; commas between names
OWN = {
    "en": "instruction, instructions | input | response, output",
    "it": "istruzione, istruzioni | ingresso | risposta, uscita",
    "es": "instrucción, instrucciones | entrada | respuesta, salida",
    "fr": "consigne | entrée | réponse, sortie",
    "de": "Anweisung, Anweisungen, Instruktion | Eingabe | Antwort, Ausgabe",
    "ru": "инструкция, инструкции, указание | ввод, вход, входные данные | ответ, вывод, выход",
    "ar": "تعليمات, التعليمات, التعليمة, تعليمة | إدخال, الإدخال, المدخل, مدخلات, المدخلات"
    " | استجابة, الاستجابة, الرد, رد, إجابة, الإجابة, مخرجات, المخرجات, الإخراج",
    "tr": "talimat, talimatlar, yönerge | girdi, giriş | yanıt, cevap, çıktı",
    "ja": "指示, 命令, インストラクション | 入力, インプット | 応答, 回答, 返答, 出力, レスポンス, アウトプット",
    "ko": "지시, 지시문, 지시사항, 지침, 명령 | 입력 | 응답, 답변, 출력",
    "pt": "instrução, instruções | entrada | resposta, saída",
    "cs": "instrukce, pokyn, pokyny | vstup | odpověď, výstup",
    "el": "οδηγία, οδηγίες, εντολή | είσοδος | απάντηση, απόκριση, έξοδος",
    "id": "instruksi, perintah | masukan | respons, jawaban, tanggapan, keluaran",
    "th": "คำสั่ง, คำแนะนำ | อินพุต, ข้อมูลนำเข้า, ข้อมูลเข้า | คำตอบ, การตอบกลับ, การตอบสนอง, เอาต์พุต, ผลลัพธ์",
    "vi": "hướng dẫn, chỉ dẫn, chỉ thị | đầu vào | phản hồi, trả lời, câu trả lời, đầu ra",
    "ms": "arahan | masukan | respons, jawapan, tindak balas, keluaran",
}

# Names that other collections use for a field. They give way where a row names all three fields by names of OWN.
OTHER = {"en": "prompt, query, question, inputs | context | completion, answer, target, targets"}

# language: what marks a field as raw | as revised
QUALIFIERS = {
    "en": "raw | revised",
    "it": "grezza, grezzo | rivisitata, rivisitato, rivista, rivisto, revisionata, revisionato",
    "es": "cruda, crudo, bruta, bruto, sin procesar | revisada, revisado",
    "fr": "brute, brut | révisée, révisé",
    "de": "rohe, roh | überarbeitete, überarbeitet, revidierte, revidiert",
    "ru": "сырая, сырой, необработанная, необработанный"
    " | исправленная, исправленный, отредактированная, отредактированный",
    "ar": "خام, الخام | منقحة, المنقحة, المنقح, معدلة, المعدلة, المعدل",
    "tr": "ham | revize edilmiş, düzeltilmiş, gözden geçirilmiş",
    "ja": "生の, 生, 未加工の | 修正された, 修正後の, 修正, 改訂された, 改訂",
    "ko": "원시 | 수정된, 수정, 개정된, 개정",
    "pt": "bruta, bruto, crua | revisada, revisado, revista, revisto",
    "cs": "surová, surový, hrubá, hrubý | revidovaná, revidovaný, upravená, upravený, opravená, opravený",
    "el": "ακατέργαστη, ακατέργαστο, ακατέργαστος | αναθεωρημένη, αναθεωρημένο, αναθεωρημένος",
    "id": "mentah | direvisi, yang direvisi, revisi",
    "th": "ดิบ | ที่แก้ไขแล้ว, ที่แก้ไข, แก้ไข, ที่ปรับปรุงแล้ว, ที่ปรับปรุง",
    "vi": "thô | đã sửa đổi, sửa đổi, đã sửa, đã chỉnh sửa, chỉnh sửa",
    "ms": "mentah | disemak, yang disemak, semakan",
}

# Folded keys that name a row and its language, the most trustworthy first.
IDS = ("id", "uid", "uuid")
SOURCE_IDS = ("sourceid", "sourceindex")
LANGUAGES = ("language", "lang", "locale", "languagecode", "langcode")


class Meaning(NamedTuple):
    """What a key stands for. `own` is False for a name of `OTHER`."""

    field: Field
    side: Side
    own: bool


def fold(key: str) -> str:
    """`key` reduced to what tells names apart: letters without accents and case, and digits."""
    letters = unicodedata.normalize("NFKD", key.casefold()).casefold().translate(_PLAIN)
    return "".join(letter for letter in letters if letter.isalnum())


@lru_cache(maxsize=4096)
def meaning(key: str) -> Meaning | None:
    """What the folded `key` stands for, or None."""
    if key in _MEANINGS:
        return _MEANINGS[key]
    for qualifier, side in _SIDES.items():
        for name in (key.removeprefix(qualifier), key.removesuffix(qualifier)):
            if len(name) < len(key) and (found := _MEANINGS.get(name)):
                return found._replace(side=side)
    return None


def _columns(table: dict[str, str], language: str) -> list[list[str]]:
    """The folded names in each column of one line of a table."""
    return [[fold(name) for name in column.split(",")] for column in table[language].split("|")]


_PLAIN = str.maketrans({"ı": "i", "đ": "d", "ø": "o", "ł": "l"})
_MEANINGS: dict[str, Meaning] = {
    name: Meaning(field, "", table is OWN)
    for table in (OTHER, OWN)
    for language in table
    for field, names in zip(FIELDS, _columns(table, language), strict=True)
    for name in names
}
_QUALIFIED: tuple[Side, Side] = ("raw", "revised")
_SIDES: dict[str, Side] = {
    name: side
    for language in QUALIFIERS
    for side, names in zip(_QUALIFIED, _columns(QUALIFIERS, language), strict=True)
    for name in names
}
