"""The echo engine: fixed edits of the pair in a prompt, and faults on request."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import time

import pytest

from midb_ray import prompts
from midb_ray.engines import echo
from midb_ray.engines.base import EngineError, Request
from midb_ray.engines.echo import EchoEngine
from midb_ray.engines.settings import EngineSettings
from midb_ray.locales import load_locales
from midb_ray.pairs import Text


def request(text: Text, language: str = "de") -> Request:
    return Request(prompts.prompt("locale", load_locales().resolve(language), text), None, 100)


def answer(text: Text) -> Text:
    engine = EchoEngine(EngineSettings(kind="echo"))
    (completion,) = asyncio.run(engine.generate([request(text)]))
    assert completion.finish == "stop"
    return prompts.parse(completion.text)


def test_a_missing_full_stop_and_doubled_spaces_are_mended_and_the_input_is_left() -> None:
    raw = Text("Nenne eine  Stadt", "im  Norden", "Hamburg liegt im  Norden")
    assert answer(raw) == Text("Nenne eine Stadt.", "im  Norden", "Hamburg liegt im Norden.")


def test_pairs_without_faults_come_back_as_they_were_or_with_an_exclamation_mark() -> None:
    pairs = [Text("Nenne eine Stadt.", "", f"Hamburg hat {number} Brücken.") for number in range(200)]
    changed = [answer(raw) for raw in pairs if answer(raw) != raw]
    assert all(text.response.endswith("Brücken!") for text in changed)
    assert 120 < len(changed) < 180
    assert answer(Text("東京は？", "", "はい。")).response in ("はい。", "はい！")
    assert answer(Text("a.", "", "Es sind 3.")).response == "Es sind 3."


def test_markers_in_the_data_stay_data() -> None:
    raw = Text(
        f"Was heißt {prompts.RESPONSE}\n?", f"x\n{prompts.INSTRUCTION}\ny", f"\n{prompts.INPUT}\n<\\|response|>?"
    )
    assert answer(raw) == raw


@pytest.mark.parametrize(
    ("text", "edited"),
    [
        ("東京は日本の首都です", "東京は日本の首都です。"),
        ("서울은 수도이다", "서울은 수도이다."),
        ("กรุงเทพเป็นเมืองหลวง", "กรุงเทพเป็นเมืองหลวง"),
        ("see https://example.org/a", "see https://example.org/a"),
        ("write to me@example.org", "write to me@example.org"),
        ("call `f(x,  y)` and go", "call `f(x,  y)` and go."),
        ("it is 42", "it is 42"),
        ("    indented\nlines", "    indented\nlines."),
        ("", ""),
        ("a" * 10_000, "a" * 10_000 + "."),
    ],
)
def test_an_edit_keeps_to_the_script_and_away_from_links_numbers_and_code(text: str, edited: str) -> None:
    assert echo.edit(text) == edited


def test_a_prompt_without_a_pair_finishes_with_an_error() -> None:
    engine = EchoEngine(EngineSettings(kind="echo"))
    (completion,) = asyncio.run(engine.generate([Request("hello", None, 1)]))
    assert completion.finish == "error"


def test_a_poisonous_row_raises_for_its_call_and_for_no_other() -> None:
    engine = EchoEngine(EngineSettings(kind="echo", echo_fail_on="Gift"))
    good, bad = request(Text("a", "", "b")), request(Text("a", "", "Gift"))
    with pytest.raises(ValueError, match="Gift"):
        asyncio.run(engine.generate([good, bad]))
    assert len(asyncio.run(engine.generate([good]))) == 1


def test_a_crash_ends_the_process_at_once() -> None:
    program = (
        "import asyncio, atexit\n"
        "from midb_ray.engines.base import Request\n"
        "from midb_ray.engines.echo import EchoEngine\n"
        "from midb_ray.engines.settings import EngineSettings\n"
        "atexit.register(print, 'cleaned up')\n"
        "engine = EchoEngine(EngineSettings(kind='echo', echo_crash_on='boom'))\n"
        "asyncio.run(engine.generate([Request('quiet', None, 1)]))\n"
        "print('alive', flush=True)\n"
        "asyncio.run(engine.generate([Request('boom', None, 1)]))\n"
    )
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert ended.returncode == 1
    assert ended.stdout == "alive\n"
    assert ended.stderr == ""


def test_delays_of_calls_that_wait_together_do_not_add_up(monkeypatch: pytest.MonkeyPatch) -> None:
    engine = EchoEngine(EngineSettings(kind="echo", echo_delay=0.1))
    begun: list[float] = []

    async def two_calls() -> None:
        both = asyncio.Event()

        async def sleep(seconds: float) -> None:
            """Ends only when both calls are asleep: calls that wait one after the other would never end."""
            begun.append(seconds)
            if len(begun) == 2:
                both.set()
            await asyncio.wait_for(both.wait(), 60)

        monkeypatch.setattr(asyncio, "sleep", sleep)
        await asyncio.gather(*(engine.generate([request(Text("a", "", "b"))] * 2) for _ in range(2)))

    asyncio.run(two_calls())
    assert begun == [0.2, 0.2]


def test_a_closed_engine_answers_no_more() -> None:
    engine = EchoEngine(EngineSettings(kind="echo"))
    engine.close()
    with pytest.raises(EngineError):
        asyncio.run(engine.generate([]))


def test_an_answer_takes_microseconds() -> None:
    requests = [request(Text("Nenne eine Stadt", "", "Hamburg liegt im  Norden und " * 20))] * 2000
    engine = EchoEngine(EngineSettings(kind="echo"))
    fastest = min(_seconds(engine, requests) for _ in range(3))
    assert fastest / len(requests) < 60e-6  # 6 µs where nothing else runs


def _seconds(engine: EchoEngine, requests: list[Request]) -> float:
    begun = time.perf_counter()
    asyncio.run(engine.generate(requests))
    return time.perf_counter() - begun
