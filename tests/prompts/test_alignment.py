"""Two prompts of different lengths are shown one above the other."""

import pytest

from acdc.errors import AlignmentError
from acdc.prompts.alignment import WIDTH, aligned_tokens
from acdc.prompts.batch import PromptBatch, PromptPair
from tests.tiny import NumberTokenizer


def test_the_shared_tokens_stand_under_each_other_and_the_others_are_marked() -> None:
    lines = aligned_tokens([1, 2, 10, 11, 3], [1, 2, 12, 3], NumberTokenizer())
    assert lines == (
        "  clean     |1|2|10|11|3|",
        "  corrupted |1|2|12|  |3|",
        "                 ^^ ^^",
    )


def test_long_prompts_go_on_in_further_lines_that_hold_every_token_in_order() -> None:
    clean, corrupt = list(range(30)) * 3, list(range(29)) * 3
    lines = aligned_tokens(clean, corrupt, NumberTokenizer())
    assert len(lines) > 3 and len(lines) % 3 == 0
    assert max(map(len, lines)) < WIDTH + 20
    shown = "".join(line[12:] for line in lines[0::3]).replace("|", " ").split()
    assert [int(token) for token in shown] == clean


def test_a_pair_of_different_lengths_is_refused_with_both_sides() -> None:
    with pytest.raises(AlignmentError, match="same number of tokens; clean has 3") as caught:
        PromptBatch.from_pairs([PromptPair("1 2 3", "1 3", ["4"])], NumberTokenizer())
    assert caught.value.rows == ("  clean     |1|2|3|", "  corrupted |1| |3|", "               ^")
    assert str(caught.value).splitlines()[1:] == list(caught.value.rows)
