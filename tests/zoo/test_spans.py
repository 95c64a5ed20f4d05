"""The true circuits by span: at which spans each true edge acts, by construction, is just where it matters."""

import compile_brackets
import compile_frac_prevs
import compile_reverse
import pytest
import torch

from acdc.models import PatchableModel
from acdc.patching.exact.state import CircuitState
from acdc.patching.problem import Problem
from acdc.prompts.positions import split_by
from acdc.task import load_task

SCRIPTS = {script.model().name: script for script in (compile_reverse, compile_frac_prevs, compile_brackets)}


@pytest.mark.parametrize("name", SCRIPTS)
def test_each_true_edge_matters_at_its_spans_and_nowhere_else(name: str) -> None:
    model = PatchableModel.from_pretrained(name, dtype="float64")
    batch = split_by(
        load_task(name.removesuffix("-compiled")).batch(model.tokenizer, 40 if "reverse" in name else 12), "spans"
    )
    problem = Problem.make(model, batch)
    truth = SCRIPTS[name].model().truth_at(batch.spans)
    edges = [tuple(edge) for edge in problem.graph.edges_mask.nonzero().tolist()]
    state = CircuitState(problem)
    effects = (state.losses(edges) - state.loss).abs()
    true = torch.tensor([bool(truth.mask[edge]) for edge in edges])
    assert effects[true].min() > 0.05, "nats, on average over prompts of which few have a colon there"
    assert effects[~true].max() < 1e-6
