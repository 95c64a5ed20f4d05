"""A propagation is a function of a cache and a question: it changes neither, and what it gives back is enough."""

import numpy as np
import pytest
import torch

from acdc.patching.exact.cache import CircuitCache, clean_cache
from acdc.patching.exact.changes import Removal, Waiting
from acdc.patching.exact.propagation import Question, propagate
from acdc.patching.exact.reachability import reach, reading
from acdc.patching.problem import Problem
from tests.tiny import tiny_batch, tiny_model


def tensors(cache: CircuitCache) -> list[torch.Tensor]:
    """All that a cache holds of the circuit."""
    held = [cache.final, *cache.resid_pre, *cache.resid_mid, *cache.inputs.values()]
    for outputs in (cache.out, cache.ablated):
        held += [outputs.input, *outputs.z, *outputs.mlp]
    return held + [x for per_layer in (*cache.projected.values(), *cache.prefix.values()) for x in per_layer]


def removal_of(problem: Problem, n_edges: int = 6) -> tuple[np.ndarray, Question]:
    """A mask without some edges into two destinations, and the question what their removal changes."""
    graph = problem.model.graph
    mask = graph.edges_mask.numpy().copy()
    dsts = [graph.head_dst(0, "k", 1), graph.mlp_dst(1)]
    removals = {}
    for dst in dsts:
        sources = np.flatnonzero(mask[:, dst])[:n_edges].tolist()
        mask[sources, dst] = False
        removals[dst] = Removal(Waiting(sources), [], torch.empty(1, 0, dtype=torch.float64))
    return mask, Question(mask, reach(graph, mask, reading(graph, mask), dsts), removals)


@pytest.mark.parametrize("family", ["gpt2", "llama-gqa", "gemma2"])
def test_nothing_changes_until_updates_are_committed(family: str) -> None:
    problem = Problem.make(tiny_model(family), tiny_batch())
    cache = clean_cache(problem, room=2**20)
    _, question = removal_of(problem)
    before = [x.clone() for x in tensors(cache)]
    asked = propagate(cache, question)
    kept = propagate(cache, question, keep=True)
    assert torch.equal(asked.final, kept.final)
    assert not asked.updates.inputs and not asked.updates.outputs and not asked.updates.sources
    assert len(before) == len(tensors(cache)) and all(map(torch.equal, before, tensors(cache)))
    cache.commit(kept.updates)
    changed = [x for x, old in zip(tensors(cache), before, strict=False) if not torch.equal(x, old)]
    assert changed and kept.updates.inputs


@pytest.mark.parametrize("family", ["gpt2", "llama-gqa", "gemma2"])
def test_a_committed_change_is_there_when_nothing_is_asked(family: str) -> None:
    problem = Problem.make(tiny_model(family), tiny_batch())
    cache = clean_cache(problem, room=2**20)
    mask, question = removal_of(problem)
    run = propagate(cache, question, keep=True)
    cache.commit(run.updates)
    everything = reach(problem.model.graph, mask, reading(problem.model.graph, mask), range(problem.model.graph.n_dst))
    again = propagate(cache, Question(mask, everything, {})).final
    torch.testing.assert_close(again, run.final, atol=1e-12, rtol=0)
