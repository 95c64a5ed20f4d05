"""Planted features get their rules, and the rules their tests; a random one gets none."""

from collections.abc import Sequence

import numpy as np
import pytest

from acdc.errors import RunError
from acdc.features.reading import Window, card_of, judged
from acdc.features.reading.card import questions_of
from acdc.features.reading.judging import try_label
from acdc.features.reading.rules import Rule, find_rule, says
from acdc.features.reading.slices import BEFORE, around
from tests.features.reading.planted import AFTER, DEAD, ON, RANDOM, planted


@pytest.mark.parametrize(("index", "place"), [(ON, "on"), (AFTER, "after")])
def test_a_planted_rule_is_found_and_its_test_is_near_1(index: int, place: str) -> None:
    card = card_of(planted().reading, index)
    assert card.rule is not None and card.rule.rule == Rule(place, (planted().token,))
    assert card.rule.text == f"fires {place} {planted().reading.names[planted().token]!r}"
    assert (card.rule.fit.recall, card.rule.fit.precision) == (1, 1)
    test = card.rule.test
    assert test.detection is not None and test.fuzzing is not None and test.holds
    assert test.detection.value == test.fuzzing.value == 1 and test.detection.low > 0.9


def test_a_random_feature_has_no_rule_and_a_wrong_label_is_at_chance() -> None:
    reading = planted().reading
    card = card_of(reading, RANDOM)
    assert card.rule is None and card.no_rule == "no explicit rule fits half of its tokens"
    assert card_of(reading, DEAD).no_rule == "it never fires on this text"
    draw = np.random.default_rng(0)
    guess = judged(reading, ON, "guesses", lambda label, windows: draw.random(len(windows)) < 0.5)
    assert guess.detection is not None and guess.detection.low < 0.5 < guess.detection.high and not guess.holds


def test_a_rule_sees_its_token_a_context_and_a_repetition() -> None:
    ids = np.array([[-1, 5, 3, 7, 3, 9, 5], [-1, -1, 3, 3, 5, 7, 8]])
    assert says(Rule("on", (3,)), ids).nonzero()[1].tolist() == [2, 4, 2, 3]
    assert says(Rule("after", (3, 9)), ids).nonzero()[1].tolist() == [3, 5, 6, 3, 4]
    assert says(Rule("on", (3,), 7), ids).nonzero() == (pytest.approx([0]), pytest.approx([4]))
    assert says(Rule("on", ()), ids).nonzero()[1].tolist() == [4, 6, 3]
    assert says(Rule("after", ()), ids).nonzero()[1].tolist() == [5, 4]


def test_a_context_is_found_where_the_token_alone_says_too_much() -> None:
    """The feature fires on 1 where 2 stood before, in half of the windows."""
    rng = np.random.default_rng(0)
    ids = rng.integers(3, 30, (80, 20))
    ids[:, 12] = 1
    ids[::2, 4] = 2
    where = np.arange(0, 80, 2) * 20 + 12
    found = find_rule(around(ids, where), ids, np.ones_like(ids, dtype=bool), len(where))
    assert found is not None and found[0] == Rule("on", (1,), 2) and found[1].f1 == 1
    several = np.where(rng.random(80) < 0.5, 40, 41)
    ids[:, 12] = several
    found = find_rule(around(ids, np.arange(80) * 20 + 12), ids, np.ones_like(ids, dtype=bool), 80)
    assert found is not None and set(found[0].tokens) == {40, 41}


def test_a_labeller_sees_no_window_that_is_asked_and_no_activation_is_told() -> None:
    """A labeller and judge of one's own: the label is the token on which it saw the feature fire most."""
    reading, shown, asked = planted().reading, list[Window](), list[Window]()

    def label(examples: Sequence[Window]) -> str:
        shown.extend(examples)
        return max(zip(examples[0].activations, examples[0].tokens, strict=True))[1]

    def detect(text: str, windows: Sequence[Window]) -> list[bool]:
        asked.extend(windows)
        hit = [[t == text for t in window.tokens] for window in windows]
        return [
            any(h for h, m in zip(each, window.marked, strict=True) if m) if window.marked else any(each)
            for each, window in zip(hit, windows, strict=True)
        ]

    found = judged(reading, ON, label, detect)
    assert found.label == reading.names[planted().token] and found.holds
    assert not {window.ids for window in shown} & {window.ids for window in asked}
    assert all(window.activations == () for window in asked)
    assert all("«" in window.text() for window in shown)


def test_questions_are_true() -> None:
    questions = questions_of(planted().reading, ON)
    token = planted().token
    assert all(token in window.ids[1:] for window in questions.fires)
    assert not any(
        token == each for window in questions.silent for each, c in zip(window.ids, window.counted, strict=True) if c
    )
    for window in questions.marked_right:
        assert {each for each, m in zip(window.ids, window.marked, strict=True) if m} == {token}
    for window in questions.marked_wrong:
        assert token not in {each for each, m in zip(window.ids, window.marked, strict=True) if m}
    assert len(questions.fires) == len(questions.marked_right) == 25


def test_too_few_windows_are_untested_and_a_judge_must_answer_all() -> None:
    questions = questions_of(planted().reading, RANDOM)  # it fires somewhere in nearly every window
    found = try_label("anything", lambda label, windows: [True] * len(windows), questions)
    assert found.detection is None and found.holds is None
    assert found.why.startswith("detection has 25 and 0 windows; 10 of each kind are needed")
    with pytest.raises(RunError, match="asked about 50 windows and gave 1 answers"):
        judged(planted().reading, ON, "it", lambda label, windows: [True])


def test_a_card_tells_windows_by_strength() -> None:
    card = card_of(planted().reading, ON)
    strengths = [max(window.activations) for window in card.top]
    assert strengths == sorted(strengths, reverse=True) and strengths[0] == pytest.approx(card.act_max)
    assert [q.low for q in card.quantiles] == sorted((q.low for q in card.quantiles), reverse=True)
    assert sum(n for _, _, n in card.histogram) == card.n_fires
    assert card.on[0] == (planted().reading.names[planted().token], 1.0) and card.entropy == 0
    assert card.after[0][1] < 0.5
    assert card.raises == card.lowers == ()  # no word is written where the planted features write
    assert around(planted().reading.ids, np.array([-1])).tolist() == [[-1] * 32] and BEFORE == 20


@pytest.mark.parametrize("index", [-1, 4])
def test_there_is_no_such_feature(index: int) -> None:
    with pytest.raises(RunError, match=f"feature {index} is out of range: 'planted' has 4 features, 0 to 3"):
        card_of(planted().reading, index)
