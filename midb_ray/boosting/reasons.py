"""Why a booster's answer did not replace its pair: every reason code, in the order in which they are reported."""

from __future__ import annotations

from typing import Final

REASONS: Final[dict[str, str]] = {
    "prompt_too_long": "the prompt does not fit into the model's context, so the pair never reached the engine",
    "engine_error": "the engine refused or failed on this pair alone",
    "engine_crash": "the engine died twice with this pair",
    "unparseable": "the answer does not consist of an instruction, perhaps an input, and a response",
    "preamble": "the answer begins with text before the pair",
    "truncated": "generation stopped at the token limit, so the end of the answer is missing",
    "empty": "the instruction or the response of the answer is empty",
    "unrelated": "instruction and input were exchanged for others, or the response is the instruction once more",
    "lost_input": "the input is gone, or most of it, or was exchanged for another",
    "invented_input": "an input where there was none, which is not taken from the raw pair",
    "wrong_script": "the answer is written in another script than its language",
    "wrong_language": "the answer is in another language than its pair is meant to be",
    "repetition": "the answer loops, or says everything twice",
    "too_short": "instruction or response are out of proportion: far shorter than the raw ones",
    "too_long": "instruction or response are out of proportion: far longer than the raw ones",
    "refusal": "the response declines the request, and the raw one did not",
    "leaked_marker": "control tokens, turns, scripts, prompt wording or remarks on the revision that the raw pair did not have",
    "leaked_character": "control characters or invisible, private or broken ones that the raw pair did not have",
    "lost_number": "a number of the instruction or input is gone, or nearly all numbers of the response",
    "lost_url": "a link is gone or was changed",
    "lost_email": "an e-mail address is gone or was changed",
    "added_url": "a link that stands nowhere in the raw pair",
    "added_email": "an e-mail address that stands nowhere in the raw pair",
    "lost_code": "code fences or code spans are gone, or a fence is left open",
    "lost_placeholder": "a placeholder such as {name}, %s, <name> or ____ is gone or was translated",
    "lost_list": "a list is gone, or most of its items",
}
