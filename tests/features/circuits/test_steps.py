"""A search that is stopped at any step goes on there, and ends with the same bits; so does what is measured of it."""

import functools

import pytest
import torch

from acdc.features.circuits import evaluate, find
from tests.features.circuits.tiny import SITES, sae, tiny_problem, transcoder

DICTIONARIES = [sae(SITES[0]), transcoder(1)]
MEMORY = 250_000  # two prompts at once


class Notes:
    """Steps in memory, of which only so many are made before somebody stops the process."""

    def __init__(self) -> None:
        self.known, self.left = {}, 0

    def __call__(self, name, make):
        if name not in self.known:
            if not self.left:
                raise KeyboardInterrupt
            self.left -= 1
            self.known[name] = {key: value.clone() for key, value in make().items()}
        return self.known[name]


def search(step):
    problem = tiny_problem(spans=True)
    circuit = find(problem, DICTIONARIES, faithfulness=0.7, steps=1, n_joined=12, memory=MEMORY, step=step)
    return circuit, evaluate(circuit, problem, DICTIONARIES, n_sets=1, n_random=1, step=step)


@functools.cache
def whole():
    return search(lambda _, make: make())


def test_a_search_that_is_stopped_again_and_again_ends_as_one_that_is_not() -> None:
    notes, stops = Notes(), 0
    while True:
        notes.left = 7
        try:
            found = search(notes)
        except KeyboardInterrupt:
            stops += 1
            continue
        break
    assert found == whole()
    assert {name.split("-")[0] for name in notes.known} == {"effects", "circuit", "edges", "evaluation"}
    assert stops == (len(notes.known) - 1) // 7 > 2
    assert {name.split("-")[-1] for name in notes.known if name.startswith("effects")} == {"0", "1"}


def test_what_is_kept_is_taken_as_it_is() -> None:
    """So a step that was kept isn't made again: another number in it is the one that is told."""
    notes = Notes()
    notes.left = 10**6
    search(notes)
    notes.known["evaluation-1"] = {"logits": torch.zeros_like(notes.known["evaluation-1"]["logits"])}
    before, (_, after) = whole()[1], search(notes)
    assert after.intervals["logit_diff"]["circuit"].value == pytest.approx(0)
    assert before.intervals["logit_diff"]["circuit"].value != pytest.approx(0)
    assert after.damages == before.damages
