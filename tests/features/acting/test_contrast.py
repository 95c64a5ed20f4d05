"""Features that tell two sets of prompts apart are found, and sets that don't differ give none that holds."""

import pytest

from acdc.errors import TaskError
from acdc.features.acting import contrast
from tests.features.reading.planted import AFTER, ON, planted


def test_the_planted_feature_tells_prompts_with_its_token_from_others() -> None:
    model, dictionary, corpus, token, _ = planted()
    has = ((corpus.clean == token) & corpus.attention & (corpus.position_ids > 0)).any(1)
    found = contrast(model, dictionary, corpus.select(has.nonzero()[:, 0]), corpus.select((~has).nonzero()[:, 0]))
    rows = {row.feature: row for row in found.rows}
    assert found.rows[0].feature == ON or found.rows[0].feature == AFTER
    assert rows[ON].holds and rows[ON].second == 0 and rows[ON].low > 0
    assert rows[ON].low < rows[ON].difference == rows[ON].first - rows[ON].second < rows[ON].high
    assert found.frame().feature.tolist() == [row.feature for row in found.rows]


def test_halves_of_one_set_do_not_differ() -> None:
    model, dictionary, corpus, _, _ = planted()
    found = contrast(model, dictionary, corpus.select(range(100)), corpus.select(range(100, 200)), where="last")
    assert not any(row.holds for row in found.rows)
    swapped = contrast(model, dictionary, corpus.select(range(100, 200)), corpus.select(range(100)), where="last")
    assert [-row.difference for row in swapped.rows] == pytest.approx([row.difference for row in found.rows])


def test_few_prompts_are_refused() -> None:
    model, dictionary, corpus, _, _ = planted()
    with pytest.raises(TaskError, match="the second set has 3 prompts; 10 at least"):
        contrast(model, dictionary, corpus, corpus.select(range(3)))
