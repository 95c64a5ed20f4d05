"""Each kind of rule is found where a feature was made by it, and says where it says so."""

import numpy as np
import pytest

from acdc.features.reading.rules import Rule, Seen, Vocabulary, find_rule
from acdc.features.reading.rules.kinds.classes import ClassRule
from acdc.features.reading.rules.kinds.nearby import NearbyRule
from acdc.features.reading.rules.kinds.phrase import PhraseRule
from acdc.features.reading.rules.kinds.position import FirstTokensRule, LastTokenRule
from acdc.features.reading.rules.kinds.repetition import RepetitionRule
from acdc.features.reading.rules.kinds.tokens import TokenRule
from acdc.features.reading.rules.kinds.words import WordRule
from acdc.features.reading.rules.narrowing.context import InContext
from acdc.features.reading.rules.narrowing.preceded import Preceded
from acdc.features.reading.rules.narrowing.preceded_by_class import PrecededByClass
from acdc.features.reading.rules.vocabulary import CLASSES
from acdc.features.reading.slices import BEFORE

WORDS = [f" {a}{b}" for a in "bcdfghklm" for b in "aeiou"]
NAMES = dict(enumerate([*WORDS, " 7", "12", "\n", " Ann", " Bob", ",", " $", "ann", " bob", " Zed"]))
VOCABULARY = Vocabulary(NAMES)
RULES: list[tuple[Rule, str, list[list[int]]]] = [  # with patterns that are planted, each into a third of the windows
    (TokenRule("on", (3,)), "fires on ' bo'", []),
    (TokenRule("on", (3, 40)), "fires on ' bo' or ' ma'", []),
    (TokenRule("after", (3,)), "fires after ' bo'", []),
    (WordRule("on", ("ann",)), "fires on 'ann' in any case", []),
    (WordRule("after", ("ann", "bob")), "fires after 'ann' or 'bob' in any case", [[48, 48, 48]]),
    (ClassRule("on", "a capitalised word"), "fires on a capitalised word", []),
    (ClassRule("after", "a number"), "fires after a number", []),
    (RepetitionRule("on"), "fires on a token that is among the 19 before it", []),
    (RepetitionRule("after"), "fires after a token that is among the 19 before it", []),
    (PhraseRule((3, 40)), "fires after ' bo ma'", [[3, 40]]),
    (NearbyRule(3, 5), "fires within 5 tokens after ' bo'", []),
    (FirstTokensRule(5), "fires on the first 5 tokens of a window", []),
    (LastTokenRule(), "fires on the last token of a window", []),
    (Preceded(TokenRule("on", (3,)), ((7,),)), "fires on ' bo' right after ' ci'", [[7, 3]]),
    (
        Preceded(TokenRule("on", (3,)), ((9,), (7,))),
        "fires on ' bo' right after ' cu ci'",
        [[9, 7, 3], [11, 7, 3], [9, 7, 4]],
    ),
    (Preceded(TokenRule("on", (3,)), ((9, 7),)), "fires on ' bo' right after ' cu' or ' ci'", [[9, 3], [9, 3], [7, 3]]),
    (Preceded(ClassRule("on", "a number"), ((51,),)), "fires on a number right after ' $'", [[51, 45], [51, 46]]),
    (PrecededByClass(TokenRule("on", (3,)), "a number"), "fires on ' bo' right after a number", [[45, 3], [46, 3]]),
    (InContext(TokenRule("on", (3,)), (9,)), "fires on ' bo' where ' cu' is among the 20 tokens before", []),
    (InContext(TokenRule("on", (3,)), (9,), 5), "fires on ' bo' where ' cu' is among the 5 tokens before", [[9, 4, 3]]),
    (
        InContext(TokenRule("on", (3,)), (7, 9)),
        "fires on ' bo' where ' ci' and ' cu' are among the 20 tokens before",
        [[9, 12, 7, 13, 14, 3]],
    ),
]


def text_with(patterns: list[list[int]]) -> Seen:
    """Random windows of 40 tokens, padded on the left, and patterns somewhere in them."""
    rng = np.random.default_rng(0)
    ids = rng.integers(0, len(NAMES), (300, 46))
    ids[:, :6] = -1
    for i, pattern in enumerate(patterns):
        for row in range(i, 300, 3):
            at = rng.integers(10, 40)
            ids[row, at : at + len(pattern)] = pattern
    return Seen.whole(ids, VOCABULARY)


@pytest.mark.parametrize(("rule", "words", "patterns"), RULES, ids=[words for _, words, _ in RULES])
def test_a_rule_is_found_by_what_it_says(rule: Rule, words: str, patterns: list[list[int]]) -> None:
    text = text_with(patterns)
    counted = text.before > 0
    fires = np.flatnonzero(rule.says(text) & counted)
    examples = text.slices(np.random.default_rng(1).permutation(fires)[:100])
    found = find_rule(examples, text, counted, len(fires))
    assert found is not None and found[1].f1 == pytest.approx(1)
    assert found[0] == rule and rule.text(VOCABULARY) == words


def test_slices_say_what_their_text_says() -> None:
    """A rule sees no more in the whole text than in the 20 tokens before, so examples and windows are judged alike."""
    text = text_with([[9, 12, 7, 13, 14, 3], [3, 40]])
    where = np.flatnonzero(text.before > 0)[::7]
    for rule, _, _ in RULES:
        np.testing.assert_array_equal(rule.says(text.slices(where))[:, BEFORE], rule.says(text).ravel()[where])


def test_what_fires_at_random_has_no_rule_and_what_always_fires_none_either() -> None:
    text, rng = text_with([]), np.random.default_rng(0)
    counted = text.before > 0
    for share in (0.02, 0.5, 0.95, 1):
        fires = np.flatnonzero((rng.random(counted.shape) < share) & counted)
        examples = text.slices(rng.permutation(fires)[:100])
        assert find_rule(examples, text, counted, len(fires)) is None


def test_where_a_rule_says_yes() -> None:
    """By hand."""
    seen = Seen.whole(np.array([[-1, 5, 3, 7, 3, 9, 5], [-1, -1, 3, 3, 5, 7, 45]]), VOCABULARY)

    def said(rule: Rule) -> list[tuple[int, int]]:
        return [(int(row), int(column)) for row, column in np.argwhere(rule.says(seen) & (seen.ids >= 0))]

    assert said(TokenRule("on", (3,))) == [(0, 2), (0, 4), (1, 2), (1, 3)]
    assert said(TokenRule("after", (3, 9))) == [(0, 3), (0, 5), (0, 6), (1, 3), (1, 4)]
    assert said(InContext(TokenRule("on", (3,)), (7,))) == [(0, 4)]
    assert said(RepetitionRule("on")) == [(0, 4), (0, 6), (1, 3)]
    assert said(RepetitionRule("after")) == [(0, 5), (1, 4)]
    assert said(PhraseRule((3, 7))) == [(0, 4)]
    assert said(NearbyRule(7, 2)) == [(0, 4), (0, 5), (1, 6)]
    assert said(FirstTokensRule(2)) == [(0, 1), (0, 2), (1, 2), (1, 3)]
    assert said(LastTokenRule()) == [(0, 6), (1, 6)]
    assert said(ClassRule("on", "a number")) == [(1, 6)]
    assert said(Preceded(TokenRule("on", (3,)), ((5, 3),))) == [(0, 2), (1, 3)]


def test_classes_are_what_they_are_called() -> None:
    texts = [" 7", "12", "\n", " Ann", "NATO", " I", " word", "ing", ",", "  ", " ('", "a1"]
    names = Vocabulary(dict(enumerate(texts)))
    found = {kind: [texts[i] for i in np.flatnonzero(names.of_class(kind, np.arange(len(texts))))] for kind in CLASSES}
    assert found == {
        "a line break": ["\n"],
        "white space": ["  "],
        "a number": [" 7", "12"],
        "a capitalised word": [" Ann"],
        "a word in capitals": ["NATO"],
        "a word or a piece of one": [" Ann", "NATO", " I", " word", "ing"],
        "a single letter": [" I"],
        "a word's beginning": [" Ann", " I", " word"],
        "letters that go on without a space": ["NATO", "ing"],
        "punctuation": [",", " ('"],
    }
    assert not any(names.of_class(kind, np.array([-1])).any() for kind in CLASSES)
