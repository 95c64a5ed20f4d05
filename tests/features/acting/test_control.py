"""A pushed feature's control is the most similar one that writes something else, or a random direction."""

from dataclasses import replace

import numpy as np
import torch

from acdc.features.acting import Firings, Push, control_of, firings, pushed
from acdc.features.sites import Site, through_sites
from tests.features.reading.planted import ON, planted
from tests.features.test_dictionary import tiny_dictionary
from tests.tiny import tiny_batch, tiny_model


def test_the_most_similar_feature_that_writes_something_else_is_taken() -> None:
    rows = torch.eye(5, 16, dtype=torch.float64)[:, None].clone()
    rows[1] = rows[0]  # writes the same
    rows[4] *= 3
    dictionary = replace(tiny_dictionary(5), decoder=rows)
    density, largest = np.array([0.1, 0.1, 0.15, 0.11, 0.1]), np.array([4.0, 4.0, 5.0, 3.9, 4.0])
    found = control_of(dictionary, 0, Firings(density, largest))
    assert found.feature == 3 and found.dictionary is dictionary and "feature 3" in found.what
    far = Firings(np.array([0.1, 0.1, 0.21, 0.11, 0.1]), np.array([4.0, 4.0, 4.0, 1.9, 4.0]))
    assert control_of(dictionary, 0, far).what == "random direction of the same norm"


def test_a_random_direction_changes_each_token_by_as_much() -> None:
    model, batch = tiny_model("gpt2"), tiny_batch()
    dictionary = tiny_dictionary(site=Site(model.graph.n_layers - 1, "resid_post"))  # nothing follows it
    silent = Firings(np.zeros(12), np.zeros(12))
    control = control_of(dictionary, 3, silent)
    assert control.feature == 3
    with torch.no_grad():
        before = through_sites(model, batch, batch.clean, lambda _, x: x)
    own = pushed(model, dictionary, batch, Push(3, "clamp", 2.0)) - before
    random = pushed(model, control.dictionary, batch, Push(3, "clamp", 2.0)) - before
    torch.testing.assert_close(own.norm(dim=-1), random.norm(dim=-1))
    assert not torch.allclose(own, random)
    again, other = control_of(dictionary, 3, silent), control_of(dictionary, 3, silent, seed=1)
    assert torch.equal(again.dictionary.decoder[:], control.dictionary.decoder[:])
    assert not torch.equal(other.dictionary.decoder[:], control.dictionary.decoder[:])
    assert torch.equal(dictionary.decoder[:], tiny_dictionary().decoder[:])


def test_firings_are_those_behind_the_first_tokens() -> None:
    model, dictionary, corpus, token, _ = planted()
    few = corpus.select(range(40))
    found = firings(model, dictionary, few)
    seen = few.attention & (few.position_ids > 0)
    there = (few.clean == token) & seen
    assert found.density[ON] == float(there.sum() / seen.sum().double()) and found.largest[ON] > 0
