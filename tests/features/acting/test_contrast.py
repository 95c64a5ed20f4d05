"""Features that tell two sets of prompts apart are found, and sets that don't differ give none that holds."""

import numpy as np
import pytest

from acdc.errors import TaskError
from acdc.features.acting import contrast
from acdc.features.acting.differences import Side
from tests.features.reading.planted import AFTER, ON, planted


def test_the_planted_feature_tells_prompts_with_its_token_from_others() -> None:
    model, dictionary, corpus, token, reading = planted()
    has = ((corpus.clean == token) & corpus.attention & (corpus.position_ids > 0)).any(1)
    found = contrast(model, dictionary, corpus.select(has.nonzero()[:, 0]), corpus.select((~has).nonzero()[:, 0]))
    rows, features = {row.feature: row for row in found.rows}, [row.feature for row in found.rows]
    assert found.rows[0].feature == ON or found.rows[0].feature == AFTER
    row, i = rows[ON], features.index(ON)
    assert row.holds and row.first.fires == 1 and row.second == Side(0.0, 0.0)
    assert row.fires.low > 0 and row.difference.low > 0
    assert row.difference.low < row.difference.value == row.first.mean - row.second.mean < row.difference.high
    assert found.frame().feature.tolist() == features
    assert found.firing(i) is found.first and found.first.peaks(i) == ((reading.names[token], 1.0),)
    (best, *_) = found.first.examples(i, 3)
    assert best.tokens[int(np.argmax(best.activations))] == reading.names[token] and best.activations[0] == 0
    assert found.second.examples(i, 3) == ()


def test_halves_of_one_set_do_not_differ() -> None:
    model, dictionary, corpus, _, reading = planted()
    found = contrast(model, dictionary, corpus.select(range(100)), corpus.select(range(100, 200)), where="last")
    assert found.rows and not any(row.holds for row in found.rows)
    last = found.first.batch.clean[:, -1].tolist()
    i = int(np.argmax([row.first.fires for row in found.rows]))
    assert {name for name, _ in found.first.peaks(i)} <= {reading.names[token] for token in last}
    assert found.first.values[:, i].tolist() == found.first.activations[:, -1, i].tolist()
    swapped = contrast(model, dictionary, corpus.select(range(100, 200)), corpus.select(range(100)), where="last")
    for row, other in zip(found.rows, swapped.rows, strict=True):
        assert (other.difference.value, other.fires.low) == pytest.approx((-row.difference.value, -row.fires.high))


def test_few_prompts_are_refused() -> None:
    model, dictionary, corpus, _, _ = planted()
    with pytest.raises(TaskError, match="the second set has 3 prompts; 10 at least"):
        contrast(model, dictionary, corpus, corpus.select(range(3)))
