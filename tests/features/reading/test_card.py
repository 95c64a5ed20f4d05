"""Planted features get their rules, and the rules their tests; a random one gets none."""

from collections.abc import Sequence

import numpy as np
import pytest

from acdc.errors import RunError
from acdc.features.reading import Window, card_of, features_on, judged
from acdc.features.reading.judging import try_label
from acdc.features.reading.questions import questions_of
from acdc.features.reading.rules.kinds.tokens import TokenRule
from acdc.features.reading.slices import BEFORE, around
from tests.features.reading.planted import AFTER, DEAD, ON, RANDOM, planted


@pytest.mark.parametrize(("index", "place"), [(ON, "on"), (AFTER, "after")])
def test_a_planted_rule_is_found_and_its_test_is_near_1(index: int, place: str) -> None:
    card = card_of(planted().reading, index)
    assert card.rule is not None and card.rule.rule == TokenRule(place, (planted().token,))
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
    questions = questions_of(planted().reading, DEAD)
    found = try_label("anything", lambda label, windows: [True] * len(windows), questions)
    assert found.detection is None and found.holds is None
    assert found.why == "detection has 0 and 10 windows, fuzzing has 0 and 0; 10 of each kind are needed"
    with pytest.raises(RunError, match="asked about 50 windows and gave 1 answers"):
        judged(planted().reading, ON, "it", lambda label, windows: [True])


def test_a_feature_of_nearly_every_window_is_tested_on_tokens() -> None:
    reading = planted().reading
    questions = questions_of(reading, RANDOM)
    assert questions.over == "tokens" and len(questions.fires) == 25
    fires = {(window.ids, window.marked.index(True)): True for window in questions.fires}
    for window in (*questions.fires, *questions.silent):
        assert sum(window.marked) == 1 and window.counted[window.marked.index(True)] and not window.activations
    seen = features_on(planted().model, planted().dictionary, "".join(questions.fires[0].tokens), bos=False).activations
    known = {(window.ids, window.marked.index(True)): False for window in questions.silent} | fires
    told = try_label(
        "it", lambda _, windows: [known.get((w.ids, w.marked.index(True)), True) for w in windows], questions
    )
    assert told.over == "tokens" and told.detection is not None and told.detection.value == 1
    always = try_label("always", lambda _, windows: [True] * len(windows), questions)
    assert always.detection is not None and always.detection.value == 0.5 and always.holds is False
    assert seen[questions.fires[0].marked.index(True), RANDOM] > 0


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
