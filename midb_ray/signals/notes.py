"""Notes that stand where an input would be and say that there is none: "<noinput>", "Keine Eingabe.", "入力なし"."""

from __future__ import annotations

from typing import Final

LONGEST: Final = 48
"""Characters of the longest text that can be such a note."""

_PHRASES: Final = (
    *("no input", "no data", "no context"),
    *("nessun input", "nessun dato", "nessuna immissione", "senza input"),
    *("sin entrada", "ninguna entrada", "no hay entrada", "no se requiere entrada", "no se necesita entrada"),
    *("aucune entrée", "aucun input", "aucune donnée", "pas d'entrée", "sans entrée"),
    *("keine eingabe", "kein eingabe", "kein input", "kein eingang", "ohne eingabe"),
    *("нет ввода", "нет входных", "без ввода", "ввод отсутствует", "ввод не требуется"),
    *("لا يوجد إدخال", "لا يوجد مدخل", "لا توجد مدخلات", "لا توجد بيانات", "لا مدخلات", "لا حاجة لإدخال", "بدون إدخال"),
    *("girdi yok", "giriş yok", "hiçbir girdi", "girdi gerek", "giriş gerek", "girdisiz"),
    *("入力なし", "入力無し", "入力は必要", "入力不要", "入力はありません"),
    *("입력 없음", "입력이 없", "입력이 필요", "입력 불필요"),
    *("sem entrada", "nenhuma entrada", "nenhum input", "sem dados"),
    *("žádný vstup", "bez vstupu", "vstup není"),
    *("χωρίς είσοδο", "χωρίς εισαγωγή", "καμία είσοδος", "δεν υπάρχει είσοδος", "δεν απαιτείται είσοδος"),
    *("tidak ada input", "tidak ada masukan", "tanpa input", "tiada input", "tiada masukan", "tanpa masukan"),
    *("ไม่มีอินพุต", "ไม่มีข้อมูล", "ไม่ต้องป้อน", "ไม่ต้องมีข้อมูล"),
    *("không có đầu vào", "không có dữ liệu", "không cần đầu vào", "không đầu vào"),
)


def _squeezed(text: str) -> str:
    return "".join(filter(str.isalnum, text.casefold()))


_BEGINNINGS: Final = tuple(map(_squeezed, _PHRASES))
_WORDS: Final = frozenset(("none", "na", "nan", "null"))


def says_no_input(text: str) -> bool:
    """Whether `text` is no input but a note that there is none, in one of the built-in languages."""
    if len(text) > LONGEST:
        return False
    squeezed = _squeezed(text)
    return squeezed in _WORDS or squeezed.startswith(_BEGINNINGS)
