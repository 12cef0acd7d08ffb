"""Prompts become requests that fit the model's context and leave room for an answer."""

from __future__ import annotations

from pathlib import Path

from transformers import PreTrainedTokenizerFast

from midb_ray import prompts
from midb_ray.engines.base import Request
from midb_ray.engines.encoding import PromptEncoder
from midb_ray.engines.requests import Requester, load_encoder, loaded_for, of_pairs
from midb_ray.engines.settings import EngineSettings
from midb_ray.pairs import Text, Turn

HEAD = "Revise.\n\n"
PAIR = Text("Nenne", "", "Köln")


def _pair(words: int) -> str:
    return prompts.serialise(Text("Nenne", "", "Köln " * words))


def test_echo_gets_text() -> None:
    requester = Requester(EngineSettings(kind="echo", max_new_tokens=7))
    assert requester.request(f"{HEAD}{_pair(1)}", _pair(1)) == Request(f"{HEAD}{_pair(1)}", None, 7)


def test_a_model_gets_the_framed_prompt_as_ids(model_folder: Path, tokenizer: PreTrainedTokenizerFast) -> None:
    requester = Requester(EngineSettings(model=str(model_folder)))
    request = requester.request(f"{HEAD}{_pair(1)}", _pair(1))
    assert request is not None
    assert request.text is None
    assert request.ids == PromptEncoder(tokenizer).prompt(f"{HEAD}{_pair(1)}")


def test_the_limit_follows_the_length_of_the_pair_alone(model_folder: Path, tokenizer: PreTrainedTokenizerFast) -> None:
    settings = EngineSettings(model=str(model_folder), answer_budget=1.5, answer_floor=10, max_new_tokens=100)
    pair = _pair(8)
    tokens = len(PromptEncoder(tokenizer).plain(pair))
    for head in (HEAD, HEAD * 4):
        request = Requester(settings).request(f"{head}{pair}", pair)
        assert request is not None
        assert abs(request.limit - (1.5 * tokens + 10)) <= 2


def test_the_limit_never_exceeds_the_setting_or_the_context(model_folder: Path) -> None:
    settings = EngineSettings(model=str(model_folder), max_new_tokens=50)
    small, large = Requester(settings).requests([f"{HEAD}{_pair(n)}" for n in (1, 10)], [_pair(1), _pair(10)])
    assert small is not None
    assert large is not None
    assert small.limit == large.limit == 50
    roomy = Requester(EngineSettings(model=str(model_folder))).request(f"{HEAD}{_pair(20)}", _pair(20))
    assert roomy is not None
    assert roomy.limit == 256 - len(roomy.ids or ())


def test_a_prompt_is_too_long_when_its_pair_could_not_be_repeated(
    model_folder: Path, tokenizer: PreTrainedTokenizerFast
) -> None:
    encoder, requester = PromptEncoder(tokenizer), Requester(EngineSettings(model=str(model_folder)))
    outcomes = []
    for words in range(10, 60):
        pair = _pair(words)
        length = len(encoder.prompt(f"{HEAD}{pair}"))
        fits = 256 - length > length - encoder.frame - len(encoder.plain(HEAD))
        assert (requester.request(f"{HEAD}{pair}", pair) is not None) == fits
        outcomes.append(fits)
    assert outcomes == sorted(outcomes, reverse=True)
    assert {True, False} == set(outcomes)


def test_what_texts_are_measured_with_is_bound_by_model_and_settings_together(model_folder: Path) -> None:
    for context, bound in ((None, 256), (100, 100), (1000, 256)):
        found = loaded_for(EngineSettings(model=str(model_folder), context=context), None)
        assert found.context == bound
        assert found.encoder is load_encoder(str(model_folder), None).encoder


def test_a_second_requester_in_a_process_costs_nothing(model_folder: Path) -> None:
    settings = EngineSettings(model=str(model_folder))
    assert Requester(settings)._encoder is Requester(settings)._encoder


def test_what_was_said_before_stands_between_request_and_pair() -> None:
    turns = [Turn("user", "Hallo"), Turn("assistant", "Guten <|instruction|> Tag")]
    one, two = of_pairs(Requester(EngineSettings(kind="echo")), [HEAD, HEAD], [PAIR, PAIR], [turns, []])
    assert one is not None
    assert two is not None
    assert one.text == f"{HEAD}{prompts.before(turns)}{prompts.serialise(PAIR)}"
    assert two.text == f"{HEAD}{prompts.serialise(PAIR)}"
    assert (one.text or "").count("<|instruction|>") == 1


def test_the_oldest_turns_are_left_out_of_a_prompt_that_is_too_long(model_folder: Path) -> None:
    requester = Requester(EngineSettings(model=str(model_folder)))
    system, pair = Turn("system", "K"), prompts.serialise(PAIR)
    turns = [system, *(Turn("user", str(number % 10)) for number in range(40))]
    (made,) = of_pairs(requester, [HEAD], [PAIR], [turns])

    def with_last(count: int) -> Request | None:
        said = prompts.before([system, *turns[len(turns) - count :]])
        return requester.request(f"{HEAD}{said}{pair}", pair)

    fits = [count for count in range(41) if with_last(count) is not None]
    assert fits == list(range(fits[-1] + 1))
    assert 0 < fits[-1] < 40
    assert made == with_last(fits[-1])


def test_what_was_said_before_never_makes_a_pair_too_long(model_folder: Path) -> None:
    requester = Requester(EngineSettings(model=str(model_folder)))
    long = [Turn("system", "Köln " * 300), Turn("user", "Köln " * 300)]
    assert of_pairs(requester, [HEAD], [PAIR], [long]) == of_pairs(requester, [HEAD], [PAIR])
    assert of_pairs(requester, [HEAD], [PAIR._replace(response="Köln " * 300)], [long]) == [None]


def test_an_answer_is_as_long_as_its_pair_allows_whatever_was_said_before(model_folder: Path) -> None:
    requester = Requester(EngineSettings(model=str(model_folder), answer_budget=1.5, answer_floor=3))
    without, with_it = of_pairs(requester, [HEAD] * 2, [PAIR] * 2, [[], [Turn("user", "Köln")]])
    assert without is not None
    assert with_it is not None
    assert abs(without.limit - with_it.limit) <= 2
    assert len(with_it.ids or ()) > len(without.ids or ())
