"""The rows of a shard: in their places, with the tokens of all samples."""

from __future__ import annotations

from midb_ray.boosting import output
from midb_ray.boosting.guard import Verdict
from midb_ray.engines.base import Completion, Request
from midb_ray.engines.flight import NOTHING_FINISHED
from midb_ray.pairs import BOOSTED_SCHEMA, Pair, Text, pairs_to_table, turn_row

PAIRS = [Pair(f"f:{n}", f"id-{n}", None, "de", f"Frage {n}", "", "Antwort", (), "{}") for n in range(5)]


def test_finished_rows_come_out_in_their_places_and_skipped_ones_as_they_were() -> None:
    tried, left = [PAIRS[1], PAIRS[3]], [PAIRS[0], PAIRS[2], PAIRS[4]]
    verdicts = [
        Verdict("boosted", (), Text("F", "", "A"), 3),
        Verdict("kept_original", ("empty",), Text("f", "", "a"), 0),
    ]
    rows = output.judged(pairs_to_table(tried), verdicts, [5, None], [6, None])
    whole = output.merged(rows, output.skipped(left, [0, 2, 4]))
    assert whole.schema.equals(BOOSTED_SCHEMA)
    assert whole.column("row").to_pylist() == [pair.row for pair in PAIRS]
    found = whole.to_pylist()
    assert [row["decision"] for row in found] == ["skipped", "boosted", "skipped", "kept_original", "skipped"]
    assert (found[2]["response"], found[2]["raw_response"], found[2]["reasons"]) == ("Antwort", "Antwort", [])
    assert (found[2]["distance"], found[2]["prompt_tokens"], found[2]["answer_tokens"]) == (None, None, None)
    assert (found[1]["distance"], found[1]["prompt_tokens"], found[1]["answer_tokens"]) == (3, 5, 6)
    assert output.merged(rows, NOTHING_FINISHED) is rows


def test_figures_count_what_was_finished_before_but_not_its_tokens() -> None:
    others = output.skipped(PAIRS[:2], [0, 1])
    dead = pairs_to_table(PAIRS[2:3]).select(["row"]).append_column("reason", [["invalid_json"]])
    french = pairs_to_table([PAIRS[3]._replace(language="fr")])
    found = output.figures(french, [Verdict("unchanged", (), Text("f", "", "a"), 0)], others, dead)
    assert found.balanced
    assert (found.rows_in, found.rows_out, found.dead_letters) == (4, 3, 1)
    assert found.decisions == {"fr": {"unchanged": 1}, "de": {"skipped": 2}}
    assert (found.prompt_tokens, found.answer_tokens) == (0, 0)


def test_turns_of_a_conversation_are_one_row_in_whether_they_were_finished_before_or_not() -> None:
    turns = [PAIRS[0]._replace(row=turn_row("f:9", turn), source_row="f:9", turn=turn) for turn in (1, 2, 3)]
    others, dead = output.skipped([*turns[:2], PAIRS[0]], [0, 1, 3]), pairs_to_table([]).select(["row"])
    verdict = Verdict("unchanged", (), Text("f", "", "a"), 0)
    found = output.figures(pairs_to_table(turns[2:]), [verdict], others, dead.append_column("reason", [[]]))
    assert (found.rows_in, found.later_turns, found.rows_out) == (2, 2, 4)
    assert found.balanced


def test_tokens_of_a_pair_are_those_of_all_its_samples() -> None:
    sent = [Request(None, [1, 2, 3], 9, sample) for sample in range(2)]
    requests = [*sent, None, None, Request("text", None, 9), Request("text", None, 9, 1)]
    completions = [
        Completion("a", "stop", 4),
        Completion("b", "stop", 5),
        None,
        None,
        *[Completion("c", "stop", 0)] * 2,
    ]
    assert output.tokens(requests, completions, 2) == ([6, None, None], [9, None, 0])
    assert output.tokens(requests[:1], completions[:1], 1) == ([3], [4])
